"""What people said of anomaly episodes.

Enters: AnomalyLabel records from the beginning of the topic, at least once, in any order; and what this server has just written.
Leaves: the labels of an episode. Whoever watches episodes gets one again when it is labelled.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from schemas.labels import AnomalyLabel, merged


class AnomalyLabels:
    """The cache. `changed` hears of episodes whose labels are others than before."""

    def __init__(self, changed: Callable[[UUID], object]) -> None:
        self._changed = changed
        self._by_id: dict[UUID, AnomalyLabel] = {}
        self._episodes: dict[UUID, list[UUID]] = {}

    def apply(self, label: AnomalyLabel) -> None:
        """Fold one in."""
        known = self._by_id.get(label.label_id)
        found = merged(known, label)
        if found == known:
            return
        self._by_id[label.label_id] = found
        of_episode = self._episodes.setdefault(found.episode_id, [])
        if label.label_id not in of_episode:
            of_episode.append(label.label_id)
        self._changed(found.episode_id)

    def get(self, label_id: UUID) -> AnomalyLabel | None:
        """A label."""
        return self._by_id.get(label_id)

    def of(self, episode_id: UUID) -> list[AnomalyLabel]:
        """Labels of an episode, oldest first, withdrawn ones too."""
        found = [self._by_id[label_id] for label_id in self._episodes.get(episode_id, ())]
        return sorted(found, key=lambda label: (label.time_us, label.label_id))

    def standing(self, episode_id: UUID) -> AnomalyLabel | None:
        """The newest label of an episode that was not withdrawn."""
        return next((label for label in reversed(self.of(episode_id)) if label.withdrawn_us is None), None)
