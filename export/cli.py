"""``kwspot export``: a run becomes a bundle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kwspot.runtime.errors import ConfigError

if TYPE_CHECKING:
    from kwspot.export.parity import Parity
    from kwspot.export.stream_parity import StreamParity
    from kwspot.runtime.model.bundle import Bundle

DEFAULT_HOP_MS = 40.0
"""25 inferences over a word that lasts a second."""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="kwspot export",
        description="Quantise a training run to int8 TFLite and ONNX, check on real clips that all forms of the model "
        "agree, and write a bundle.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder that 'kwspot train' wrote")
    parser.add_argument("--bundle", metavar="BUNDLE", type=Path, help="folder to write, NAME.kws")
    parser.add_argument(
        "--c-array",
        metavar="DIR",
        type=Path,
        help="write the int8 model as C for a microcontroller; without --bundle, RUN is a bundle",
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help="recordings (default: those the run was trained on)")
    parser.add_argument(
        "--kind",
        choices=("stream", "window"),
        help="stream: each inference computes the new frames and keeps a state; window: each inference computes the "
        "whole window (default: stream where the preset was made for it, else window)",
    )
    parser.add_argument(
        "--hop-ms",
        type=float,
        default=DEFAULT_HOP_MS,
        metavar="MS",
        help="milliseconds between two inferences, 20 to 100 (default: %(default)g)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing bundle")
    args = parser.parse_args(argv)
    if args.bundle is not None:
        from kwspot.export.pipeline import export_run

        bundle, parity = export_run(
            args.run, args.bundle, data=args.data, kind=args.kind, hop_ms=args.hop_ms, overwrite=args.overwrite
        )
        _print_table(bundle, parity)
    if args.c_array is not None:
        _write_c_array(args.bundle or args.run, args.c_array)
    elif args.bundle is None:
        raise ConfigError("nothing to write; expected --bundle BUNDLE, --c-array DIR or both")
    return 0


def _write_c_array(bundle_path: Path, folder: Path) -> None:
    from kwspot.export.c_array import write_c_array
    from kwspot.runtime.model.bundle import load_bundle

    for path in write_c_array(load_bundle(bundle_path), folder):
        print(path, file=sys.stderr)


def _print_table(bundle: Bundle, parity: Parity) -> None:
    def share(count: int) -> str:
        return f"{count} of {parity.clips} ({count / parity.clips:.2%})"

    from kwspot.export.stream_parity import StreamParity

    manifest = bundle.manifest
    rows = [(model.file, f"{(bundle.path / model.file).stat().st_size:,} bytes") for model in manifest.models.values()]
    stream = parity if isinstance(parity, StreamParity) else None
    rows += [
        ("parameters, MACs", f"{manifest.parameters:,}, {manifest.macs:,}"),
        ("int8 ONNX from TFLite", f"at most {parity.onnx_steps} steps"),
        (f"float {'stepping' if stream else 'TFLite'} from Keras", f"at most {parity.float_error:.1e}"),
        ("int8 and float agree", share(parity.same_label)),
        ("accuracy, float", share(parity.float_correct)),
        ("accuracy, int8", share(parity.int8_correct)),
    ]
    if stream is not None:
        rows.append(("accuracy, int8 window", share(stream.window_int8_correct)))
    print(f"{bundle.path} hears {', '.join(manifest.labels)}; on {parity.clips} validation clips:", file=sys.stderr)
    for name, value in rows:
        print(f"  {name:26} {value}", file=sys.stderr)
    if stream is not None:
        _print_stream(stream)


def _print_stream(parity: StreamParity) -> None:
    def share(count: int) -> str:
        return f"{count:,} of {parity.stream_steps:,} ({count / parity.stream_steps:.2%})"

    print(f"on a stream of {parity.stream_minutes:g} minutes, {parity.stream_steps:,} steps:", file=sys.stderr)
    for name, value in (
        ("float stepping from window", f"at most {parity.stream_float_error:.1e}"),
        ("int8 ONNX as TFLite", f"{share(parity.stream_onnx_identical)}, at most {parity.stream_onnx_steps} steps"),
        (
            "int8 stepping as window",
            f"{share(parity.stream_window_identical)}, at most {parity.stream_window_steps} steps",
        ),
        ("  in the label", share(parity.stream_window_same_label)),
    ):
        print(f"  {name:26} {value}", file=sys.stderr)
