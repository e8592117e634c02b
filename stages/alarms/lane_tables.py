"""Tags of a lane that some rule looks at, as columns: which of their samples cannot matter.

Enters: the points of a site and the tags that they name. Leaves: a `LaneTable` of each lane. Who calls: `stages.alarms.points`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.alarm_rules import AlarmRule, ConditionKind
from schemas.definitions import TagDefinition

if TYPE_CHECKING:
    from stages.alarms.points import SiteTable


@dataclass(kw_only=True, slots=True)
class LaneTable:
    """Tags of a lane that some rule looks at, by ascending id, and what of their samples cannot matter."""

    tag_id: NDArray[np.int32]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    """Between them, both included, no limit is passed."""
    each: NDArray[np.bool_]
    """Every sample matters: a rate of change, a window."""
    compared: NDArray[np.bool_]
    """A changed value matters wherever it lies: states, set-points, deviations, expressions."""
    silent_us: NDArray[np.int64]
    """Silence of this length is an alarm; 0 for none."""


def lane_tables(table: SiteTable, tags: list[TagDefinition]) -> None:
    """Give the table those of these tags; they are watched."""
    lanes: dict[tuple[str, int], list[TagDefinition]] = {}
    for tag in sorted(tags, key=lambda one: one.tag_id):
        lanes.setdefault((tag.gateway_id, tag.lane), []).append(tag)
        table.lane_of_tag[tag.tag_id] = tag.gateway_id, tag.lane
    for lane, members in lanes.items():
        shape = len(members)
        built = LaneTable(
            tag_id=np.array([tag.tag_id for tag in members], dtype=np.int32),
            low=np.full(shape, -np.inf),
            high=np.full(shape, np.inf),
            each=np.zeros(shape, dtype=bool),
            compared=np.zeros(shape, dtype=bool),
            silent_us=np.zeros(shape, dtype=np.int64),
        )
        for index, tag in enumerate(members):
            for point in table.of_tag.get(tag.tag_id, ()):
                _screen(built, index, point.rule)
            built.compared[index] |= tag.tag_id in table.muted_by_tag
            built.each[index] |= tag.tag_id in table.windows
            silences = [point.on_delay_us for point in table.silence_of_tag.get(tag.tag_id, ())]
            built.silent_us[index] = min(silences, default=0)
        table.lanes[lane] = built


def _screen(lane: LaneTable, index: int, rule: AlarmRule) -> None:
    if rule.kind is ConditionKind.LIMIT and rule.level is not None:
        if rule.level.upwards:
            lane.high[index] = min(lane.high[index], rule.limit)
        else:
            lane.low[index] = max(lane.low[index], rule.limit)
    elif rule.kind is ConditionKind.RATE:
        lane.each[index] = True
    elif rule.kind in (ConditionKind.STATE, ConditionKind.DEVIATION, ConditionKind.EXPRESSION):
        lane.compared[index] = True
