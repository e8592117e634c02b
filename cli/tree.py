"""The tree of commands: what each is called, in one line, and which program answers.

Standard library alone, so that `./millrace --help` works before anything is installed and is quick afterwards: run as a script, this prints
the help. A program is a module with `main(arguments) -> exit status` and `parser() -> ArgumentParser`: it is a deployable's own tool too,
installed where there is no front door, so its options are defined there and nowhere else.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """`module` is imported to run it; `before` goes in front of the arguments. A `recipe` of the justfile has no module.

    `files`: its arguments name files of the caller's, so it runs in the caller's folder; the others run in the checkout.
    """

    text: str
    module: str = ""
    before: tuple[str, ...] = ()
    recipe: bool = False
    files: bool = False


def _stack(name: str, text: str) -> tuple[str, Command]:
    return name, Command(text, "stack.__main__", (name,))


def _backup(name: str, text: str) -> tuple[str, Command]:
    return name, Command(text, "stack.backup.command", (name,))


def _client(name: str, text: str) -> tuple[str, Command]:
    return name, Command(text, "stack.client", (name,))


def _files(name: str, text: str, module: str) -> tuple[str, Command]:
    return name, Command(text, module, files=True)


def _recipe(name: str, text: str) -> tuple[str, Command]:
    return name, Command(text, recipe=True)


SECTIONS: dict[str, dict[str, Command]] = {
    "The platform on this machine": dict((
        _stack("up", "Start the whole platform and wait until data has arrived at the far end"),
        _stack("down", "Stop everything `up` started, in reverse order"),
        _stack("status", "Services with state, pid, uptime and restarts, and the accounting (--json for programs)"),
        ("top", Command("Rates, lag and load of the running stack, refreshed every second", "stack.top")),
        _stack("logs", "Show the log of a service, or of all of them (-f to follow)"),
        _stack("service", "Stop or start one service: `service stop gateway-x`, `service restart gateway-x`"),
        _stack("deploy", "Upgrade all jobs to the code of the checkout; back again when they make no progress"),
        _stack("addresses", "Lines to copy for other programs: psql (with the server's proof), grpcurl, curl, the page"),
        _stack("settings", "Print the settings in force and where each came from"),
        _backup("backup", "Back the database up, list, verify and restore backups (`backup list`)"),
        _backup("recover", "After a restore by hand: let the historian read again what the database lacks"),
        _backup("standby", "A second database that follows the first: create, promote, drop"),
        _stack("reset", "Delete all data of the stack (asks, unless --yes)"),
    )),
    "State, commands and history": dict((
        _client("watch", "Follow live values of devices or tags through the gRPC server"),
        _client("history", "Read samples of the past, or windows of them (--csv, --json)"),
        _client("tags", "List tags with their last values"),
        _client("devices", "List devices"),
        _client("anomalies", "Follow anomaly episodes"),
        _client("label", "Say what an anomaly episode was: `label ID not-a-fault --why TEXT`, `label ID withdraw`"),
        _client("alarm", "What stands, by cause; acknowledge, shelve, comment: `alarm standing`, `alarm ack ID`"),
        _client("command", "Send a command to a device and wait for its outcome"),
        _client("get", "Show a command"),
        _client("cancel", "Cancel a command"),
        _client("approve", "Approve a command that waits for it"),
        ("login", Command("Sign in; the commands above then act in your name", "stack.login")),
        _stack("psql", "Open psql on the stack's database"),
        ("cat", Command("Print the records of a topic for people", "connectors.kafka.cat")),
        ("correct", Command("Put stored samples right, with a reason; what they were stays", "historian.correct")),
        _files("report", "One page on a shift, a day or a week, as HTML and PDF: OEE, losses, stops, orders", "reports.__main__"),
        _files("export", "Write samples, windows, anomalies, events or rejects to files, a day each", "historian.export.__main__"),
        ("replay-rejected", Command("Correct refused samples and send them again", "historian.replay.__main__")),
    )),
    "Plant and machines": dict((
        _files("plant", "Check, load, change, show and export the plant: `plant check plant.yaml`", "registry.command"),
        _files("alarms", "Rules of alarms: check, try on history, publish: `alarms try oil-hot --since 7d`", "alarms.command"),
        _files("notify", "Who is told of alarms: check the routes, send a test, list deliveries: `notify check FILE`", "notifier.command"),
        _files("work", "Calendars, orders, lots, stops and batches as CSV: `work import job_orders.csv`", "work.command"),
        _files("browse", "List what an OPC UA server or an MQTT broker has, and write a plant file's skeleton", "browse.command"),
        ("fault", Command("Put faults on simulated machines, list them, take them off", "simulator.__main__", ("fault",), files=True)),
        ("pause", Command("Stop the simulated machines emitting samples", "simulator.__main__", ("pause",))),
        ("resume", Command("Let the simulated machines emit samples again", "simulator.__main__", ("resume",))),
        ("past", Command("Let a line of simulated machines send the week that lies behind it", "simulator.__main__", ("past",))),
        ("machines", Command("What the simulated machines do: counts, states, servers", "simulator.__main__", ("status",))),
    )),
    "An installation": dict((
        _files("policy", "Try the policies of a gateway: `policy test FILE`", "edge.policy_command"),
        _files("gateway", "Enrol, revoke and list gateways; check a configuration, show what gateways do, reload them", "stack.gateways"),
        ("passwords", Command("Other passwords for the local stack's database roles, while all runs", "stack.passwords")),
        ("certificates", Command("Certificates of the local stack: list, issue, revoke, renew", "stack.certificates")),
        _files("certificate", "Show, renew and trust the OPC UA certificates of a gateway", "edge.certificate"),
        _files("access", "Check the policies of commands, and explain what they decide", "serving.policies.command"),
        _files("privacy", "People in records: list, show, export what there is of one, forget one", "serving.people.command"),
        _files("audit", "Who did what: list, show, prove and export entries of the audit log", "audit.command"),
        ("topics", Command("Make the Kafka topics of an installation", "connectors.kafka.admin")),
        ("migrate", Command("Bring the database of an installation to the newest schema", "historian.migrate")),
        ("storage", Command("Show or change on what history is stored, how long, and how large it is", "historian.storage")),
    )),
    "Measuring": dict((
        ("bench", Command("Run benchmarks (generate, run, report)", "benchmarks.__main__")),
        ("drill", Command("Destroy a line made for it and bring it back, measured: `drill restore`", "benchmarks.drill")),
        _files("detect", "Run the anomaly detectors over CSV files of your own", "detect.command"),
    )),
    "Development": dict((
        _recipe("setup", "Make or update the environment only: Python packages, system packages, jars"),
        _recipe("test", "Run the tests, all rungs, with coverage; arguments go to pytest"),
        _recipe("lint", "Check style, types and the lock file; `lint --security`: findings, advisories, jars, SBOM"),
        _recipe("format", "Apply the formatter and the safe fixes"),
        _recipe("lock", "Resolve the dependencies again after an edit of pyproject.toml"),
        _recipe("proto", "Generate the Python code of the .proto files"),
        _recipe("web", "Build the page of web/, as `up` does when its sources have changed"),
    )),
}  # fmt: skip
COMMANDS = {name: command for section in SECTIONS.values() for name, command in section.items()}
COMPLETION = "completion"


def help_text() -> str:
    """The whole help."""
    lines = ["usage: ./millrace COMMAND [ARGUMENTS]"]
    for title, section in SECTIONS.items():
        lines += ["", f"{title}:", *(f"  {name:<18}{command.text}" for name, command in section.items())]
    lines += [
        "",
        "`./millrace COMMAND --help` shows a command's arguments; `./millrace completion bash` (zsh, fish) prints a completion script.",
        "Settings: millrace.toml beside this script or MILLRACE_... in the environment; `./millrace settings` prints them.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(help_text())
