"""``kwspot deploy``: one archive with everything a Raspberry Pi needs, copied and installed if ssh reaches it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kwspot.export.deploy.boards import AUTO, BOARDS, choose
from kwspot.runtime.errors import ConfigError, DeployError


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kwspot deploy",
        description="Write an archive for a Raspberry Pi: the kit, a bundle, an installer and pinned requirements.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="bundle folder, or the name of one that ships with the kit")
    parser.add_argument("--to", metavar="FILE", type=Path, help="archive to write, as in kwspot-pi.tar.gz")
    parser.add_argument(
        "--target",
        default=AUTO,
        metavar="BOARD",
        help=f"{', '.join(BOARDS)}, or {AUTO} (default): any of them, or the one that --ssh finds",
    )
    parser.add_argument("--engine", metavar="NAME", help="litert, tflite or onnx (default: the board's first)")
    parser.add_argument(
        "--offline", action="store_true", help="put the wheels into the archive, for a board without a network"
    )
    parser.add_argument("--ssh", metavar="USER@HOST", help="copy the archive there and install it")
    parser.add_argument("--prefix", metavar="DIR", help="with --ssh: where to install on the board (default: ~/kwspot)")
    parser.add_argument("--apt", action="store_true", help="with --ssh: install missing system packages with sudo")
    parser.add_argument("--service", action="store_true", help="with --ssh: start listening when the board boots")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    args = _parse(argv)
    if args.to is None and args.ssh is None:
        raise ConfigError("nowhere to deploy to: say --to FILE.tar.gz, or --ssh USER@HOST")
    if args.to is not None and not args.to.name.endswith((".tar.gz", ".tgz")):
        raise ConfigError(f"--to {args.to}; expected a name that ends in .tar.gz, for that is what is written")
    install_options = _install_options(args)
    if args.ssh is None and install_options:
        raise ConfigError(f"{install_options[0]} is for --ssh; without it give the option to install.sh on the board")
    boards = choose(args.target)
    from kwspot.export.deploy.archive import FOLDER, write_archive
    from kwspot.export.deploy.ssh import RemoteBoard
    from kwspot.runtime.board.engine_trial import try_bundle
    from kwspot.runtime.files import scratch_folder
    from kwspot.runtime.model.bundle import load_bundle
    from kwspot.runtime.model.engines import installed_engines

    bundle = load_bundle(args.bundle)
    if installed_engines() and (wrong := try_bundle(bundle.path)):
        raise DeployError(f"{bundle.path} computes something else than it says here ({wrong}); run kwspot selftest")
    if args.ssh is None:
        if args.offline and len(boards) > 1:
            raise ConfigError(f"--offline takes the wheels of one board along: say --target {' or '.join(BOARDS)}")
        _report(args.to, write_archive(args.to, bundle, boards, engine=args.engine, offline=args.offline))
        return 0
    with RemoteBoard(args.ssh) as remote, scratch_folder("deploy") as scratch:
        if args.target == AUTO:
            boards = (remote.recognise(),)
            print(f"{args.ssh} is a {boards[0].title}", file=sys.stderr)
        archive = args.to or scratch / f"{FOLDER}.tar.gz"
        _report(archive, write_archive(archive, bundle, boards, engine=args.engine, offline=args.offline))
        remote.install(archive, install_options)
    return 0


def _install_options(args: argparse.Namespace) -> list[str]:
    options = ["--prefix", args.prefix] if args.prefix else []
    options += ["--apt"] if args.apt else []
    return options + (["--service"] if args.service else [])


def _report(archive: Path, files: dict[str, int]) -> None:
    print(f"{archive.name}: {archive.stat().st_size / 1e6:.2f} MB, {len(files)} files", file=sys.stderr)
    for name, size in sorted(files.items(), key=lambda item: -item[1])[:4]:
        print(f"  {size / 1e6:6.2f} MB  {name}", file=sys.stderr)
