"""With KWSPOT_NO_SKIPS=1 a skipped test fails: hooks of pytest, for conftest.py.

KWSPOT_NO_SKIPS=but-recordings excuses those that need real recordings, where there are none.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure: where all is installed that a test may miss, it hides a fault."""
    setting = os.environ.get("KWSPOT_NO_SKIPS", "")
    if not setting or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if setting != "but-recordings" or "KWSPOT_RECORDINGS" not in reason:
        report.outcome = "failed"
        report.longrepr = f"KWSPOT_NO_SKIPS={setting}, but the test was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _no_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_skip(report)
    return report
