"""Methods of HistoryService that answer what a plant asks of its work."""

from __future__ import annotations

from collections.abc import Iterable

from millrace_client.calls import answers as calls
from millrace_client.results import (
    Anomaly,
    AnomalyLot,
    Batch,
    BatchDeviation,
    ControlChart,
    DowntimeCause,
    LotRelation,
    LotValue,
    PlannedProduction,
    Reliability,
    Tag,
    Time,
)
from millrace_client.threads.carrier import Carrier


class AnswerMethods(Carrier):
    """Answers of a plant's work. Figures of a place are for those who may read all of it."""

    def downtime_pareto(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        depth: int = 0,
        deadline_s: float | None = None,
    ) -> tuple[DowntimeCause, ...]:
        """Unplanned downtime of a part of the plant by reason, longest first; without a range of the last 24 hours, at most of 31 days.

        `depth`: reasons cut to so many parts, 1 for categories.
        """
        return self._unary(calls.read_downtime_pareto(prefix, start, end, depth), deadline_s)

    def reliability(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        failure_reasons: str | Iterable[str] = (),
        deadline_s: float | None = None,
    ) -> tuple[Reliability, ...]:
        """MTBF and MTTR of the machines under a path; range as of `oee`.

        A stop is a failure when the machine was in ABORTED, or has a reason at or below one of `failure_reasons`.
        """
        return self._unary(calls.read_reliability(prefix, start, end, failure_reasons), deadline_s)

    def production(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        counted_class: str = "",
        deadline_s: float | None = None,
    ) -> tuple[PlannedProduction, ...]:
        """Orders that are planned or ran in a range (as of `oee`) against their plan, by planned start.

        `counted_class`: where a piece passes several machines, the class of those that count.
        """
        return self._unary(calls.read_production(prefix, start, end, counted_class), deadline_s)

    def genealogy(
        self,
        lot: str,
        *,
        direction: str = "",
        deadline_s: float | None = None,
    ) -> tuple[LotRelation, ...]:
        """Lots that a lot was made of (`direction` back), that were made of it (forward), or both, through any number of steps."""
        return self._unary(calls.read_genealogy(lot, direction), deadline_s)

    def lot_values(
        self,
        lot: str,
        *,
        deadline_s: float | None = None,
    ) -> tuple[LotValue, ...]:
        """What machines measured while a lot, and the lots that it was made of, were produced."""
        return self._unary(calls.read_lot_values(lot), deadline_s)

    def anomaly_lots(
        self,
        episode: str | Anomaly,
        *,
        deadline_s: float | None = None,
    ) -> tuple[AnomalyLot, ...]:
        """Lots that were at a machine during an anomaly episode, and all that were made of them since."""
        return self._unary(
            calls.read_anomaly_lots(episode.episode_id if isinstance(episode, Anomaly) else episode), deadline_s
        )

    def control_chart(
        self,
        tag: str | Tag,
        start: Time | None = None,
        end: Time | None = None,
        *,
        n: int = 0,
        packml_state: str = "",
        baseline: tuple[Time, Time] | None = None,
        lower_spec: float | None = None,
        upper_spec: float | None = None,
        deadline_s: float | None = None,
    ) -> ControlChart:
        """X-bar and R chart of a tag over a range (as of `oee`): limits, capability, points with the Western Electric rules they complete.

        `n`: samples of a subgroup, 5 unless given; `packml_state`: only samples in it; `baseline`: range of the limits; `lower_spec`,
        `upper_spec`: instead of the tag's EU range.
        """
        return self._unary(
            calls.read_control_chart(
                tag.path if isinstance(tag, Tag) else tag, start, end, n, packml_state, baseline, lower_spec, upper_spec
            ),
            deadline_s,
        )

    def batch_deviation(
        self,
        batch: str | Batch,
        *,
        golden: str = "",
        points: int = 0,
        deadline_s: float | None = None,
    ) -> tuple[BatchDeviation, ...]:
        """A batch against a golden one (the newest of its recipe unless given), by phase and tag, at `points` of each phase (20)."""
        return self._unary(
            calls.read_batch_deviation(batch.batch if isinstance(batch, Batch) else batch, golden, points), deadline_s
        )
