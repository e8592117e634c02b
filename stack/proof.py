"""Proof that jobs work: each completes checkpoints, in one go, and no source of it stands before records that wait.

Called by `deploy` for the new root, and for the old one when it went back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from base.errors import MillraceError
from stack import jobs, restore_points
from stack.config import StackConfig
from stack.errors import StepError, UnreachableError
from stack.flink_rest import FlinkRest, FlinkUnavailableError, FlinkUnknownError
from stack.job_readings import JobReader
from stack.progress import Reading, compare

_CHECKPOINTS = 2
_PERIOD_S = 0.5
# Some ten seconds, with the pauses of flink-conf (0.2 s, doubled). No job of ours restarts so often when a broker or a database is away.
_HOPELESS_RESTARTS = 6


@dataclass(kw_only=True)
class _Watched:
    """One job on its way to the proof."""

    first: Reading | None = None
    shown: str = ""
    wanting: str = "it was not looked at"


@dataclass(kw_only=True)
class _Proof:
    config: StackConfig
    reader: JobReader
    submit: jobs.Submit
    watched: dict[str, _Watched] = field(default_factory=dict)

    def look(self, name: str) -> None:
        """One look at a job; a JobManager that died has forgotten it, then it is submitted again."""
        one, rest = self.watched[name], FlinkRest(self.config.flink_url)
        self._raise_failure(name, rest)
        job_id, submitted = jobs.submit_unless_live(self.config, name, self.submit)
        now = self.reader.read(name, job_id)
        failed = last_line(rest.root_exception(job_id))
        if failed and now.attempt >= _HOPELESS_RESTARTS and not now.completed:
            msg = f"job {name} was restarted {now.attempt} times and completed no checkpoint: {failed}"
            raise StepError(msg)
        if submitted or not rest.running(job_id):
            one.first, one.wanting = None, f"its tasks do not run{f': {failed}' if failed else ''}"
            return
        first = one.first
        advance = None if first is None else compare(first, now)
        if advance is None or advance.restarted:
            one.first = now
            one.wanting = "its tasks were restarted" if advance is not None else "no checkpoint is completed"
            return
        one.wanting = str(advance)
        if advance.checkpoints >= _CHECKPOINTS and not advance.standing:
            one.shown = f"{name} {advance.checkpoints} checkpoints"

    def _raise_failure(self, name: str, rest: FlinkRest) -> None:
        """A job that Flink has given up, as one whose state does not fit, is not submitted again and again."""
        point = restore_points.read(self.config).get(name)
        if point is not None and any(job.id == point.job_id and job.state == "FAILED" for job in rest.jobs()):
            msg = f"job {name} ({point.job_id}) has failed: {last_line(rest.root_exception(point.job_id))}"
            raise StepError(msg)


def prove(config: StackConfig, names: tuple[str, ...], submit: jobs.Submit) -> str:
    """Return what every job has shown. StepError when one has not within `progress_timeout_s`, or has failed for good.

    A JobManager or a broker that does not answer proves nothing against a job: UnreachableError when the time is over then.
    """
    deadline = time.monotonic() + config.progress_timeout_s
    with JobReader(config, names) as reader:
        proof = _Proof(config=config, reader=reader, submit=submit, watched={name: _Watched() for name in names})
        while wanting := [name for name, one in proof.watched.items() if not one.shown]:
            away: Exception | None = None
            for name in wanting:
                try:
                    proof.look(name)
                except (FlinkUnavailableError, FlinkUnknownError, MillraceError) as error:
                    away = error
            if time.monotonic() > deadline:
                if away is not None:
                    msg = f"after {config.progress_timeout_s} s nothing is known about progress: {away}"
                    raise UnreachableError(msg) from away
                why = "; ".join(f"{name}: {proof.watched[name].wanting}" for name in wanting)
                msg = f"no progress within {config.progress_timeout_s} s: {why}"
                raise StepError(msg)
            time.sleep(_PERIOD_S)
    return ", ".join(one.shown for one in proof.watched.values())


def last_line(trace: str) -> str:
    """Of a Java or Python stack trace, the line that says what went wrong: the innermost cause."""
    lines = [
        line.strip() for line in trace.splitlines() if line.strip() and not line.lstrip().startswith(("at ", "... "))
    ]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or [""])[-1][:300]
