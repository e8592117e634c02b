"""After a restore or a takeover: the historian job begins again from what the database has read, without its old state.

Every step may be done again. The job is stopped first, so nobody commits another place meanwhile; its restore points belong to another
life of the database, and the job keeper must not find them.
"""

from __future__ import annotations

from base.settings import KafkaSettings
from historian import recovery
from historian.recovery import Report
from stack import deployment, jobs, postgres, restore_points
from stack.config import StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.reporting import Progress

JOB = "historian"
_SAVEPOINT_TIMEOUT_S = 30


def look(config: StackConfig) -> Report:
    """What a recovery would come to; changes nothing."""
    return recovery.recover(postgres.dsn(config), _kafka(config), dry_run=True)


def recover(config: StackConfig, progress: Progress) -> Report:
    """Stop the historian job, set it back, and start it when Flink runs; otherwise `up` does."""
    with jobs.lock(config):
        if deployment.pending(config) is not None:
            msg = "a deployment was interrupted; the job keeper finishes it, or `./millrace deploy`; then recover"
            raise StackError(msg)
        with_flink = FlinkRest(config.flink_url).alive()
        if with_flink:
            with progress.step(f"job {JOB}: stop") as details:
                details.append(_stop(config))
        with progress.step("place in Kafka") as details:
            report = recovery.recover(
                postgres.dsn(config), _kafka(config), forget_state=lambda: restore_points.forget(config, JOB)
            )
            details.append(f"{report.records:,} records are read again")
        if with_flink:
            with progress.step(f"job {JOB}: start") as details:
                job_id = jobs.submit(config, JOB, restore="")
                details.append(f"submitted as {job_id}")
    if with_flink:
        jobs.wait_running(config, job_id)
    return report


def _stop(config: StackConfig) -> str:
    """With a savepoint, not to go on from it: what the job has refused must be on its topic."""
    try:
        return "stopped" if jobs.stop(config, JOB, timeout_s=_SAVEPOINT_TIMEOUT_S) else "did not run"
    except StackError:
        jobs.cancel(config, JOB)
        return "cancelled"


def _kafka(config: StackConfig) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=config.bootstrap_servers)
