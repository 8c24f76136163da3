"""kwspot data fetch, against a server on loopback that can misbehave."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import re
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime.cli import main
from kwspot.train.data import download, fetch

WORDS, TEST_SET = "speech_commands_v0.02.tar.gz", "speech_commands_test_set_v0.02.tar.gz"


class Server(ThreadingHTTPServer):
    """Serves `files`, and remembers what was asked and how many bytes of bodies it sent."""

    daemon_threads = False  # joined by server_close

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.breaks_after: list[int] = []  # the next answers end after so many bytes of their body
        self.statuses: list[int] = []  # the next answers are these errors
        self.ranges = True
        self.sends_length = True
        self.part = "bytes {start}-{last}/{size}"
        self.drips_s = 0.0  # between the bytes of a body
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        name, asked = self.path.rpartition("/")[2], self.headers["Range"]
        self.server.asked.append((name, asked))
        if self.server.statuses or name not in self.server.files:
            self.send_error(self.server.statuses.pop(0) if self.server.statuses else 404)
            return
        body = self.server.files[name]
        start = 0
        if asked and self.server.ranges:
            match = re.fullmatch(r"bytes=(\d+)-", asked)
            assert match is not None
            start = int(match[1])
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            part = self.server.part.format(start=start, last=len(body) - 1, size=len(body))
            self.send_header("Content-Range", part)
        else:
            self.send_response(200)
        if self.server.sends_length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + self.server.breaks_after.pop(0) if self.server.breaks_after else len(body)
        self.server.sent += len(body[start:end])  # before it goes out: then the client may look
        if self.server.drips_s:
            with contextlib.suppress(ConnectionError):
                for k in range(start, end):
                    self.wfile.write(body[k : k + 1])
                    time.sleep(self.server.drips_s)
            return
        self.wfile.write(body[start:end])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with both archives of version 2; kwspot knows them, and waits less between its tries."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "ADDRESS", f"http://127.0.0.1:{server.server_port}/data/")
    monkeypatch.setattr(download, "WAITS_S", (0.0, 0.01, 0.02))
    monkeypatch.setattr(download, "TIMEOUT_S", 5.0)
    offer(server, monkeypatch, WORDS, archive_of({"./yes/a_nohash_0.wav": 70_000, "./LICENSE": 100}))
    offer(server, monkeypatch, TEST_SET, archive_of({"./_unknown_/b_nohash_0.wav.wav": 5_000}))
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)
    assert not thread.is_alive()


def archive_of(sizes: dict[str, int], *, link: str | None = None) -> bytes:
    """A .tar.gz of files that do not compress, as Google makes them: with an entry for each folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, size in sizes.items():
            folder = tarfile.TarInfo(name.rpartition("/")[0] or ".")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            member = tarfile.TarInfo(name)
            member.size = size
            archive.addfile(member, io.BytesIO(np.random.default_rng(size).bytes(size)))
        if link is not None:
            member = tarfile.TarInfo("yes/link")
            member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)
    return out.getvalue()


def offer(server: Server, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """Let the server have this content under the name, and kwspot know its size and SHA-256."""
    server.files[name] = content
    known = tuple(
        dataclasses.replace(archive, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        if archive.name == name
        else archive
        for archive in fetch.ARCHIVES[2]
    )
    monkeypatch.setattr(fetch, "ARCHIVES", {2: known})


def run(to: Path, *options: str) -> int:
    return main(["data", "fetch", "speech-commands", "--version", "2", "--to", str(to), *options])


def refused(capsys: pytest.CaptureFixture[str], to: Path, *options: str) -> str:
    """The one line with which the command ends."""
    capsys.readouterr()
    assert run(to, *options) == 2
    said = capsys.readouterr()
    assert not said.out
    errors = [line for line in said.err.splitlines() if line.startswith("kwspot: ")]
    assert said.err.splitlines()[-1:] == errors, said.err
    return errors[0]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_kwspot_knows_of_googles_archives() -> None:
    archives = [archive for version in (1, 2) for archive in fetch.ARCHIVES[version]]
    assert len({archive.sha256 for archive in archives}) == len({archive.folder for archive in archives}) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", archive.sha256) for archive in archives)
    assert fetch.ADDRESS.startswith("https://")


def test_all_of_it_and_then_nothing_more(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "data"
    assert run(to) == 0
    assert names(to) == [
        "speech_commands_test_set_v2/_unknown_/b_nohash_0.wav.wav",
        "speech_commands_test_set_v2/fetched.json",
        "speech_commands_v2/LICENSE",
        "speech_commands_v2/fetched.json",
        "speech_commands_v2/yes/a_nohash_0.wav",
    ]
    clip = to / "speech_commands_v2/yes/a_nohash_0.wav"
    assert clip.read_bytes() == np.random.default_rng(70_000).bytes(70_000)
    recipe = json.loads((to / "speech_commands_v2/fetched.json").read_text())
    assert recipe["sha256"] == hashlib.sha256(server.files[WORDS]).hexdigest()
    assert recipe["files"] == 2
    said = capsys.readouterr()
    assert not said.out
    assert f"{WORDS}: 0.1 of 0.1 MB" in said.err
    assert "MB/s" in said.err
    assert "\r" not in said.err

    assert run(to) == 0
    assert capsys.readouterr().err.count("is there already") == 2
    assert len(server.asked) == 2

    clip.unlink()
    assert "has 1 files, expected 2: add --overwrite" in refused(capsys, to)
    assert run(to, "--overwrite", "--no-test-set") == 0
    assert clip.is_file()
    assert [name for name, _ in server.asked] == [WORDS, TEST_SET, WORDS]


def test_without_the_test_set_and_with_the_archive_kept(server: Server, tmp_path: Path) -> None:
    assert run(tmp_path, "--no-test-set", "--keep-archives") == 0
    assert (tmp_path / WORDS).read_bytes() == server.files[WORDS]
    assert not (tmp_path / "speech_commands_test_set_v2").exists()
    assert run(tmp_path, "--no-test-set", "--overwrite") == 0  # unpacks the archive that lies there
    assert len(server.asked) == 1
    assert not (tmp_path / WORDS).exists()


def test_a_break_is_gone_on_with(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.breaks_after = [20_000, 15_000]
    assert run(tmp_path, "--no-test-set") == 0
    assert server.asked == [(WORDS, None), (WORDS, "bytes=20000-"), (WORDS, "bytes=35000-")]
    assert server.sent == len(server.files[WORDS])  # no byte twice
    assert "another try in" in capsys.readouterr().err


def test_the_next_command_goes_on(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.breaks_after = [20_000, 0, 0, 0]
    error = refused(capsys, tmp_path, "--no-test-set")
    assert f"{WORDS} broke off after 0.0 of 0.1 MB" in error
    assert "run the same command again, it goes on where it stopped" in error
    assert names(tmp_path) == [WORDS + ".part"]
    assert run(tmp_path, "--no-test-set") == 0
    assert server.asked[-1] == (WORDS, "bytes=20000-")
    assert server.sent == len(server.files[WORDS])
    assert not (tmp_path / (WORDS + ".part")).exists()


def test_tries_are_counted_anew_only_after_new_ground(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_BLOCK", 10_000)
    server.breaks_after = [10_000] * 6
    assert run(tmp_path, "--no-test-set") == 0
    assert len(server.asked) == 7
    (tmp_path / "again").mkdir()
    server.ranges, server.breaks_after = False, [30_000] * 9
    assert "broke off after 0.0" in refused(capsys, tmp_path / "again", "--no-test-set")
    assert len(server.asked) == 7 + 4


@pytest.mark.parametrize("sends_length", [True, False])
def test_a_server_without_range(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], sends_length: bool
) -> None:
    server.ranges, server.sends_length = False, sends_length
    server.breaks_after = [20_000]
    assert run(tmp_path, "--no-test-set") == 0
    assert server.sent == 20_000 + len(server.files[WORDS])
    assert "it starts again" in capsys.readouterr().err


@pytest.mark.parametrize("surplus", [0, 7])
def test_a_part_that_is_already_all_of_it_or_more(server: Server, tmp_path: Path, surplus: int) -> None:
    (tmp_path / (WORDS + ".part")).write_bytes(server.files[WORDS] + bytes(surplus))
    assert run(tmp_path, "--no-test-set") == 0
    assert len(server.asked) == (1 if surplus else 0)


def test_a_wrong_checksum(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = server.files[WORDS]
    server.files[WORDS] = good[:-1] + bytes([good[-1] ^ 1])
    error = refused(capsys, tmp_path)
    assert hashlib.sha256(server.files[WORDS]).hexdigest() in error
    assert "nothing was unpacked" in error
    assert list(tmp_path.iterdir()) == []
    # A part of something else is noticed too, and does not stand in the way for ever.
    server.files[WORDS] = good
    (tmp_path / (WORDS + ".part")).write_bytes(bytes(1_000))
    assert "SHA-256" in refused(capsys, tmp_path)
    assert run(tmp_path) == 0


def test_a_file_of_another_size_is_not_even_downloaded(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files[WORDS] = b"<html>Please log in to this network</html>"
    assert "offers 42 bytes, expected" in refused(capsys, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / (WORDS + ".part")).write_bytes(bytes(10))
    assert "offers 42 bytes, expected" in refused(capsys, tmp_path)


def test_statuses(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.statuses = [503, 429]
    assert run(tmp_path, "--no-test-set") == 0
    assert len(server.asked) == 3
    test_set = server.files.pop(TEST_SET)
    assert f"{TEST_SET}: the server answers HTTP 404 Not Found" in refused(capsys, tmp_path)
    assert len(server.asked) == 4  # not tried again
    assert (tmp_path / "speech_commands_v2").is_dir()
    server.statuses = [500] * 4
    assert "nothing came (HTTP 500" in refused(capsys, tmp_path)
    assert len(server.asked) == 8
    (tmp_path / (TEST_SET + ".part")).write_bytes(bytes(10))
    server.statuses, server.files[TEST_SET] = [416], test_set
    assert run(tmp_path) == 0
    assert server.asked[-2:] == [(TEST_SET, "bytes=10-"), (TEST_SET, None)]


def test_nobody_answers(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound and not listening: refused
        monkeypatch.setattr(fetch, "ADDRESS", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert re.search("nothing came .*Connection refused.*check the network", refused(capsys, tmp_path))
        listener.listen()  # and never accepting: silence
        monkeypatch.setattr(download, "TIMEOUT_S", 0.2)
        assert "timed out" in refused(capsys, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../outside.wav", "yes/../../outside.wav", "/tmp/outside.wav"])
def test_an_archive_that_reaches_outside(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    offer(server, monkeypatch, WORDS, archive_of({"yes/a_nohash_0.wav": 10, name: 10}))
    assert "expected files and folders that stay inside" in refused(capsys, tmp_path / "data")
    assert names(tmp_path) == [f"data/{WORDS}"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == [WORDS]


def test_an_archive_with_a_link(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, WORDS, archive_of({"yes/a_nohash_0.wav": 10}, link="/etc"))
    assert "holds 'yes/link'" in refused(capsys, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [WORDS]


@pytest.mark.parametrize("kept", [5, 1_000, -9, -1])
def test_a_truncated_archive(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    offer(server, monkeypatch, WORDS, server.files[WORDS][:kept])
    assert "cannot be unpacked" in refused(capsys, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [WORDS]


def test_an_archive_that_lies_there_damaged(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / WORDS).write_bytes(b"not whole")
    assert "is damaged" in refused(capsys, tmp_path)
    assert (tmp_path / WORDS).read_bytes() == b"not whole"


def test_a_folder_in_the_way(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "speech_commands_v2/yes/me_nohash_0.wav"
    mine.parent.mkdir(parents=True)
    mine.write_text("a recording of mine")
    for options in ([], ["--overwrite"]):
        assert "was not made by kwspot data fetch" in refused(capsys, tmp_path, *options)
    assert names(tmp_path) == ["speech_commands_v2/yes/me_nohash_0.wav"]
    assert not server.asked
    (tmp_path / "speech_commands_v2/fetched.json").write_text("{}")
    assert "fetched.json is damaged" in refused(capsys, tmp_path)


def test_a_full_disk(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / (WORDS + ".part")).symlink_to("/dev/full")  # every write fails as on a full disk
    assert "is full" in refused(capsys, tmp_path)
    assert not (tmp_path / "speech_commands_v2").exists()


def test_two_at_a_time(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = tmp_path / (WORDS + ".part")
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "by another process" in refused(capsys, tmp_path)
    assert part.exists()


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock = iter([0.0, 0.1, 10.0, 10.0, 20.0])
    monkeypatch.setattr(download.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr("sys.stderr", screen := Terminal())
    progress = download.Progress("x.tar.gz", 300_000_000, 100_000_000)
    progress.at(110_000_000)  # too soon to be shown
    progress.at(120_000_000)
    progress._done = 300_000_000
    progress.end()
    assert screen.getvalue() == (
        "\rx.tar.gz: 120.0 of 300.0 MB, 2.0 MB/s, 1:30 left\033[K\rx.tar.gz: 300.0 of 300.0 MB, 10.0 MB/s\033[K\n"
    )


@pytest.mark.parametrize("part", ["bytes " + "9" * 5_000 + "-9/9", "bytes \u00b2-3/4", "bytes 0-1/" + "1" * 30])
def test_a_part_of_numbers_that_nobody_can_read(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    server.breaks_after, server.part = [10_000], part
    assert "does not say which" in refused(capsys, tmp_path / "data")


def test_a_server_that_drips_is_taken_for_broken_off(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LEAST_WITHIN_S", 0.2)
    server.drips_s = 0.01
    line = refused(capsys, tmp_path / "data")
    assert "less than 65536 bytes in a minute" in line
    assert "run the same command again" in line
