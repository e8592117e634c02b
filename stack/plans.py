"""Plans of jobs: what Flink's client would hand to the JobManager, compiled once, kept, and submitted by one request.

A client starts a Java virtual machine and a Python, loads the planner and compiles: most of that is done once for any number of jobs, so
that all whose plan is missing are compiled together. What comes of it is the same each time, but for the job's id and restore point,
which are filled in for a submission. A plan is kept (`base.plan`) under a name that says of what it was made: code root, configuration,
class path, whatever a compilation reads. Another name, no plan.

A plan holds the job's configuration and is as secret as that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from base import plan
from base.plan import Program
from stack import flink, roots
from stack.config import ROOT, StackConfig
from stack.errors import StepError

COMPILATION = "jobs.flink.compilation"
"""Module of a code root that compiles its programs."""
_SETTINGS = "MILLRACE_JOBS_"
_READ = (".py", ".toml")
_DIGITS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A job as it is to be submitted: a module or a script that builds it, and its arguments."""

    job: str
    program: str
    arguments: tuple[str, ...]

    def file(self, config: StackConfig, root: str = "") -> Path:
        """Where its plan is kept on a code root, by default the active one; files that it names count by their content."""
        named = (self.program, *self.arguments)
        made_of = {
            "root": root or roots.active(config).name,
            "program": named,
            "files": {name: Path(name).read_text() for name in named if name.endswith(_READ) and Path(name).is_file()},
            "flink": (flink.conf_dir(config) / "config.yaml").read_text(),
            "jars": sorted(jar.name for jar in flink.lib_dir().iterdir()),
            # A plan holds functions as this Python and these packages pickled them.
            "python": str(Path(flink.python(config)).resolve()),
            "packages": sha256((ROOT / "uv.lock").read_bytes()).hexdigest(),
            "environment": {key: value for key, value in sorted(os.environ.items()) if key.startswith(_SETTINGS)},
        }
        digest = sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:_DIGITS]
        return _folder(config) / f"{self.job}-{digest}.plan"


def compiles(config: StackConfig, root: str = "") -> bool:
    """Whether the code of a root, by default of the active one, can be compiled without being submitted: 0.2.0 cannot."""
    return (_code(config, root) / COMPILATION.replace(".", "/")).with_suffix(".py").exists()


def compile_missing(config: StackConfig, submissions: Sequence[Submission], *, root: str = "") -> list[str]:
    """Compile those that have no plan on the root, by default the active one, all in one client; their jobs.

    Each plan that comes of it takes the place of the job's older ones. StepError with the Python traceback when one is still missing.
    """
    missing = {one: file for one in submissions if not (file := one.file(config, root)).exists()}
    if not missing:
        return []
    _folder(config).mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = {one: file.with_suffix(".new") for one, file in missing.items()}
    for file in scratch.values():
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
    left = []
    try:
        said = _compile(config, root, scratch)
        for one, file in scratch.items():
            if not file.stat().st_size:
                left.append(one.job)
                continue
            # A deployment may go back to the active root.
            forget(config, one.job, but=one.file(config))
            file.replace(missing[one])
    finally:
        for file in scratch.values():
            file.unlink(missing_ok=True)
    if left:
        msg = f"{', '.join(left)}: not compiled:\n{reason(said)}"
        raise StepError(msg)
    return [one.job for one in missing]


def _compile(config: StackConfig, root: str, files: dict[Submission, Path]) -> str:
    """Everything that a client said which compiled into those files."""
    programs = [
        Program(program=one.program, arguments=one.arguments, plan=str(file)).to_json() for one, file in files.items()
    ]
    late = f"a client of Flink did not compile {', '.join(one.job for one in files)}"
    done = flink.run_client(config, _code(config, root), COMPILATION, programs, late=late)
    return done.stdout + done.stderr


def _code(config: StackConfig, root: str) -> Path:
    return roots.path(config, root) if root else roots.active(config)


def filled(file: Path, *, job_id: str, restore: str) -> bytes:
    """The plan for one submission, from the beginning when `restore` is empty; ValueError when it is none, OSError without it."""
    return plan.filled(file.read_bytes(), job_id=job_id, restore=restore)


def forget(config: StackConfig, job: str, *, but: Path | None = None) -> None:
    """Have the job compiled the next time: nothing that was kept is trusted, `but` that one."""
    for file in _folder(config).glob(f"{job}-*.plan"):
        if file != but:
            file.unlink()


def reason(output: str) -> str:
    """The Python tracebacks of a compilation that failed, without the client's Java around them; all of the end when there is none."""
    lines = output.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")), None)
    if begin is None:
        return output[-4000:]
    end = next(
        (i for i, line in enumerate(lines) if i > begin and line.startswith(("\tat ", "org.apache."))), len(lines)
    )
    return "\n".join(lines[begin:end])


def _folder(config: StackConfig) -> Path:
    return config.data / "flink" / "plans"
