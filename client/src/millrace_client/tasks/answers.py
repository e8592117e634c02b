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
from millrace_client.tasks.carrier import Carrier


class AnswerMethods(Carrier):
    """Answers of a plant's work. Figures of a place are for those who may read all of it."""

    async def downtime_pareto(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        depth: int = 0,
        deadline_s: float | None = None,
    ) -> tuple[DowntimeCause, ...]:
        """As `Client.downtime_pareto`."""
        return await self._unary(calls.read_downtime_pareto(prefix, start, end, depth), deadline_s)

    async def reliability(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        failure_reasons: str | Iterable[str] = (),
        deadline_s: float | None = None,
    ) -> tuple[Reliability, ...]:
        """As `Client.reliability`."""
        return await self._unary(calls.read_reliability(prefix, start, end, failure_reasons), deadline_s)

    async def production(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        counted_class: str = "",
        deadline_s: float | None = None,
    ) -> tuple[PlannedProduction, ...]:
        """As `Client.production`."""
        return await self._unary(calls.read_production(prefix, start, end, counted_class), deadline_s)

    async def genealogy(
        self,
        lot: str,
        *,
        direction: str = "",
        deadline_s: float | None = None,
    ) -> tuple[LotRelation, ...]:
        """As `Client.genealogy`."""
        return await self._unary(calls.read_genealogy(lot, direction), deadline_s)

    async def lot_values(
        self,
        lot: str,
        *,
        deadline_s: float | None = None,
    ) -> tuple[LotValue, ...]:
        """As `Client.lot_values`."""
        return await self._unary(calls.read_lot_values(lot), deadline_s)

    async def anomaly_lots(
        self,
        episode: str | Anomaly,
        *,
        deadline_s: float | None = None,
    ) -> tuple[AnomalyLot, ...]:
        """As `Client.anomaly_lots`."""
        return await self._unary(
            calls.read_anomaly_lots(episode.episode_id if isinstance(episode, Anomaly) else episode), deadline_s
        )

    async def control_chart(
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
        """As `Client.control_chart`."""
        return await self._unary(
            calls.read_control_chart(
                tag.path if isinstance(tag, Tag) else tag, start, end, n, packml_state, baseline, lower_spec, upper_spec
            ),
            deadline_s,
        )

    async def batch_deviation(
        self,
        batch: str | Batch,
        *,
        golden: str = "",
        points: int = 0,
        deadline_s: float | None = None,
    ) -> tuple[BatchDeviation, ...]:
        """As `Client.batch_deviation`."""
        return await self._unary(
            calls.read_batch_deviation(batch.batch if isinstance(batch, Batch) else batch, golden, points), deadline_s
        )
