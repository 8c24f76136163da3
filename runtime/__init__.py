"""Sound in, detections out: the part of kwspot that runs on the board.

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kwspot.runtime.bundle import Bundle, load_bundle
    from kwspot.runtime.decision import Decision, DecisionSettings, Detection
    from kwspot.runtime.errors import KwspotError
    from kwspot.runtime.features import StreamingMfcc, mfcc
    from kwspot.runtime.microphone import microphone_blocks
    from kwspot.runtime.sources import Gap, raw_blocks, wav_blocks
    from kwspot.runtime.spec import FeatureSpec
    from kwspot.runtime.spotter import KeywordSpotter

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
    "Bundle": "bundle",
    "Decision": "decision",
    "DecisionSettings": "decision",
    "Detection": "decision",
    "FeatureSpec": "spec",
    "Gap": "sources",
    "KeywordSpotter": "spotter",
    "KwspotError": "errors",
    "StreamingMfcc": "features",
    "load_bundle": "bundle",
    "mfcc": "features",
    "microphone_blocks": "microphone",
    "raw_blocks": "sources",
    "wav_blocks": "sources",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
