"""One engine on the golden vectors of a bundle that ships; run by ``kwspot doctor`` as ``python -m``.

A process of its own, since a library built for another processor ends it with a signal.
"""

from __future__ import annotations

import sys

from kwspot.runtime.errors import EngineError, KwspotError


def main(engine_name: str) -> int:
    """Print one line; status 2 where the engine does not do what it should."""
    from kwspot.runtime.board.selftest import run_checks
    from kwspot.runtime.model.bundle import load_bundle, shipped_bundles
    from kwspot.runtime.model.engines import open_engine

    try:
        bundle = load_bundle(shipped_bundles()[0])
        checks = run_checks(bundle, open_engine(bundle, engine_name))
        if wrong := [f"{check.name} of {bundle.name}: {check.seen}" for check in checks if not check.passed]:
            raise EngineError("; ".join(wrong))
    except (KwspotError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"computes what {bundle.name} says")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
