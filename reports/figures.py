"""The numbers of a report, from SQL: every one is a row of a view or function that analysts have too.

Enters: a connection, a scope, a period. Leaves: a `Report`. OEE and energy are those of oee_between and energy_between, stops those of
downtimes_between. Time that has not come yet is in no sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from reports import periods
from reports.model import Anomaly, Cause, Data, Oee, Order, Period, Place, Report, Span, Step

Connection = psycopg.Connection[Any]
Row = Mapping[str, Any]

_OEE = "SELECT * FROM oee_between(%(scope)s, %(begin)s, %(end)s, %(by)s)"
_ENERGY = "SELECT path, energy FROM energy_between(%(scope)s, %(begin)s, %(end)s, %(by)s) WHERE unit = 'kW.h'"
_CAUSES = """
SELECT coalesce(reason, '') AS reason, CASE WHEN reason IS NULL THEN coalesce(packml_state, '?') ELSE '' END AS state,
       bool_or(planned) AS planned, sum(extract(epoch FROM end_time - start_time))::double precision AS stopped_s, count(*) AS times
FROM downtimes_between(%(scope)s, %(begin)s, %(end)s)
GROUP BY 1, 2
ORDER BY stopped_s DESC, 1, 2
"""
_ORDERS = """
SELECT o.job_order, o.material, o.status, o.scope, o.quantity,
       o.quantity * extract(epoch FROM least(o.planned_end, %(end)s) - greatest(o.planned_start, %(begin)s))
                  / extract(epoch FROM o.planned_end - o.planned_start) AS planned
FROM job_orders o
WHERE (o.scope = %(scope)s OR starts_with(o.scope, %(scope)s || '/')) AND o.status <> 'CANCELLED'
  AND (o.planned_start < %(end)s AND o.planned_end > %(begin)s OR o.job_order = ANY(%(ran)s))
ORDER BY o.priority DESC, o.planned_start, o.job_order
"""
_MADE = """
SELECT f.job_order, d.device_class, sum(f.gq + f.unplanned_gq) AS good
FROM oee_between(%(scope)s, %(begin)s, %(end)s, '{device,order}') f
JOIN device d USING (path)
WHERE f.job_order IS NOT NULL AND f.ideal_s IS NOT NULL
GROUP BY 1, 2
"""
_ANOMALIES = """
SELECT device_path, start_time, end_time, peak_score, coalesce(contributors, '{}') AS contributors
FROM anomaly
WHERE start_time < %(end)s AND coalesce(end_time, 'infinity') > %(begin)s
  AND (device_path = %(scope)s OR starts_with(device_path, %(scope)s || '/'))
ORDER BY peak_score DESC, start_time
"""
# A machine has data in a window when one of its values was good. Its windows are the longest of at most a minute that it has, else its
# shortest.
_COVERAGE = """
WITH machines AS (
    SELECT d.device_id, d.path, coalesce(max(w.length) FILTER (WHERE w.length <= 60), min(w.length)) AS window_s
    FROM device d JOIN tags t USING (device_id) CROSS JOIN LATERAL unnest(t.windows_s) AS w(length)
    WHERE (d.path = %(scope)s OR starts_with(d.path, %(scope)s || '/')) AND NOT d.retired AND NOT t.retired
    GROUP BY d.device_id, d.path
)
SELECT m.path, least(count(DISTINCT a.start) * m.window_s
                     / extract(epoch FROM least(%(end)s, now()) - %(begin)s)::double precision, 1) AS coverage
FROM machines m
JOIN tags t USING (device_id)
LEFT JOIN aggregates a ON a.tag_id = t.tag_id AND a.window_s = m.window_s AND a.start >= %(begin)s AND a.start < %(end)s AND a.good > 0
GROUP BY m.path, m.window_s
"""
_REFUSED = """
SELECT count(*) FROM rejected
WHERE rejected_at >= %(begin)s AND rejected_at < %(end)s AND tag_id IS NOT NULL AND starts_with(path, %(scope)s || '/')
"""
_GAPS = """
SELECT count(*), coalesce(sum((e.gap ->> 'samples')::bigint), 0)
FROM device_events e
WHERE e.kind = 'GAP' AND e.time >= %(begin)s AND e.time < %(end)s AND EXISTS (
    SELECT FROM device d WHERE (d.path = %(scope)s OR starts_with(d.path, %(scope)s || '/'))
        AND CASE WHEN e.device_id = 0 THEN d.gateway_id = e.gateway_id ELSE d.device_id = e.device_id END)
"""


def report(connection: Connection, scope: str, period: Period, now: datetime) -> Report:
    """All figures of a page."""
    return _Figures(connection, scope, period, now).report()


class _Figures:
    def __init__(self, connection: Connection, scope: str, period: Period, now: datetime) -> None:
        self._connection, self._scope, self._period, self._now = connection, scope, period, now

    def report(self) -> Report:
        """Ask for everything."""
        orders = self._orders()
        anomalies = [
            Anomaly(
                device=row["device_path"],
                begin=row["start_time"],
                end=row["end_time"],
                score=row["peak_score"],
                tags=tuple(tag.rpartition("/")[2] for tag in row["contributors"]),
            )
            for row in self._rows(_ANOMALIES)
        ]
        coverage = {row["path"]: row["coverage"] for row in self._rows(_COVERAGE)}
        whole = Place(
            path=self._scope,
            device=False,
            oee=self._total(self._period.begin, self._period.end),
            energy=self._energy([]).get(None),
            anomalies=len(anomalies),
            coverage=_mean(coverage.values()),
        )
        (gaps, gap_samples), (refused,) = self._one(_GAPS), self._one(_REFUSED)
        return Report(
            scope=self._scope,
            period=self._period,
            made_at=self._now,
            total=whole,
            before=self._total(*periods.before(self._period)),
            places=tuple(self._places(orders, anomalies, coverage)),
            causes=tuple(Cause(**row) for row in self._rows(_CAUSES)),
            orders=orders,
            anomalies=tuple(anomalies),
            steps=tuple(self._steps()),
            data=Data(coverage=whole.coverage, refused=refused, gaps=gaps, gap_samples=int(gap_samples)),
        )

    def _places(
        self, orders: tuple[Order, ...], anomalies: list[Anomaly], coverage: Mapping[str, float]
    ) -> list[Place]:
        """Lines with their machines, in the order of their paths. A scope within a line has its machines only."""
        found = []
        for by, device in (("line", False), ("device", True)):
            energy = self._energy([by])
            for row in self._rows(_OEE, by=[by]):
                path = row["path"]
                # A device that stood still all the time and makes no items is not for this page.
                if path is None or not _within(path, self._scope) or (device and row["ideal_s"] is None):
                    continue
                below = [value for place, value in coverage.items() if _within(place, path)]
                planned = [order.planned for order in orders if _within(order.scope, path)]
                place = Place(
                    path=path,
                    device=device,
                    oee=_oee(row),
                    planned=sum(planned) if planned else None,
                    energy=energy.get(path),
                    anomalies=sum(_within(one.device, path) for one in anomalies),
                    coverage=_mean(below),
                )
                found.append(place)
        return sorted(found, key=lambda place: place.path.split("/"))

    def _orders(self) -> tuple[Order, ...]:
        made: dict[str, list[float]] = defaultdict(list)
        for row in self._rows(_MADE):
            made[row["job_order"]].append(row["good"])
        return tuple(
            Order(
                name=row["job_order"],
                material=row["material"],
                status=row["status"],
                scope=row["scope"],
                quantity=row["quantity"],
                planned=max(float(row["planned"]), 0.0),
                good=min(made.get(row["job_order"], [0.0])),
            )
            for row in self._rows(_ORDERS, ran=list(made))
        )

    def _steps(self) -> list[Step]:
        edges = periods.steps(self._period)
        if self._period.span is Span.WEEK:
            return [Step(begin=begin, oee=self._total(begin, end)) for begin, end in edges]
        by_hour = {row["start"]: _oee(row) for row in self._rows(_OEE, by=["hour"])}
        return [
            Step(begin=begin, oee=by_hour.get(begin.replace(minute=0, second=0, microsecond=0), Oee()))
            for begin, _ in edges
        ]

    def _total(self, begin: datetime, end: datetime) -> Oee:
        if begin >= self._now:
            return Oee()
        rows = self._rows(_OEE, by=[], begin=begin, end=end)
        return _oee(rows[0]) if rows else Oee()

    def _energy(self, by: list[str]) -> Mapping[str | None, float]:
        return {row["path"]: row["energy"] for row in self._rows(_ENERGY, by=by)}

    def _rows(self, query: str, **more: Any) -> list[dict[str, Any]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, self._parameters() | more).fetchall()

    def _one(self, query: str) -> tuple[Any, ...]:
        found = self._connection.execute(query, self._parameters()).fetchone()
        assert found is not None  # of sums
        return tuple(found)

    def _parameters(self) -> dict[str, Any]:
        return {"scope": self._scope, "begin": self._period.begin, "end": self._period.end}


def _oee(row: Row) -> Oee:
    return Oee(
        pbt_s=row["pbt_s"],
        apt_s=row["apt_s"],
        ideal_s=row["ideal_s"],
        pq=row["pq"],
        gq=row["gq"],
        other_gq=row["unplanned_gq"],
    )


def _within(path: str, scope: str) -> bool:
    return path == scope or path.startswith(f"{scope}/")


def _mean(shares: Any) -> float | None:
    values = list(shares)
    return sum(values) / len(values) if values else None
