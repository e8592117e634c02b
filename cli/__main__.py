"""`./millrace COMMAND`: the tree as click sees it; exit statuses are in docs/command-line.md."""

from __future__ import annotations

import signal

import click
from click.shell_completion import get_completion_class

from cli.program import ProgramCommand, RecipeCommand
from cli.tree import COMMANDS, COMPLETION, help_text

PROG = "millrace"
_COMPLETE_VARIABLE = "_MILLRACE_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


class Tree(click.Group):
    """Commands by the table; a program's module is imported when its command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        command = COMMANDS.get(cmd_name)
        if command is None:
            return super().get_command(ctx, cmd_name)
        kind = RecipeCommand if command.recipe else ProgramCommand
        return kind(cmd_name, command)

    def get_help(self, ctx: click.Context) -> str:
        """The same text as the start script's."""
        return help_text().rstrip("\n")


tree = Tree(PROG, context_settings={"help_option_names": ["-h", "--help"]})


@tree.command(COMPLETION, help="Print a completion script: `source <(./millrace completion bash)`.")
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print what the shell has to read."""
    kind = get_completion_class(shell)
    assert kind is not None  # of the choices
    click.echo(kind(tree, {}, PROG, _COMPLETE_VARIABLE).source())


def main(arguments: list[str] | None = None) -> None:
    """Run one command; ends with its exit status."""
    tree.main(arguments, prog_name=PROG, complete_var=_COMPLETE_VARIABLE)


if __name__ == "__main__":
    # Ends as Ctrl-C does: programs clean up behind themselves, and a benchmark leaves no services and gigabytes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
