"""Where each job goes on from: the savepoints and checkpoints of its runs, newest first.

Per job `jobs.json` holds its last run and what that run was restored from; Flink itself forgets both with the JobManager. The rest is on
the disk: checkpoints of a run in a folder of its job id, savepoints in a folder of the job's name and the job id. Each is complete when its
`_metadata` is there. So a savepoint is found even when whoever asked for it was killed before writing down where it is.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from base import files
from stack import flink
from stack.config import StackConfig

_KEPT_SAVEPOINTS = 3
_writing = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class RestorePoint:
    """Last run of a job and what it went on from. `job_id` is empty after an orderly stop; then the job is not missed when it is absent."""

    job_id: str
    restored_from: str = ""


def read(config: StackConfig) -> dict[str, RestorePoint]:
    """Every job that ever ran, by name."""
    try:
        return {job: RestorePoint(**row) for job, row in json.loads(_file(config).read_text()).items()}
    except FileNotFoundError:
        return {}


def remember(config: StackConfig, job: str, point: RestorePoint) -> None:
    """Write a job's last run down. Several threads may, of the one process that has the right to submit."""
    with _writing:
        _write(config, read(config) | {job: point})


def candidates(config: StackConfig, job: str) -> tuple[str, ...]:
    """Addresses that the job can go on from, best first; empty when it has to begin anew.

    First what its last run left, newest first; then what that run was restored from, and what lies beside that; then older savepoints of
    the job. When nothing of that is on the disk, what was written down stays: a submission that fails is better than a job that
    forgot everything.
    """
    point = read(config).get(job)
    if point is None:
        return ()
    savepoints = savepoint_dir(config, job)
    own = [
        *(flink.checkpoint_dir(config) / point.job_id).glob("chk-*"),
        *(savepoints / point.job_id).glob("savepoint-*"),
    ]
    found = [path.as_uri() for path in _newest_first(own if point.job_id else [])]
    if point.restored_from and _complete(_path(point.restored_from)):
        found.append(point.restored_from)
    if point.restored_from:
        found += [path.as_uri() for path in _newest_first(_path(point.restored_from).parent.glob("chk-*"))]
    found += [path.as_uri() for path in _newest_first(savepoints.glob("*/savepoint-*"))]
    return tuple(dict.fromkeys(found)) or tuple(filter(None, [point.restored_from]))


def newest(config: StackConfig, job: str) -> str:
    """Where the job goes on from, as an address; empty when it begins anew."""
    return next(iter(candidates(config, job)), "")


def savepoint_dir(config: StackConfig, job: str) -> Path:
    """Where the savepoints of a job go, by job id."""
    return flink.savepoint_dir(config) / job


def forget(config: StackConfig, job: str) -> None:
    """Delete everything that a job that does not run could go on from: it begins anew, from its group's offsets in Kafka."""
    point = read(config).get(job)
    shutil.rmtree(savepoint_dir(config, job), ignore_errors=True)
    if point is not None:
        for run in filter(None, [point.job_id, _path(point.restored_from).parent.name if point.restored_from else ""]):
            shutil.rmtree(flink.checkpoint_dir(config) / run, ignore_errors=True)
        with _writing:
            _write(config, {name: known for name, known in read(config).items() if name != job})


def prune(config: StackConfig, live: Iterable[str]) -> None:
    """Delete what no job goes on from any more: all but the newest savepoints of a job, and checkpoints of runs that are over.

    `live`: ids of jobs that Flink runs. What a job's last run left, and what that run was restored from, stays.
    """
    points = read(config)
    used = {_path(point.restored_from) for point in points.values() if point.restored_from}
    for job in points:
        for path in _newest_first(savepoint_dir(config, job).glob("*/savepoint-*"))[_KEPT_SAVEPOINTS:]:
            if path not in used:
                shutil.rmtree(path)
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()
    runs = {*live, *(point.job_id for point in points.values()), *(path.parent.name for path in used)}
    for folder in flink.checkpoint_dir(config).iterdir():
        if folder.name not in runs:
            shutil.rmtree(folder)


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    """Complete ones only. Numbers of checkpoints decide between those of one moment."""
    complete = [path for path in paths if _complete(path)]
    return sorted(complete, key=lambda path: ((path / "_metadata").stat().st_mtime_ns, _number(path)), reverse=True)


def _number(path: Path) -> int:
    return int(path.name.removeprefix("chk-")) if path.name.startswith("chk-") else 0


def _complete(path: Path) -> bool:
    return (path / "_metadata").exists()


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


def _write(config: StackConfig, points: Mapping[str, RestorePoint]) -> None:
    rows = {name: asdict(point) for name, point in points.items()}
    files.replace(_file(config), json.dumps(rows, indent=2))


def _file(config: StackConfig) -> Path:
    return config.data / "flink" / "jobs.json"
