"""``kwspot bench compare``: what got worse from one result to another; for people and for continuous integration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kwspot.runtime.errors import ConfigError

EXIT_WORSE = 1


def main(argv: Sequence[str]) -> int:
    """Run the command; returns 1 if a condition holds."""
    parser = argparse.ArgumentParser(
        prog="kwspot bench compare",
        description="Compare two results of 'kwspot bench accuracy', 'latency' or 'report'. Exits with 1 if a "
        "condition holds, and says what got worse and whether the noise explains it.",
    )
    parser.add_argument("old", metavar="OLD.json")
    parser.add_argument("new", metavar="NEW.json")
    parser.add_argument(
        "--fail-if",
        action="append",
        default=[],
        metavar="CONDITION",
        help="on the difference new - old, in points of accuracy or %% of time: 'int8-litert.accuracy < -0.3', "
        "'litert-int8.p50 > 10'; may be repeated",
    )
    args = parser.parse_args(argv)
    from kwspot.benchmarks.compare import Condition, changes, read_result

    conditions = [Condition.parse(text) for text in args.fail_if]
    found = {change.name: change for change in changes(read_result(args.old), read_result(args.new))}
    for condition in conditions:
        if condition.name not in found:
            raise ConfigError(f"no {condition.name} in both results; expected one of {', '.join(found) or 'none'}")
    print(f"{'measure':28}{'old':>10}{'new':>10}{'difference':>14}")
    for change in found.values():
        unit = " %" if change.unit == "%" else " points"
        noise = {None: "", True: "  within noise", False: "  beyond noise"}[change.explained]
        moved = f"{change.difference:+.2f}{unit}" if change.difference else "none"
        print(
            f"{change.name:28}{change.before:10.2f}{change.after:10.2f}{moved:>14}{noise if change.difference else ''}"
        )
    failed = [condition for condition in conditions if condition.holds(found[condition.name].difference)]
    for condition in failed:
        print(f"worse than allowed ({condition.text}): {found[condition.name].sentence()}", file=sys.stderr)
    return EXIT_WORSE if failed else 0
