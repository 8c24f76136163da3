"""The classifier that a bundle's kind asks for, over any engine."""

from __future__ import annotations

from kwspot.runtime.bundle import Manifest
from kwspot.runtime.classifier import WindowClassifier
from kwspot.runtime.engines import Engine


def open_classifier(manifest: Manifest, engine: Engine) -> WindowClassifier:
    """The runtime's own, so that what is scored is what is deployed."""
    return WindowClassifier(manifest, engine)
