"""``kwspot bundles`` and ``kwspot devices``: what ships with the kit, and which microphones this machine has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kwspot.runtime.errors import BundleError, DeviceError


def list_bundles(argv: Sequence[str]) -> int:
    """Run ``kwspot bundles``."""
    argparse.ArgumentParser(prog="kwspot bundles", description="List the bundles that ship with the kit.").parse_args(
        argv
    )
    from kwspot.runtime.false_accept_rate import evidence_line
    from kwspot.runtime.model.bundle import load_bundle, shipped_bundles

    names = shipped_bundles()
    if not names:
        raise BundleError("no bundle ships with this copy of the kit; train and export one: see kwspot train --help")
    for name in names:
        bundle = load_bundle(name)
        manifest = bundle.manifest
        size_kb = len(bundle.model_bytes("int8-tflite")) / 1000
        print(f"{name}: {', '.join(manifest.words)}")
        print(f"  {manifest.parameters} parameters, {manifest.macs} multiply-accumulates, int8 TFLite {size_kb:.0f} kB")
        print(f"  data: {manifest.data_licence}")
        print(f"  thresholds: {evidence_line(manifest.calibration)}")
        print(f"  {bundle.path}")
    return 0


def list_devices(argv: Sequence[str]) -> int:
    """Run ``kwspot devices``."""
    argparse.ArgumentParser(
        prog="kwspot devices",
        description="List microphones: number, name, channels, host API, and the rates in Hz that open.",
    ).parse_args(argv)
    from kwspot.runtime.audio.devices import NO_MICROPHONE, input_devices

    inputs = input_devices().inputs
    if not inputs:
        raise DeviceError(NO_MICROPHONE)
    width = max(len(device.name) for device in inputs)
    for device in inputs:
        mark = "*" if device.is_default else " "
        rates = ", ".join(map(str, device.rates_hz)) or "none opens"
        print(
            f"{mark} {device.number:3}  {device.name:{width}}  {device.channels:3} channels  {device.host_api}  {rates}"
        )
    return 0
