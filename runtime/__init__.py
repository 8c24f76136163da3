"""Sound in, detections out: the part of kwspot that runs on the board.

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kwspot.runtime.audio.microphone import microphone_blocks
    from kwspot.runtime.audio.sources import Gap, raw_blocks, wav_blocks
    from kwspot.runtime.detect.decision import Decision, Detection
    from kwspot.runtime.detect.spotter import KeywordSpotter
    from kwspot.runtime.errors import KwspotError
    from kwspot.runtime.features.mfcc import StreamingMfcc, mfcc
    from kwspot.runtime.features.spec import FeatureSpec
    from kwspot.runtime.model.bundle import Bundle, load_bundle
    from kwspot.runtime.model.decision_settings import DecisionSettings

__all__ = [
    "Bundle",
    "Decision",
    "DecisionSettings",
    "Detection",
    "FeatureSpec",
    "Gap",
    "KeywordSpotter",
    "KwspotError",
    "StreamingMfcc",
    "load_bundle",
    "mfcc",
    "microphone_blocks",
    "raw_blocks",
    "wav_blocks",
]

_HOME = {
    "Bundle": "model.bundle",
    "Decision": "detect.decision",
    "DecisionSettings": "model.decision_settings",
    "Detection": "detect.decision",
    "FeatureSpec": "features.spec",
    "Gap": "audio.sources",
    "KeywordSpotter": "detect.spotter",
    "KwspotError": "errors",
    "StreamingMfcc": "features.mfcc",
    "load_bundle": "model.bundle",
    "mfcc": "features.mfcc",
    "microphone_blocks": "audio.microphone",
    "raw_blocks": "audio.sources",
    "wav_blocks": "audio.sources",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
