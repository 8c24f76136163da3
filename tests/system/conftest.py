"""A sound server with a microphone that plays what a test writes into it."""

from __future__ import annotations

import pytest
from virtual_microphone import Pulse


@pytest.fixture
def pulse(tmp_path):
    server = Pulse(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.kill()
