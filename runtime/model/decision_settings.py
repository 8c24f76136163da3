"""How scores become detections: the part of a bundle that :class:`kwspot.runtime.detect.decision.Decision` reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.labels import BACKGROUND_LABELS

NEVER = 2.0
"""A threshold that no score reaches."""


@dataclasses.dataclass(frozen=True)
class DecisionSettings:
    """How scores become detections; travels in the bundle.

    Parameters
    ----------
    smoothing_ms
        Span of scores that are averaged.
    refractory_ms
        Time after a detection in which nothing fires.
    default_threshold
        For words that `thresholds` does not name, 0 to 1.
    thresholds
        Word → threshold.
    """

    smoothing_ms: float = 120.0
    refractory_ms: float = 1000.0
    default_threshold: float = 0.8
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("smoothing_ms", "refractory_ms"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} = {getattr(self, name)}; expected 0 or more")
        for name, value in {"default_threshold": self.default_threshold, **self.thresholds}.items():
            if not 0 <= value <= 1:
                raise ConfigError(f"threshold {name} = {value}; expected 0 to 1")

    def with_thresholds(self, thresholds: Mapping[str, float], labels: Sequence[str]) -> DecisionSettings:
        """Return these settings with some thresholds replaced; a word that is no label is a :class:`ConfigError`."""
        words = [label for label in labels if label not in BACKGROUND_LABELS]
        for word in thresholds:
            if word not in words:
                raise ConfigError(f"no word {word!r} to set a threshold for; this bundle hears {', '.join(words)}")
        return dataclasses.replace(self, thresholds={**self.thresholds, **thresholds})

    def threshold_of(self, label: str) -> float:
        """Return the threshold of a label; :data:`NEVER` for a background label."""
        return NEVER if label in BACKGROUND_LABELS else self.thresholds.get(label, self.default_threshold)
