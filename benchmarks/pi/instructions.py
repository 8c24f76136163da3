"""Guest instructions per second of sound on an emulated core, features, inference and decision apart.

A proxy for the cost on a board that is not there, and a gate against becoming
dearer: counts repeat to a fraction of a percent on any machine. Instructions are
not time: a vector instruction counts as one, caches and the pipeline are not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kwspot.benchmarks.pi.cores import core_of
from kwspot.benchmarks.pi.guest import Counts, Guest, unpack_archive
from kwspot.benchmarks.pi.peers import peer_site
from kwspot.runtime.child import kwspot_command, run_child
from kwspot.runtime.errors import DeployError
from kwspot.runtime.files import scratch_folder
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.model.golden import synthetic_sound

RELEASE_OF = {"pi-os-12-arm64": "bookworm", "pi-os-13-arm64": "trixie"}
"""``--target`` of ``kwspot deploy`` → Debian release."""

SECONDS = 10
"""Of sound that is counted; a multiple of every hop that is in use."""

_WARM_UP_S = 2


def deployed(bundle: Bundle, target: str, engine: str, folder: Path) -> Path:
    """Deploy a bundle by ``kwspot deploy``; return the folder for PYTHONPATH, which the bundle lies beside."""
    archive = folder / f"{target}-{engine}.tar.gz"
    where = ("--to", str(archive), "--target", target)
    run_child(kwspot_command("deploy", str(bundle.path), *where, "--engine", engine, "--offline"), DeployError)
    return unpack_archive(archive, folder / f"{target}-{engine}")


def count(bundle: Bundle, *, core: str, target: str, engine: str, site: Path, work: Path) -> dict[str, Any]:
    """Count one bundle on one core.

    Parameters
    ----------
    site
        From :func:`deployed`.
    work
        Folder in which userlands are kept.

    Returns
    -------
    dict
        ``millions_per_s``: millions of instructions per second of sound, of the whole loop (``total``),
        of each step, and of what is between the steps (``rest``).
    """
    (deployed_bundle,) = site.parent.glob("*.kws")
    assert load_bundle(deployed_bundle).hash == bundle.hash
    worker = ("instructions_worker.py", str(deployed_bundle), engine)
    counts = _count(worker, (str(SECONDS),), bundle, core, target, sites=[site], work=work)
    manifest = bundle.manifest
    return {
        "cpu": core,
        "board": core_of(core).board,
        "target": target,
        "engine": engine,
        "hop_ms": 1000 * manifest.inference_hop_samples / manifest.features.sample_rate_hz,
        "millions_per_s": _per_second(counts),
    }


def count_peer(name: str, bundle: Bundle, *, core: str, target: str, site: Path, work: Path) -> float:
    """Count millions of instructions per second of sound of another runtime, on the sound that :func:`count` takes."""
    sites = [peer_site(name, RELEASE_OF[target], work), site]
    options = (str(_WARM_UP_S), str(SECONDS), core)
    counts = _count(("peer_worker.py", name), options, bundle, core, target, sites=sites, work=work)
    return counts[0][1] / SECONDS / 1e6


def _count(
    worker: Sequence[str],
    options: Sequence[str],
    bundle: Bundle,
    core: str,
    target: str,
    *,
    sites: Sequence[Path],
    work: Path,
) -> Counts:
    """Run a worker of this folder, which lies in the last of `sites`, on synthetic sound of all kinds, raw int16."""
    rate_hz = bundle.manifest.features.sample_rate_hz
    sound = synthetic_sound(2 * rate_hz).reshape(-1)
    assert len(sound) >= (SECONDS + _WARM_UP_S) * rate_hz
    program, *named = worker
    with scratch_folder("sound") as scratch:
        file = scratch / "sound.s16"
        sound.astype("<i2").tofile(file)
        command = [str(sites[-1] / "kwspot/benchmarks/pi" / program), *named, str(file), *options]
        return Guest(work, core_of(core), release=RELEASE_OF[target]).count(command, sites=sites)


def _per_second(counts: Counts) -> dict[str, float]:
    from kwspot.benchmarks.pi.instructions_worker import EMPTY, STEPS, TOTAL

    pairs, empty = counts[EMPTY]
    steps = {
        name: (counts[region][1] - counts[region][0] * empty / pairs) / SECONDS / 1e6 for name, region in STEPS.items()
    }
    total = counts[TOTAL][1] / SECONDS / 1e6
    return {"total": total, **steps, "rest": total - sum(steps.values())}
