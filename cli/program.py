"""A program as a command of the tree: its arguments go to it untouched, its parser says what completes them."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from cli.tree import Command

INTERRUPTED = 130
CALLED_FROM = os.environ.pop("_MILLRACE_CALLED_FROM", ".")
"""Folder in which the start script was called, before it went to the checkout; for this process, not for those that it starts."""


class _PassedOn(click.Command):
    """A command that takes its arguments as they are, `--` and `--help` among them."""

    def __init__(self, name: str, command: Command) -> None:
        rest = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, shell_complete=self._complete)
        super().__init__(name, params=[rest], short_help=command.text, add_help_option=False)
        self._command = command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Nothing is looked at."""
        ctx.params["arguments"] = tuple(args)
        return []

    def _complete(self, ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return []


class ProgramCommand(_PassedOn):
    """A module with `main` and `parser`, imported when it is run or completed."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the program; its exit status is ours."""
        module = self._module()
        arguments = [*self._command.before, *ctx.params["arguments"]]
        if self._command.files:
            os.chdir(CALLED_FROM)
        try:
            status = module.main(arguments)
        except KeyboardInterrupt:
            status = INTERRUPTED
        ctx.exit(status)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Options, when one was begun."""
        return self._complete(ctx, self.params[0], incomplete)

    def _complete(self, ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = [*self._command.before, *ctx.params.get("arguments", ())]
        found = (item for item in completions(self._module().parser(), given) if item.value.startswith(incomplete))
        return [item for item in found if incomplete.startswith("-") or not item.value.startswith("-")]

    def _module(self) -> Any:
        try:
            return importlib.import_module(self._command.module)
        except ModuleNotFoundError as error:
            msg = f"{self.name} needs the package {error.name}, which is not installed here"
            raise click.ClickException(msg) from error


class RecipeCommand(_PassedOn):
    """A developers' recipe of the justfile."""

    def invoke(self, ctx: click.Context) -> None:
        """Become just."""
        assert self.name is not None
        os.execvp("just", ["just", self.name, *ctx.params["arguments"]])


def completions(parser: argparse.ArgumentParser, given: Sequence[str]) -> Iterator[CompletionItem]:
    """What may come after the words given: subcommands, choices, options."""
    waits: argparse.Action | None = None
    for word in given:
        actions = parser._actions  # argparse has no public way to look at a parser
        waits = next((one for one in actions if word in one.option_strings and one.nargs != 0), None)
        for action in actions:
            if isinstance(action, argparse._SubParsersAction) and word in action.choices:
                parser = action.choices[word]
                break
    if waits is not None:
        yield from map(CompletionItem, waits.choices or ())
        return
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            about = {one.dest: one.help for one in action._choices_actions}
            yield from (CompletionItem(name, help=about.get(name)) for name in action.choices)
        elif not action.option_strings and action.choices:
            yield from (CompletionItem(str(choice)) for choice in action.choices if choice)
    for action in parser._actions:
        if action.option_strings:
            yield CompletionItem(action.option_strings[-1], help=_plain(action.help))


def _plain(text: str | None) -> str:
    return "" if text in (None, argparse.SUPPRESS) else str(text)
