"""The Flink jobs of the stack: submission, restore points, stop with savepoint, upgrade.

A restore point is where a job goes on from: the savepoint of its last orderly stop, or the newest checkpoint of its last run when
it ended otherwise (crash, JobManager restart). It is kept per job in `jobs.json`; Flink itself forgets it with the JobManager.
One writer at a time: `lock` is held by whoever submits (`up`, `deploy`, the job keeper).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from stack import flink, render
from stack.config import ROOT, StackConfig
from stack.errors import StackError, StepError
from stack.flink_rest import FlinkJob, FlinkRest

# In submission order: `commands` first, it gets the TaskManager with CPU priority; the historian before the job that feeds it.
JOBS = ("commands", "historian", "telemetry")
_PACKAGES = ("base", "schemas", "stages", "connectors", "registry", "historian", "jobs")
_KEPT_SAVEPOINTS = 9
_SUFFIXES = (".py", ".avsc", ".json", ".sql", ".yaml", ".toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class RestorePoint:
    """Last run of a job and what it went on from."""

    job_id: str
    restored_from: str = ""


def flink_name(job: str) -> str:
    """Name under which the job runs in Flink: `NAME` of its module, read without importing it (that would load pyflink)."""
    source = ROOT / "jobs" / f"{job}.py"
    match = re.search(r'^NAME = "([^"]+)"$', source.read_text(), re.MULTILINE) if source.exists() else None
    return match[1] if match else job


@contextmanager
def lock(config: StackConfig) -> Iterator[None]:
    """Hold the right to submit and stop jobs of this instance."""
    config.run.mkdir(parents=True, exist_ok=True)
    with (config.run / "jobs.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_zip(config: StackConfig) -> Path:
    """One zip with our packages; the name is the same every time, a TaskManager caches modules by their own names anyway."""
    target = config.run / "millrace-jobs.zip"
    scratch = target.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            for path in sorted((ROOT / package).rglob("*")):
                if path.suffix in _SUFFIXES and "__pycache__" not in path.parts:
                    archive.write(path, path.relative_to(ROOT))
    scratch.replace(target)
    return target


def submit(
    config: StackConfig, job: str, *, script: Path | None = None, arguments: tuple[str, ...] | None = None
) -> str:
    """`flink run` of a job from its restore point; returns the job id. Call it with the lock held."""
    # By module: as a script, `jobs/historian.py` would stand before the package `historian` on its own path.
    program = ("-py", str(script)) if script else ("-pym", f"jobs.{job}")
    arguments = ("--config", str(render.jobs_file(config, job))) if arguments is None else arguments
    restore, options = restore_path(config, job), []
    if restore:
        # A checkpoint is Flink's to delete once it is subsumed; a savepoint stays ours, `reset` deletes it.
        claim = "CLAIM" if "/chk-" in restore else "NO_CLAIM"
        options = ["-s", restore, "-cm", claim]
    command = [
        "bash",
        str(flink.home() / "bin" / "flink"),
        "run",
        "-d",
        *options,
        "-p",
        str(config.parallelism.of(job)),
    ]
    command += [
        *program,
        "-pyfs",
        str(build_zip(config)),
        "-pyexec",
        sys.executable,
        "-pyclientexec",
        sys.executable,
        *arguments,
    ]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | flink.environment(
        config, "client"
    )
    environment["JVM_ARGS"] = f"-Xmx384m -XX:TieredStopAtLevel=1 -Djava.io.tmpdir={flink.tmp_dir(config)}"
    result = subprocess.run(
        command, env=environment, cwd=flink.tmp_dir(config), capture_output=True, text=True, check=False, timeout=300
    )
    marker = "Job has been submitted with JobID "
    job_id = next((line.split(marker)[1].strip() for line in result.stdout.splitlines() if marker in line), "")
    if result.returncode or not job_id:
        msg = f"flink run of {job} failed:\n{_reason(result.stdout + result.stderr)}"
        raise StepError(msg)
    _check_name(config, job, job_id)
    _remember(config, job, RestorePoint(job_id=job_id, restored_from=restore))
    return job_id


def wait_running(config: StackConfig, job_id: str, *, timeout_s: float = 120) -> None:
    """Return when all tasks run; StepError with the job's own exception when it does not get there."""
    rest, deadline = FlinkRest(config.flink_url), time.monotonic() + timeout_s
    while not rest.running(job_id):
        state = rest.job_state(job_id)
        if state in ("FAILED", "CANCELED", "FINISHED") or time.monotonic() > deadline:
            cause = rest.root_exception(job_id)[-3000:] or "no task has failed; is a slot free?"
            msg = f"job {job_id} is {state} and not all of its tasks run after {timeout_s:.0f} s: {cause}"
            raise StepError(msg)
        time.sleep(0.1)


def ensure(config: StackConfig, job: str, *, wait: bool = True) -> tuple[str, bool]:
    """Submit a job unless one of its name is live; (job id, whether it was submitted)."""
    with lock(config):
        live = FlinkRest(config.flink_url).live_job(flink_name(job))
        job_id = live.id if live else submit(config, job)
    if wait:
        wait_running(config, job_id)
    return job_id, live is None


def stop(config: StackConfig, job: str, *, timeout_s: float = 60) -> str | None:
    """Stop a live job with a savepoint, which becomes its restore point; None when there is no such job. Call it with the lock held."""
    rest = FlinkRest(config.flink_url)
    live = rest.live_job(flink_name(job))
    if live is None:
        return None
    savepoint = rest.stop_with_savepoint(live.id, flink.savepoint_dir(config).as_uri(), timeout_s=timeout_s)
    _remember(config, job, RestorePoint(job_id="", restored_from=savepoint))
    _prune_savepoints(config)
    _wait_gone(rest, live, timeout_s)
    return savepoint


def cancel(config: StackConfig, job: str) -> None:
    """Cancel a live job that could not be stopped with a savepoint; its newest checkpoint stays its restore point."""
    rest = FlinkRest(config.flink_url)
    live = rest.live_job(flink_name(job))
    if live is not None:
        rest.cancel(live.id)
        _wait_gone(rest, live, 30)


def restore_path(config: StackConfig, job: str) -> str:
    """Where the job goes on from: newest complete checkpoint of its last run, else what that run was restored from; else empty."""
    point = _read(config).get(job)
    if point is None:
        return ""
    checkpoints = (
        [p.parent for p in (flink.checkpoint_dir(config) / point.job_id).glob("chk-*/_metadata")]
        if point.job_id
        else []
    )
    if checkpoints:
        return max(checkpoints, key=lambda p: int(p.name.removeprefix("chk-"))).as_uri()
    return point.restored_from


def go_on_from(config: StackConfig, job: str, savepoint: str) -> None:
    """Make a savepoint (a URI) the restore point of a job that does not run. Call it with the lock held."""
    _remember(config, job, RestorePoint(job_id="", restored_from=savepoint))


def interrupted(config: StackConfig) -> tuple[str, ...]:
    """Jobs that ran and were not stopped on purpose, in submission order."""
    points = _read(config)
    return tuple(job for job in JOBS if job in points and points[job].job_id)


def _check_name(config: StackConfig, job: str, job_id: str) -> None:
    """A job that goes by another name than its module says would be submitted again and again: cancel it."""
    rest = FlinkRest(config.flink_url)
    names = {known.id: known.name for known in rest.jobs()}
    if names.get(job_id) != flink_name(job):
        rest.cancel(job_id)
        msg = f"job {job} was submitted under the name {names.get(job_id)!r}, not {flink_name(job)!r} (NAME in jobs/{job}.py)"
        raise StepError(msg)


def _reason(output: str) -> str:
    """The Python traceback of a submission that failed, without the client's Java around it; all of the end when there is none."""
    lines = output.splitlines()
    begin = next((i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")), None)
    if begin is None:
        return output[-4000:]
    end = next(
        (i for i, line in enumerate(lines) if i > begin and line.startswith(("\tat ", "org.apache."))), len(lines)
    )
    return "\n".join(lines[begin:end])


def _prune_savepoints(config: StackConfig) -> None:
    """Keep the newest savepoints and those that a job goes on from."""
    referenced = {point.restored_from for point in _read(config).values()}
    folders = sorted(
        flink.savepoint_dir(config).glob("savepoint-*"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for folder in folders[_KEPT_SAVEPOINTS:]:
        if not any(folder.name in path for path in referenced):
            shutil.rmtree(folder)


def _wait_gone(rest: FlinkRest, job: FlinkJob, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while rest.live_job(job.name) is not None:
        if time.monotonic() > deadline:
            msg = f"job {job.name} ({job.id}) did not end within {timeout_s:.0f} s"
            raise StackError(msg)
        time.sleep(0.1)


def _file(config: StackConfig) -> Path:
    return config.data / "flink" / "jobs.json"


def _read(config: StackConfig) -> dict[str, RestorePoint]:
    try:
        return {job: RestorePoint(**row) for job, row in json.loads(_file(config).read_text()).items()}
    except FileNotFoundError:
        return {}


def _remember(config: StackConfig, job: str, point: RestorePoint) -> None:
    rows = {name: asdict(known) for name, known in (_read(config) | {job: point}).items()}
    scratch = _file(config).with_suffix(".new")
    scratch.write_text(json.dumps(rows, indent=2))
    scratch.replace(_file(config))
