"""``kwspot bench compare``: what got worse from one result to another; for people and for continuous integration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kwspot.benchmarks.tables import Table
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
    rows = []
    for change in found.values():
        moved = f"{change.difference:+.2f} {change.unit}" if change.difference else "none"
        noise = {None: "", True: "within noise", False: "beyond noise"}[change.explained if change.difference else None]
        rows.append([change.name, f"{change.before:.2f}", f"{change.after:.2f}", moved, noise])
    print(Table("", ["measure", "old", "new", "difference", ""], rows).text())
    failed = [condition for condition in conditions if condition.holds(found[condition.name].difference)]
    for condition in failed:
        print(f"worse than allowed ({condition.text}): {found[condition.name].sentence()}", file=sys.stderr)
    return EXIT_WORSE if failed else 0
