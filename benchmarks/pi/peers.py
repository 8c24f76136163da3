"""Other wake-word runtimes on the emulated board: their wheels, pinned, from wherever pip takes them.

Both run offline and bring their models; numpy and the marks they get from the
folder of a deployed bundle.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kwspot.benchmarks.pi.guest import unpack_wheels
from kwspot.benchmarks.pi.userland import PYTHON_OF
from kwspot.runtime.child import run_child
from kwspot.runtime.errors import DeployError

REQUIREMENTS = {
    "pymicro-wakeword": ("pymicro-wakeword==2.5.0", "pymicro-features==2.0.2"),
    "porcupine": ("pvporcupine==1.9.5",),
}
"""Runtime → its wheels; :mod:`kwspot.benchmarks.pi.peer_worker` counts it."""

_PLATFORMS = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)]


def peer_site(name: str, release: str, work: Path) -> Path:
    """Return a runtime's folder for PYTHONPATH; made once and kept."""
    site = work / f"{name}-{release}" / "site"
    if not site.exists():
        wheels = site.with_name("wheels")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", PYTHON_OF[release], *_PLATFORMS, "--platform=manylinux2014_aarch64"]
        command += ["--dest", str(wheels), *REQUIREMENTS[name]]
        run_child(
            command,
            lambda output: DeployError(
                f"{name} cannot be downloaded: {output}; check the network and pip's configuration"
            ),
        )
        unpack_wheels(sorted(wheels.glob("*.whl")), site)
    return site
