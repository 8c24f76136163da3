"""kwspot deploy: the archive, its installer on this machine as a board, and a real OpenSSH server."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kwspot.export.deploy import archive as archive_module
from kwspot.export.deploy import boards
from kwspot.export.deploy import cli as deploy_cli
from kwspot.export.deploy.boards import BOARDS, REFUSED, Board, choose, recognise
from kwspot.export.deploy.kit_wheel import kit_wheel, wheel_name
from kwspot.runtime.errors import BundleError, ConfigError, DeployError
from kwspot.runtime.model.bundle import load_bundle

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE = sysconfig.get_paths()["purelib"]
CHANGING = ("mkdir", "python3", "env", "cp", "sync", "rm", "ln", "mv")
"""What the installer calls that changes the disk, or takes long."""

NOTHING = {
    "METADATA": "Metadata-Version: 2.1\nName: nothing\nVersion: 1\n",
    "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
    "RECORD": "",
}
"""A wheel without content."""


def this_machine(**changes: object) -> Board:
    """This machine as a board: numpy and the engine are already there, so that an installation takes seconds."""
    values = {
        "name": "here",
        "title": "this machine",
        "python": PYTHON,
        "multiarch": str(sysconfig.get_config_var("MULTIARCH")),
        "machine": "x86_64",
        "glibc": 36,
        "requirements": {"litert": "litert.txt"},
        "apt": (),
    }
    return Board(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def installer_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that installs wheels, from where pip is configured to take it."""
    folder = tmp_path_factory.mktemp("installer")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder)]
    subprocess.run([*command, "--requirement", str(archive_module.INSTALLER)], check=True, capture_output=True)
    return next(folder.iterdir())


@pytest.fixture
def make_archive(installer_wheel: Path, tmp_path: Path, monkeypatch) -> Callable[..., Path]:
    """Write an archive for this machine and unpack it; returns the unpacked folder."""

    def download(_board: Board, _requirements: Path, folder: Path) -> None:
        folder.mkdir()
        shutil.copy(installer_wheel, folder)
        # A stand-in for numpy and the engine, which this machine has.
        with zipfile.ZipFile(folder / "nothing-1-py3-none-any.whl", "w") as wheel:
            for name, content in NOTHING.items():
                wheel.writestr(zipfile.ZipInfo(f"nothing-1.dist-info/{name}"), content)

    monkeypatch.setattr(archive_module, "_download", download)

    def make(name: str = "one", *, bundle: str = "tutorial", offline: bool = True, **board: object) -> Path:
        target = tmp_path / f"{name}.tar.gz"
        archive_module.write_archive(target, load_bundle(bundle), [this_machine(**board)], engine=None, offline=offline)
        with tarfile.open(target) as content:
            content.extractall(tmp_path / name, filter="data")
        return tmp_path / name / "kwspot-pi"

    return make


def install(folder: Path, prefix: Path, *options: str, path: str = "", **environment: str):
    """Run the installer of an unpacked archive."""
    return subprocess.run(
        ["sh", str(folder / "install.sh"), "--prefix", str(prefix), *options],
        env={**board_environment(path), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )


def board_environment(path: str = "") -> dict[str, str]:
    programs = (path, str(Path(sys.executable).parent), os.environ["PATH"])
    return {**os.environ, "PATH": ":".join(filter(None, programs)), "PYTHONPATH": SITE}


def listens(prefix: Path) -> bool:
    """Whether what is installed runs: help of the program, and the bundle beside it."""
    program = prefix / "current/venv/bin/python"
    if not program.exists():
        return False
    done = subprocess.run(
        [prefix / "bin/kwspot", "--version"], env=board_environment(), capture_output=True, check=False
    )
    return done.returncode == 0 and len(list((prefix / "current").glob("*.kws/bundle.json"))) == 1


def test_the_wheel_is_whole_and_the_same_every_time(tmp_path, installer_wheel):
    first = kit_wheel()
    assert kit_wheel() == first
    path = tmp_path / wheel_name()
    path.write_bytes(first)
    command = [sys.executable, "-m", "installer", "--validate-record", "all", "--destdir", str(tmp_path / "root")]
    done = subprocess.run(
        [*command, str(path)], env={**os.environ, "PYTHONPATH": str(installer_wheel)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(path).namelist()
    assert "kwspot/runtime/cli.py" in names
    assert not [name for name in names if ".kws/" in name or "__pycache__" in name or name.startswith("kwspot/train")]


def test_online_archives_are_small_and_the_same_every_time(tmp_path):
    for name in ("a.tar.gz", "b.tar.gz"):
        assert deploy_cli.main(["commands", "--to", str(tmp_path / name)]) == 0
    content = (tmp_path / "a.tar.gz").read_bytes()
    assert len(content) < 1_000_000
    with tarfile.open(tmp_path / "a.tar.gz") as one, tarfile.open(tmp_path / "b.tar.gz") as other:
        assert one.getnames() == other.getnames()
        sums = one.extractfile("kwspot-pi/SHA256SUMS").read().decode()
        for line in sums.splitlines():
            digest, name = line.split("  ")
            assert hashlib.sha256(one.extractfile(f"kwspot-pi/{name}").read()).hexdigest() == digest
        assert {f"kwspot-pi/boards/{name}.conf" for name in BOARDS} <= set(one.getnames())


@pytest.mark.parametrize(
    ("said", "board"),
    [
        (("aarch64-linux-gnu", "3.13", "aarch64"), "pi-os-13-arm64"),
        (("aarch64-linux-gnu", "3.11", "aarch64"), "pi-os-12-arm64"),
        # 32-bit programs on the 64-bit kernel of a Pi 4.
        (("arm-linux-gnueabihf", "3.11", "aarch64"), "pi-os-12-armhf"),
        (("arm-linux-gnueabihf", "3.11", "armv7l"), "pi-os-12-armhf"),
    ],
)
def test_a_board_is_recognised_by_what_it_says(said, board):
    assert recognise(*said).name == board


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("arm-linux-gnueabihf", "3.11", "armv6l"), "ARMv6"),
        (("arm-linux-gnueabihf", "3.13", "armv7l"), "no 32-bit engine"),
        (("x86_64-linux-gnu", "3.12", "x86_64"), "none of: Raspberry Pi OS 13"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(said, reason):
    with pytest.raises(DeployError, match=reason):
        recognise(*said)


def test_mistakes_on_the_command_line(tmp_path):
    to = ["--to", str(tmp_path / "x.tar.gz")]
    for argv, error, says in [
        (["tutorial"], ConfigError, "nowhere to deploy to"),
        (["tutorial", "--to", str(tmp_path / "x.zip")], ConfigError, "ends in .tar.gz"),
        (["tutorial", *to, "--apt"], ConfigError, "--apt is for --ssh"),
        (["tutorial", *to, "--offline"], ConfigError, "--target pi-os-13-arm64 or"),
        (["tutorial", *to, "--target", "pi-os-11"], DeployError, "expected auto or one of"),
        (["tutorial", *to, "--target", "pi-os-13-arm64", "--engine", "tflite"], DeployError, "does not run on"),
        (["none.kws", *to], BundleError, "is no bundle"),
        (["tutorial", "--ssh=-oProxyCommand=x"], DeployError, "expected user@host"),
        *((["tutorial", *to, "--target", name], DeployError, "cannot be served") for name in REFUSED),
    ]:
        with pytest.raises(error, match=says):
            deploy_cli.main(argv)
    assert not list(tmp_path.iterdir())
    assert [board.name for board in choose("auto")] == list(BOARDS)


@pytest.mark.parametrize("name", ["mine", "what's up", "grüß dich"])
def test_the_files_of_the_bundle_and_no_others_are_packed_under_its_folders_name(tmp_path, name):
    mine = Path(shutil.copytree(load_bundle("tutorial").path, tmp_path / f"{name}.kws"))
    names = sorted(path.name for path in mine.iterdir())
    (mine / "shadow").symlink_to("/etc/passwd")
    (mine / "private.txt").write_text("private")
    (mine / "more").mkdir()
    target = tmp_path / "a.tar.gz"
    archive_module.write_archive(target, load_bundle(mine), [this_machine()], engine=None, offline=False)
    with tarfile.open(target) as content:
        packed = [member.name.partition(f"kwspot-pi/{name}.kws/")[2] for member in content if ".kws/" in member.name]
        conf = content.extractfile("kwspot-pi/archive.conf").read().decode()
    assert sorted(packed) == names
    shell = subprocess.run(["sh", "-c", f'{conf}\nprintf %s "$BUNDLE"'], capture_output=True, text=True, check=True)
    assert shell.stdout == f"{name}.kws"


def test_a_bundle_whose_name_is_an_option_is_refused(tmp_path):
    named = shutil.copytree(load_bundle("tutorial").path, tmp_path / "-rf.kws")
    with pytest.raises(BundleError, match="cannot be deployed under this name: it begins with '-'"):
        archive_module.write_archive(tmp_path / "a", load_bundle(named), [this_machine()], engine=None, offline=False)


def test_wheels_that_cannot_be_had_leave_no_archive(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(DeployError, match=r"cannot be downloaded: ERROR: .*; check the network"):
        deploy_cli.main(["tutorial", "--to", str(tmp_path / "x.tar.gz"), "--offline", "--target", "pi-os-12-arm64"])
    assert not list(tmp_path.iterdir())


def test_install_again_upgrade_uninstall(make_archive, tmp_path, monkeypatch):
    one, prefix = make_archive(), tmp_path / "home/kwspot"
    monkeypatch.delenv("PYTHONPATH", raising=False)  # what is installed finds itself alone
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    unit = tmp_path / "config/systemd/user/kwspot.service"
    # A systemd that may run here is none of the test's business.
    programs = shims(tmp_path / "shims", ("true",), "")
    (tmp_path / "shims/true").rename(tmp_path / "shims/systemctl")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    first = install(one, prefix, "--service")
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    assert "passed: tutorial on litert" in first.stderr
    assert listens(prefix)
    training = subprocess.run([prefix / "bin/kwspot", "train", "--help"], capture_output=True, text=True, check=False)
    assert (training.returncode, training.stderr.count("\n")) == (2, 1)
    assert "the runtime alone, as a board has it" in training.stderr
    assert str((prefix / "current").resolve()) in unit.read_text()
    again = install(one, prefix)
    assert "already installed" in again.stderr
    before = (prefix / "current").resolve()
    settings = prefix / "listen.toml"
    settings.write_text(f"{settings.read_text()}gate = -55  # mine\n")
    settings.chmod(0o600)
    second = install(make_archive("two", bundle="commands"), prefix)
    assert second.returncode == 0, second.stderr
    assert settings.read_text() == f'bundle = "{prefix}/current/commands.kws"\ngate = -55  # mine\n'
    assert settings.stat().st_mode & 0o777 == 0o600
    assert "listen.toml now names commands.kws; it named tutorial.kws" in second.stderr
    assert listens(prefix)
    assert [path.resolve() for path in (prefix / "versions").iterdir()] == [(prefix / "current").resolve()] != [before]
    assert str((prefix / "current").resolve()) in unit.read_text()
    # A system upgrade breaks the environment: the same archive makes it new.
    (prefix / "current/venv/bin/python").unlink()
    assert not listens(prefix)
    assert install(tmp_path / "two/kwspot-pi", prefix).returncode == 0
    assert listens(prefix)
    (prefix / "notes.txt").write_text("mine")
    installed = ["sh", str(prefix / "current/install.sh"), "--uninstall", "--prefix", str(prefix)]
    done = subprocess.run(installed, env=board_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in prefix.iterdir()) == ["listen.toml", "notes.txt"]
    assert not unit.exists()


def with_requirement(folder: Path, text: str) -> None:
    """Put another list of wheels into an unpacked archive, and its hash into SHA256SUMS."""
    requirements, sums = folder / "requirements/litert.txt", folder / "SHA256SUMS"
    old = hashlib.sha256(requirements.read_bytes()).hexdigest()
    requirements.write_text(text)
    sums.write_text(sums.read_text().replace(old, hashlib.sha256(requirements.read_bytes()).hexdigest()))


@pytest.fixture
def nothing_wheel(tmp_path: Path) -> Path:
    """A wheel that holds nothing, in a folder that pip can find it in."""
    path = tmp_path / "found/nothing-1-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in NOTHING.items():
            wheel.writestr(zipfile.ZipInfo(f"nothing-1.dist-info/{name}"), content)
    return path


def test_online_installation_takes_its_wheels_by_pip(make_archive, tmp_path, nothing_wheel):
    folder = make_archive(offline=False)
    pinned = f"nothing==1 --hash=sha256:{hashlib.sha256(nothing_wheel.read_bytes()).hexdigest()}\n"
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(nothing_wheel.parent)}
    with_requirement(folder, pinned)
    done = install(folder, tmp_path / "kwspot", **pip)
    assert done.returncode == 0, done.stderr
    assert listens(tmp_path / "kwspot")
    assert (tmp_path / "kwspot/current/venv/bin/pip").exists()


@pytest.mark.parametrize("pin", ["", f" --hash=sha256:{'0' * 64}"])
def test_a_wheel_online_of_another_hash_or_of_none_is_not_installed(make_archive, tmp_path, nothing_wheel, pin):
    folder = make_archive(offline=False)
    with_requirement(folder, f"nothing==1{pin}\n")
    done = install(folder, tmp_path / "kwspot", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(nothing_wheel.parent))
    one_line_and_nothing(done, tmp_path / "kwspot", "Nothing was changed")


def test_every_wheel_is_pinned_by_hash():
    lists = {name for board in BOARDS.values() for name in board.requirements.values()}
    for name in (*lists, "installer.txt"):
        lines = (Path(archive_module.__file__).parent / "requirements" / name).read_text().splitlines()
        wheels = [line for line in lines if not line.startswith("#")]
        assert wheels
        for line in wheels:
            assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9.]+( --hash=sha256:[0-9a-f]{64})+", line), line


def add_conf(folder: Path, ran: Path) -> None:
    (folder / "boards/00-added.conf").write_text(f"touch '{ran}'\n")


def add_wheel(folder: Path, ran: Path) -> None:
    shutil.copy(folder / "wheels/nothing-1-py3-none-any.whl", folder / "wheels/more-1-py3-none-any.whl")


def add_installer(folder: Path, ran: Path) -> None:
    (folder / "installer-0.whl").write_bytes(b"")


def add_hidden(folder: Path, ran: Path) -> None:
    (folder / "tutorial.kws/.hidden").write_bytes(b"")


def add_odd_name(folder: Path, ran: Path) -> None:
    (folder / "boards/SHA256SUMS\n0.conf").write_text(f"touch '{ran}'\n")


def add_link(folder: Path, ran: Path) -> None:
    (folder / "more.conf").symlink_to("archive.conf")


def add_linked_folder(folder: Path, ran: Path) -> None:
    (folder / "boards").rename(folder.parent / "elsewhere")
    (folder / "boards").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    "add", [add_conf, add_wheel, add_installer, add_hidden, add_odd_name, add_link, add_linked_folder]
)
def test_what_the_sums_do_not_name_is_refused_before_anything_runs(make_archive, tmp_path, add):
    folder, prefix, ran = make_archive(), tmp_path / "kwspot", tmp_path / "ran"
    add(folder, ran)
    one_line_and_nothing(install(folder, prefix), prefix, "holds what SHA256SUMS does not name")
    assert not ran.exists()


@pytest.mark.parametrize("name", ["versions", "bin"])
def test_a_prefix_whose_folders_lead_elsewhere_is_refused(make_archive, tmp_path, name):
    prefix, elsewhere = tmp_path / "kwspot", tmp_path / "elsewhere"
    (elsewhere / "mine").mkdir(parents=True)
    (elsewhere / "kwspot").write_text("mine")
    prefix.mkdir()
    (prefix / ".lock").write_text("")
    (prefix / name).symlink_to(elsewhere)
    for options in ([], ["--uninstall"]):
        done = install(make_archive(f"of{len(options)}"), prefix, *options)
        assert done.returncode == 1
        assert f"{prefix}/{name} is a link" in done.stderr
    assert sorted(path.name for path in elsewhere.iterdir()) == ["kwspot", "mine"]
    assert (elsewhere / "kwspot").read_text() == "mine"


def test_a_bundle_with_an_apostrophe_in_its_name_is_installed(make_archive, tmp_path):
    shutil.copytree(load_bundle("tutorial").path, tmp_path / "what's up.kws")
    prefix = tmp_path / "kwspot"
    done = install(make_archive(bundle=str(tmp_path / "what's up.kws")), prefix)
    assert done.returncode == 0, done.stderr
    assert listens(prefix)


def shims(folder: Path, names: tuple[str, ...], text: str) -> str:
    """Programs that do `text` first, then what they are called."""
    folder.mkdir(exist_ok=True)
    for name in names:
        search = ":".join((str(Path(sys.executable).parent), os.environ["PATH"]))
        real = shutil.which(name, path=search)
        (folder / name).write_text(f'#!/bin/sh\n{text}\nexec {real} "$@"\n')
        (folder / name).chmod(0o755)
    return str(folder)


def test_power_cuts_at_every_step_leave_a_working_version(make_archive, tmp_path):
    archives = [make_archive("one"), make_archive("two", bundle="commands")]
    prefix, count = tmp_path / "kwspot", tmp_path / "count"
    # The whole installer, and the step itself, are killed where the number is reached.
    counting = f'n=$(($(cat {count})+1)); echo $n >{count}; [ $n != "$CUT_AT" ] || kill -KILL 0'
    path = shims(tmp_path / "shims", CHANGING, counting)
    count.write_text("0")
    assert install(archives[0], prefix, path=path).returncode == 0
    steps = int(count.read_text())
    assert steps >= len(CHANGING)
    for cut_at in range(1, steps + 1):
        archive = archives[cut_at % 2]
        count.write_text("0")
        cut = install(archive, prefix, path=path, CUT_AT=str(cut_at))
        assert listens(prefix), f"after a cut at {cut_at}: {cut.stderr}"
        if cut.returncode == 0:  # one step less than for the first installation
            continue
        assert cut.returncode == -9
        done = install(archive, prefix)
        assert done.returncode == 0, done.stderr
        assert listens(prefix)
        assert len(list((prefix / "versions").iterdir())) == 1


def test_a_first_installation_that_is_interrupted_leaves_nothing(make_archive, tmp_path):
    folder, prefix = make_archive(), tmp_path / "kwspot"
    path = shims(tmp_path / "shims", ("cp",), "kill -TERM $PPID; sleep 5")
    done = install(folder, prefix, path=path)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "install.sh: interrupted: run it again"
    assert not prefix.exists()


def one_line_and_nothing(done: subprocess.CompletedProcess[str], prefix: Path, says: str) -> None:
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("install.sh: ")
    assert says in line
    assert sum(text.startswith("install.sh: ") for text in done.stderr.splitlines()) == 1
    assert not prefix.exists()


def test_what_is_wrong_with_the_board_is_one_line(make_archive, tmp_path):
    prefix = tmp_path / "kwspot"
    missing = make_archive("missing", apt=("kwspot-no-such-package",))
    if shutil.which("dpkg-query"):
        one_line_and_nothing(install(missing, prefix), prefix, "sudo apt install kwspot-no-such-package")
    other = make_archive("other", multiarch="arm-linux-gnueabihf", title="another board")
    one_line_and_nothing(install(other, prefix), prefix, "this archive is for another board; here is")
    (tmp_path / "file").write_text("")
    wrong = install(make_archive("right"), tmp_path / "right/kwspot-pi/kwspot'pi")
    assert "without blanks and quotes" in wrong.stderr
    prefix.mkdir()
    (prefix / "mine").write_text("")
    assert "holds other things" in install(tmp_path / "right/kwspot-pi", prefix).stderr
    assert [path.name for path in prefix.iterdir()] == ["mine"]
    assert "no option '--prefx'" in install(tmp_path / "right/kwspot-pi", prefix, "--prefx").stderr


def test_apt_brings_what_is_missing_if_asked(make_archive, tmp_path):
    folder, prefix = make_archive(apt=("kwspot-no-such-package",)), tmp_path / "kwspot"
    said = tmp_path / "said"
    path = shims(tmp_path / "shims", ("true",), "")
    (tmp_path / "shims/sudo").write_text(f'#!/bin/sh\necho "$@" >{said}\n')
    (tmp_path / "shims/dpkg-query").write_text(f'#!/bin/sh\n[ -e {said} ] && echo "install ok installed"\n')
    for name in ("sudo", "dpkg-query"):
        (tmp_path / "shims" / name).chmod(0o755)
    done = install(folder, prefix, "--apt", path=path)
    assert done.returncode == 0, done.stderr
    assert said.read_text() == "apt-get install -y kwspot-no-such-package\n"


@pytest.mark.parametrize(
    "name", ["SHA256SUMS", "install.sh", "tutorial.kws/model.int8.tflite", "wheels/nothing-1-py3-none-any.whl"]
)
def test_a_changed_byte_is_found(make_archive, tmp_path, name):
    folder, prefix = make_archive(), tmp_path / "kwspot"
    content = bytearray((folder / name).read_bytes())
    # Of the installer a byte of a comment: what a shell makes of others is the shell's to say.
    place = 60 if name == "install.sh" else len(content) // 2
    content[place] ^= 1
    (folder / name).write_bytes(content)
    one_line_and_nothing(install(folder, prefix), prefix, "the archive is damaged or incomplete")


def in_a_small_disk(folder: Path, size: str) -> subprocess.CompletedProcess[str]:
    """Install into a disk of this size, which only the installer sees."""
    disk = folder.parent / "disk"
    disk.mkdir()
    run = f"sh {folder}/install.sh --prefix {disk}/kwspot"
    script = f"mount -t tmpfs -o size={size} none {disk} && {run}; s=$?; ls {disk}; exit $s"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    return subprocess.run(command, env=board_environment(), capture_output=True, text=True, check=False)


def test_a_full_disk_is_one_line_before_and_during_the_installation(make_archive, tmp_path, monkeypatch):
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces: a small disk cannot be made")
    early = in_a_small_disk(make_archive("early"), "2m")
    one_line_and_nothing(early, tmp_path / "none", "MB free and about 1")
    monkeypatch.setattr(archive_module, "_TOP_MB", -1)
    late = in_a_small_disk(make_archive("late"), "1m")
    one_line_and_nothing(late, tmp_path / "none", "kwspot is full; about")
    assert (early.stdout, late.stdout) == ("", "")


@pytest.fixture
def ssh_server(tmp_path: Path, monkeypatch) -> str:
    """A real OpenSSH server on loopback for this user, with keys of its own; its name for ssh."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip("no sshd: apt install openssh-server")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    environment = board_environment()
    (folder / "sshd_config").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
        f"Subsystem sftp internal-sftp\nSetEnv PATH={environment['PATH']} PYTHONPATH={SITE}\n"
    )
    # sshd on its standard streams for each connection: no port, so nobody else's is taken.
    (folder / "config").write_text(
        f"Host board\n  User {os.environ.get('USER') or subprocess.getoutput('id -un')}\n  IdentityFile {folder}/user\n"
        f"  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking accept-new\n  BatchMode yes\n"
        f"  ProxyCommand {sshd} -i -f {folder}/sshd_config 2>>{folder}/log\n"
        "Host nobody\n  ProxyCommand false\n"
    )
    programs = folder / "bin"
    programs.mkdir()
    for name in ("ssh", "scp"):
        (programs / name).write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F {folder}/config "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return "board"


def test_a_board_that_ssh_reaches(ssh_server, make_archive, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(boards, "BOARDS", {**BOARDS, "here": this_machine()})
    prefix = tmp_path / "kwspot"
    argv = ["tutorial", "--ssh", ssh_server, "--offline", "--prefix", str(prefix)]
    assert deploy_cli.main(argv) == 0
    assert listens(prefix)
    said = capfd.readouterr().err
    assert "board is a this machine" in said
    assert "passed: tutorial on litert" in said
    # Again, with an archive that stays; what the installer says is the user's to see.
    assert deploy_cli.main([*argv, "--to", str(tmp_path / "kept.tar.gz")]) == 0
    assert "already installed" in capfd.readouterr().err
    assert tarfile.is_tarfile(tmp_path / "kept.tar.gz")
    monkeypatch.setattr(boards, "BOARDS", {**BOARDS, "here": this_machine(apt=("kwspot-no-such-package",))})
    with pytest.raises(DeployError, match="installing on board ended with status 1; it says why above"):
        deploy_cli.main([*argv, "--to", str(tmp_path / "kept.tar.gz")])
    assert "sudo apt install kwspot-no-such-package" in capfd.readouterr().err
    monkeypatch.setattr(boards, "BOARDS", BOARDS)
    with pytest.raises(DeployError, match="which is none of"):
        deploy_cli.main(argv)
    with pytest.raises(DeployError, match="nobody cannot be reached; check that 'ssh nobody' works"):
        deploy_cli.main(["tutorial", "--ssh", "nobody"])


def test_the_installer_is_clean():
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck: apt install shellcheck")
    for module in ("export/deploy/install.sh", "benchmarks/pi/enter.sh"):
        subprocess.run(["shellcheck", str(Path(__file__).parents[2] / module)], check=True)


def test_every_line_of_the_page_runs(tmp_path):
    page = (Path(__file__).parents[2] / "docs/deploy.md").read_text(encoding="utf-8")
    lines = "".join(re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)).splitlines()
    assert [line.split()[1] for line in lines] == ["deploy", "selftest", "export"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line in lines:
        subprocess.run(line.split(), cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {"kwspot-pi.tar.gz", "firmware"}
