"""The few calls of Flink's REST interface that the stack needs.

Called by job submission, `deploy`, `status` and the readiness checks. An unreachable JobManager is `FlinkUnavailableError`, except
where the docstring says otherwise.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from stack.errors import StackError, UnreachableError

# States in which a job holds or will get its slot again.
_LIVE = frozenset({"INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "FAILING", "RECONCILING"})


class FlinkUnavailableError(UnreachableError):
    """The JobManager does not answer."""


class FlinkUnknownError(StackError):
    """The JobManager does not know what was asked about: one that was restarted has forgotten its jobs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlinkJob:
    """One line of the job overview."""

    id: str
    name: str
    state: str
    start_time_ms: int
    # Whether every task runs; a job is RUNNING as soon as it is scheduled.
    all_running: bool = field(default=False, compare=False)
    # When one of its tasks last came to another state, Unix time: as long as it is the same, no task was restarted or moved.
    changed_ms: int = field(default=0, compare=False)

    @property
    def live(self) -> bool:
        """Whether it runs or will run again by itself."""
        return self.state in _LIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoints:
    """Checkpoints and savepoints `completed` since a job was submitted, and when the newest was, Unix time; 0 without one."""

    completed: int
    newest_ms: int


class FlinkRest:
    """Client of one JobManager."""

    def __init__(self, url: str, *, timeout_s: float = 5) -> None:
        self._url = url
        self._timeout_s = timeout_s

    def alive(self) -> bool:
        """Whether the JobManager answers; never raises for an unreachable one."""
        try:
            self._call("/overview")
        except FlinkUnavailableError:
            return False
        return True

    def taskmanagers(self) -> dict[str, int]:
        """Free slots by TaskManager id; empty when the JobManager is unreachable."""
        try:
            rows = self._call("/taskmanagers")["taskmanagers"]
        except FlinkUnavailableError:
            return {}
        return {row["id"]: int(row["freeSlots"]) for row in rows}

    def heartbeat_ages_s(self, now_s: float) -> dict[str, float]:
        """Seconds since the newest heartbeat of every registered TaskManager, at Unix time `now_s`."""
        rows = self._call("/taskmanagers")["taskmanagers"]
        # Its name says an age, its value is the time of the beat in milliseconds.
        return {row["id"]: now_s - int(row["timeSinceLastHeartbeat"]) / 1000 for row in rows}

    def jobs(self) -> list[FlinkJob]:
        """All jobs that the JobManager remembers, newest first."""
        rows = self._call("/jobs/overview")["jobs"]
        jobs = [
            FlinkJob(
                id=row["jid"],
                name=row["name"],
                state=row["state"],
                start_time_ms=int(row["start-time"]),
                all_running=0 < row["tasks"]["total"] == row["tasks"]["running"],
                changed_ms=int(row["last-modification"]),
            )
            for row in rows
        ]
        return sorted(jobs, key=lambda job: -job.start_time_ms)

    def live_jobs(self) -> dict[str, FlinkJob]:
        """The live jobs by name, the newest of each."""
        return {job.name: job for job in reversed(self.jobs()) if job.live}

    def live_job(self, name: str) -> FlinkJob | None:
        """The live job of that name, if there is one."""
        return self.live_jobs().get(name)

    def running(self, job_id: str) -> bool:
        """Whether every task of the job runs (a job is RUNNING as soon as it is scheduled)."""
        job = self._call(f"/jobs/{job_id}")
        return job["state"] == "RUNNING" and all(vertex["status"] == "RUNNING" for vertex in job["vertices"])

    def job_state(self, job_id: str) -> str:
        """State of one job."""
        return str(self._call(f"/jobs/{job_id}/status")["status"])

    def root_exception(self, job_id: str) -> str:
        """What the job failed of last; empty when it never did."""
        entries = self._call(f"/jobs/{job_id}/exceptions").get("exceptionHistory", {}).get("entries", [])
        return str(entries[0].get("stacktrace", "")) if entries else ""

    def failed_on(self, job_id: str) -> set[str]:
        """Ids of the TaskManagers on which the job's tasks failed last; empty when none did, or when it did not fail there."""
        entries = self._call(f"/jobs/{job_id}/exceptions").get("exceptionHistory", {}).get("entries", [])
        causes = [entries[0], *entries[0].get("concurrentExceptions", [])] if entries else []
        return {str(cause["taskManagerId"]) for cause in causes if cause.get("taskManagerId")}

    def restarts(self, job_id: str) -> int:
        """How often the job's tasks were started again; at once, unlike the metric of that name, which lags by ten seconds."""
        return max((int(one["attempt"]) for one in self._subtasks(job_id)), default=0)

    def task_times_ms(self, job_id: str) -> dict[str, int]:
        """When the last of the job's tasks came to each state (SCHEDULED, DEPLOYING, RUNNING, ...) in its present attempt, Unix time."""
        found: dict[str, int] = {}
        for vertex in self._vertices(job_id):
            for subtask in self._call(f"/jobs/{job_id}/vertices/{vertex}/subtasktimes")["subtasks"]:
                for state, at_ms in subtask["timestamps"].items():
                    found[state] = max(found.get(state, 0), int(at_ms))
        return found

    def sources(self, job_id: str) -> list[str]:
        """Ids of the vertices that no other vertex feeds."""
        job = self._call(f"/jobs/{job_id}")
        fed = {node["id"] for node in job["plan"]["nodes"] if node.get("inputs")}
        return [str(vertex["id"]) for vertex in job["vertices"] if vertex["id"] not in fed]

    def metric_ids(self, job_id: str, vertex: str) -> list[str]:
        """Ids of the metrics that the vertex's subtasks have now; a task that has just started has few."""
        return [str(row["id"]) for row in self._call(_metrics_path(job_id, vertex))]

    def metric_values(self, job_id: str, vertex: str, ids: Iterable[str], *, by: str = "sum") -> dict[str, int]:
        """Metrics of a vertex by id, over its subtasks (`by` sum or max); those that it does not have are not among them."""
        if not (wanted := ",".join(ids)):  # Flink would take it for a question about the ids
            return {}
        query = urllib.parse.urlencode({"get": wanted, "agg": by})
        return {str(row["id"]): int(row[by]) for row in self._call(f"{_metrics_path(job_id, vertex)}?{query}")}

    def checkpoints(self, job_id: str) -> Checkpoints:
        """What the job has completed."""
        found = self._call(f"/jobs/{job_id}/checkpoints")
        newest = found["latest"]["completed"]
        return Checkpoints(
            completed=int(found["counts"]["completed"]),
            newest_ms=int(newest["latest_ack_timestamp"]) if newest else 0,
        )

    def sums(self, job_id: str, names: tuple[str, ...]) -> dict[str, int]:
        """Metrics of ours (group `millrace`) by name, summed over operators and subtasks; those that none has are not among them."""
        found: dict[str, int] = {}
        for vertex in self._vertices(job_id):
            wanted = [one for one in self.metric_ids(job_id, vertex) if one.endswith(_endings(names))]
            for metric, value in self.metric_values(job_id, vertex, wanted).items():
                name = metric.rpartition(".")[2]
                found[name] = found.get(name, 0) + value
        return found

    def highest_by_gateway(self, job_id: str, name: str) -> dict[str, int]:
        """A metric of ours that each gateway has its own of: its highest value over operators and subtasks, by gateway."""
        found: dict[str, int] = {}
        of_gateways, ending = ".millrace.gateway.", f".{name}"
        for vertex in self._vertices(job_id):
            ids = self.metric_ids(job_id, vertex)
            wanted = [one for one in ids if of_gateways in one and one.endswith(ending)]
            for metric, value in self.metric_values(job_id, vertex, wanted, by="max").items():
                gateway = metric.partition(of_gateways)[2].removesuffix(ending)
                found[gateway] = max(found.get(gateway, 0), value)
        return found

    def running_s(self, job_id: str) -> float:
        """Longest time that one of the job's tasks has been running, seconds; deploying and opening are not in it."""
        return max((int(one["status-duration"]["RUNNING"]) for one in self._subtasks(job_id)), default=0) / 1000

    def hosts_of(self, job_id: str) -> set[str]:
        """Ids of the TaskManagers on which the job has tasks."""
        found: set[str] = set()
        for vertex in self._vertices(job_id):
            rows = self._call(f"/jobs/{job_id}/vertices/{vertex}/taskmanagers")["taskmanagers"]
            found |= {row["taskmanager-id"] for row in rows}
        return found

    def stop_with_savepoint(self, job_id: str, directory: str, *, timeout_s: float = 60) -> str:
        """Stop the job with a savepoint in Flink's own format; returns the savepoint's path, raises StackError when it fails."""
        body = {"targetDirectory": directory, "drain": False, "formatType": "NATIVE"}
        trigger = self._call(f"/jobs/{job_id}/stop", body)["request-id"]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            answer = self._call(f"/jobs/{job_id}/savepoints/{trigger}")
            if answer["status"]["id"] == "COMPLETED":
                operation = answer["operation"]
                if "location" in operation:
                    return str(operation["location"])
                msg = f"savepoint of job {job_id} failed: {operation.get('failure-cause', {}).get('stack-trace', operation)}"
                raise StackError(msg)
            time.sleep(0.2)
        msg = f"savepoint of job {job_id} was not done after {timeout_s:.0f} s"
        raise StackError(msg)

    def submit(self, plan: bytes) -> str:
        """Run a job whose graph was compiled before, as the client hands it over; its id. StackError when Flink refuses it."""
        # Only files may follow the request, and each has to be named in it.
        request = json.dumps({"executionPlanFileName": "plan", "jobJarFileNames": [], "jobArtifactFileNames": []})
        boundary = uuid4().hex
        parts = (
            (b'name="request"', b"application/json", request.encode()),
            (b'name="file_0"; filename="plan"', b"application/octet-stream", plan),
        )
        body = b"".join(
            b"--%s\r\nContent-Disposition: form-data; %s\r\nContent-Type: %s\r\n\r\n%s\r\n"
            % (boundary.encode(), name, kind, content)
            for name, kind, content in parts
        )
        body += b"--%s--\r\n" % boundary.encode()
        answer = self._send("/jobs", body, content_type=f"multipart/form-data; boundary={boundary}")
        return str(answer["jobUrl"]).rpartition("/")[2]

    def cancel(self, job_id: str) -> None:
        """Ask for cancellation; retained checkpoints stay."""
        self._call(f"/jobs/{job_id}?mode=cancel", method="PATCH")

    def _vertices(self, job_id: str) -> list[str]:
        return [str(vertex["id"]) for vertex in self._call(f"/jobs/{job_id}")["vertices"]]

    def _subtasks(self, job_id: str) -> list[dict[str, Any]]:
        return [one for v in self._vertices(job_id) for one in self._call(f"/jobs/{job_id}/vertices/{v}")["subtasks"]]

    def _call(self, path: str, body: dict[str, Any] | None = None, *, method: str | None = None) -> Any:
        return self._send(path, None if body is None else json.dumps(body).encode(), method=method)

    def _send(
        self, path: str, data: bytes | None, *, method: str | None = None, content_type: str = "application/json"
    ) -> Any:
        headers = {"Content-Type": content_type}
        request = urllib.request.Request(self._url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                return json.loads(response.read() or b"{}")
        except urllib.error.HTTPError as error:
            msg = f"Flink answered {error.code} to {path}: {error.read().decode(errors='replace')[:500]}"
            if error.code == 503:  # the dispatcher is still starting
                raise FlinkUnavailableError(msg) from error
            if error.code == 404:
                raise FlinkUnknownError(msg) from error
            raise StackError(msg) from error
        except (OSError, ValueError) as error:
            msg = f"Flink's JobManager does not answer on {self._url}: {error}"
            raise FlinkUnavailableError(msg) from error


def _endings(names: tuple[str, ...]) -> tuple[str, ...]:
    """How the ids of metrics of ours end."""
    return tuple(f".millrace.{name}" for name in names)


def _metrics_path(job_id: str, vertex: str) -> str:
    return f"/jobs/{job_id}/vertices/{vertex}/subtasks/metrics"
