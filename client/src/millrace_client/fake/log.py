"""What happened at the fake plant, in the order in which it was told: episodes, events, refused samples; and the reports of gateways."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from millrace_client.results import (
    Accounting,
    Anomaly,
    AnomalyPhase,
    Event,
    Gateway,
    Health,
    LineHealth,
    OeeFigures,
    Reject,
    StageHealth,
    StateInterval,
)

STAGES = ("gateways", "telemetry", "historian", "commands", "alarms", "database")


@dataclass(slots=True)
class Log:
    """Lists for the handlers. `health`: of the line; None: every stage is OK. `accounting`: None: what is stored was produced."""

    events: list[Event] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    oee: list[OeeFigures] = field(default_factory=list)
    states: list[StateInterval] = field(default_factory=list)
    answers: dict[tuple[type, str], tuple[Any, ...]] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)
    health: LineHealth | None = None
    accounting: Accounting | None = None
    _steps: dict[str, Anomaly] = field(default_factory=dict)

    def episode(self, step: Anomaly) -> None:
        """The newest step of an episode."""
        self._steps[step.episode_id] = step

    @property
    def episodes(self) -> list[Anomaly]:
        """Episodes as they stand, by their beginning."""
        return sorted(self._steps.values(), key=lambda step: (step.start_us, step.episode_id))

    @property
    def open_episodes(self) -> list[Anomaly]:
        """Those that are open."""
        return [step for step in self.episodes if step.phase is not AnomalyPhase.CLOSE]

    def line_health(self, now_us: int) -> LineHealth:
        """Health of the line."""
        if self.health is not None:
            return self.health
        stages = tuple(StageHealth(name=name, health=Health.OK, advanced_us=now_us) for name in STAGES)
        return LineHealth(health=Health.OK, stages=stages, observed_us=now_us)
