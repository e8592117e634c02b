"""Commands of the stack, as the front door (`cli`) mounts them: `./millrace up`, or `python -m stack up`.

Each command imports what it needs when it runs: `--help`, `logs` or `psql` bring no database client and no plant file's model.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys

from base.errors import ConfigError
from stack import config as configuration
from stack.config import StackConfig
from stack.errors import StackError
from stack.reporting import Progress

_WAIT_S = 300.0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status says whether it worked."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(configuration.load(), options))
    except (StackError, ConfigError) as error:
        print(f"millrace: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _up(config: StackConfig, options: argparse.Namespace) -> int:
    from stack import lifecycle, sign_in, status

    progress = Progress(sink=_say)
    lifecycle.up(config, progress, names=tuple(options.services))
    print()
    print(status.text(status.collect(config)))
    if options.services:
        return 0
    print(
        "\nNext: `./millrace watch` live values, `./millrace psql` history, `./millrace status` services and accounting,"
        "\n      `./millrace logs -f` logs, `./millrace command --help` actuate, `./millrace addresses` for other programs,"
        "\n      `./millrace down` stop."
    )
    print(f"      Flink's page: {config.flink_url}   gRPC: {config.serving_address}   state: {config.state}")
    print(f"\nThe plant in a browser: {config.page_url}")
    if config.sign_in:
        print(f"      People and their passwords: {sign_in.people_file(config)}   in the terminal: `./millrace login`")
    return 0


def _down(config: StackConfig, _: argparse.Namespace) -> int:
    from stack import lifecycle

    lifecycle.down(config, Progress(sink=_say))
    return 0


def _status(config: StackConfig, options: argparse.Namespace) -> int:
    from stack import status

    found = status.collect(config, wait_s=options.wait or 0.0)
    print(json.dumps(found, indent=2, default=str) if options.json else status.text(found))
    return status.exit_status(found["line"]["state"])


def _logs(config: StackConfig, options: argparse.Namespace) -> int:
    from stack.services import select
    from stack.supervisor import log_file

    names = (options.service,) if options.service else ()
    chosen = select(config, names)
    files = [str(path) for service in chosen if (path := log_file(config, service.name)).exists()]
    if not files:
        msg = f"no logs in {config.logs} yet"
        raise StackError(msg)
    return subprocess.run(
        ["tail", "-n", str(options.lines), *(["-F"] if options.follow else []), *files], check=False
    ).returncode


def _service(config: StackConfig, options: argparse.Namespace) -> int:
    from stack import lifecycle
    from stack.services import select
    from stack.supervisor import Supervisor

    supervisor = Supervisor(config)
    if not supervisor.alive():
        msg = "the stack does not run; start it with `./millrace up`"
        raise StackError(msg)
    chosen = select(config, (options.service,))
    if options.action in ("stop", "restart"):
        for service in reversed(chosen):
            _say(f"{service.name}: {'stopped' if supervisor.stop(service.name) else 'was not running'}")
    if options.action in ("start", "restart"):
        lifecycle.start(config, Progress(sink=_say), chosen)
    return 0


def _deploy(config: StackConfig, _: argparse.Namespace) -> int:
    from stack import deploy, lifecycle

    try:
        deploy.require_running(config)
        lifecycle.prepare_upgrade(config, Progress(sink=_say))
        deploy.deploy(config, Progress(sink=_say))
    except KeyboardInterrupt:
        _say("interrupted: the job keeper finishes the deployment, or takes it back when no new code has run yet")
        raise
    return 0


def _psql(config: StackConfig, options: argparse.Namespace) -> int:
    from stack import postgres

    program = str(postgres.bin_dir() / "psql")
    # It would be taken for the password, before that of the file.
    environment = {name: value for name, value in os.environ.items() if name != "PGPASSWORD"}
    os.execve(program, [program, postgres.dsn(config, with_password=False), *options.arguments], environment)


def _addresses(config: StackConfig, options: argparse.Namespace) -> int:
    from stack import addresses

    found = addresses.lines(config)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, text in found.items():
        print(f"{name:<6}{text}")
    return 0


def _settings(config: StackConfig, options: argparse.Namespace) -> int:
    found = configuration.origins(config)
    if options.json:
        print(
            json.dumps({key: {"value": value, "from": origin} for key, value, origin in found}, indent=2, default=str)
        )
        return 0
    for key, value, origin in found:
        print(f"{key:<36}{value!s:<44}{origin}")
    return 0


def _reset(config: StackConfig, options: argparse.Namespace) -> int:
    from stack import lifecycle, postgres

    folders = [config.data, config.logs, config.config, config.secrets, config.state / "tmp", config.run]
    if not postgres.data_dir(config).is_relative_to(config.state):
        folders.append(postgres.data_dir(config).parent)
    question = f"Delete all data of the stack in {config.state}, and the backups beside its database? [y/N] "
    if not options.yes and input(question).strip().lower() not in ("y", "yes"):
        return 1
    lifecycle.down(config, Progress(sink=_say))
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
    _say("deleted")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="millrace", description="Run Millrace's components on this machine.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the platform and wait for data at the far end")
    up.add_argument("services", nargs="*", help="only these services or groups (kafka, postgres, flink, gateway, ...)")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stop everything")
    down.set_defaults(run=_down)

    state = commands.add_parser(
        "status",
        help="is the line up, and if not, why; services, jobs, accounting",
        epilog="exit status: 0 the line is up, 3 nothing runs, 4 it is degraded or down",
    )
    state.add_argument(
        "--wait",
        nargs="?",
        type=float,
        const=_WAIT_S,
        metavar="SECONDS",
        help=f"first wait until the line is up, at most so long (default {_WAIT_S:.0f})",
    )
    state.add_argument("--json", action="store_true", help="for programs")
    state.set_defaults(run=_status)

    logs = commands.add_parser("logs", help="logs of a service or of all")
    logs.add_argument("service", nargs="?")
    logs.add_argument("-f", "--follow", action="store_true")
    logs.add_argument("-n", "--lines", type=int, default=40)
    logs.set_defaults(run=_logs)

    service = commands.add_parser("service", help="start, stop or restart one service")
    service.add_argument("action", choices=("start", "stop", "restart"))
    service.add_argument("service")
    service.set_defaults(run=_service)

    upgrade = commands.add_parser(
        "deploy", help="upgrade all jobs: savepoints, new code root, fresh TaskManagers; back when no progress"
    )
    upgrade.set_defaults(run=_deploy)

    psql = commands.add_parser("psql", help="SQL shell; every argument goes to psql", add_help=False, prefix_chars="\0")
    psql.add_argument("arguments", nargs="*")
    psql.set_defaults(run=_psql)

    reached = commands.add_parser("addresses", help="ready-made lines to copy: psql, grpcurl, curl, the page")
    reached.add_argument("--json", action="store_true", help="for programs")
    reached.set_defaults(run=_addresses)

    shown = commands.add_parser("settings", help="settings in force")
    shown.add_argument("--json", action="store_true", help="for programs")
    shown.set_defaults(run=_settings)

    reset = commands.add_parser("reset", help="delete all data")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    reset.set_defaults(run=_reset)
    return made


if __name__ == "__main__":
    sys.exit(main())
