"""The registered kinds of detectors, and which detector a name of the registry means."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from base.errors import ConfigError
from stages.config import DetectorSpec
from stages.detection import robust, scaled, seasonal
from stages.detection.protocol import Detector, DetectorFactory, Subject

KINDS: dict[str, DetectorFactory] = {
    "gaussian": scaled.gaussian,
    "halfspace": scaled.halfspace,
    "ensemble": scaled.ensemble,
    "relation": scaled.relation,
    "drift": scaled.drift,
    "robust": robust.robust,
    "seasonal": seasonal.seasonal,
}

BUILT_IN = (
    DetectorSpec(name="default", kind="ensemble"),
    DetectorSpec(name="thorough", kind="ensemble", parameters={"trees": 10}),
    DetectorSpec(name="gaussian", kind="gaussian"),
    DetectorSpec(name="halfspace", kind="halfspace"),
    DetectorSpec(name="relation", kind="relation"),
    DetectorSpec(name="drift", kind="drift"),
    DetectorSpec(name="robust", kind="robust"),
    DetectorSpec(name="seasonal", kind="seasonal", hold_off_windows=12),
)


def catalogue(configured: Iterable[DetectorSpec]) -> dict[str, DetectorSpec]:
    """Detectors by name: the built-in ones, overridden and extended by the configuration; raises ConfigError."""
    found = {spec.name: spec for spec in BUILT_IN}
    probe = probe_subject()
    for spec in configured:
        factory = KINDS.get(spec.kind)
        if factory is None:
            msg = f"detector {spec.name} has kind {spec.kind!r}; known: {', '.join(sorted(KINDS))}"
            raise ConfigError(msg)
        _check(spec)
        try:
            factory(probe, **spec.parameters)
        except (TypeError, ValueError) as error:
            msg = f"detector {spec.name} of kind {spec.kind}: {error}"
            raise ConfigError(msg) from error
        found[spec.name] = spec
    return found


def _check(spec: DetectorSpec) -> None:
    """Raises ConfigError for numbers that make no sense."""
    bad = {
        "every": spec.every < 1,
        "threshold": not 0.0 < spec.threshold < 1.0,
        "hold_off_s": spec.hold_off_s < 0.0,
        "hold_off_windows": spec.hold_off_windows < 1,
    }
    for name, wrong in bad.items():
        if wrong:
            msg = f"detector {spec.name}: {name} is {getattr(spec, name)}"
            raise ConfigError(msg)


def make(spec: DetectorSpec, subject: Subject) -> Detector:
    """New detector of a subject."""
    return KINDS[spec.kind](subject, **spec.parameters)


def probe_subject() -> Subject:
    """A subject to try parameters on."""
    return Subject(
        device_id=0,
        window_s=1,
        tag_id=np.array([1], np.int32),
        normal_low=np.array([0.0]),
        normal_high=np.array([1.0]),
        seed=0,
    )
