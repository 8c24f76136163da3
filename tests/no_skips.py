"""With KWSPOT_NO_SKIPS=1 a skipped test fails: hooks of pytest, for conftest.py."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Where all is installed that a test may miss (KWSPOT_NO_SKIPS=1), a skip hides a fault: make it one."""
    if os.environ.get("KWSPOT_NO_SKIPS") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"KWSPOT_NO_SKIPS=1, but the test was skipped: {reason}"


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
