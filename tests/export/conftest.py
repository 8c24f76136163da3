"""The exporter's own bundles, made today, in place of the committed ones."""

from __future__ import annotations

import pytest

from kwspot.runtime.model.bundle import Bundle


@pytest.fixture(scope="session")
def tiny_bundle(exported_bundle: Bundle) -> Bundle:
    """The bundle of `tiny_run`; copy its folder (``.path``) before changing anything in it."""
    return exported_bundle


@pytest.fixture(scope="session")
def stream_bundle(stream_export: tuple[Bundle, object]) -> Bundle:
    """The bundle of `tiny_stream_run`; copy its folder (``.path``) before changing anything in it."""
    return stream_export[0]
