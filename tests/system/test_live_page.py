"""The live page in a real browser, in front of a real ``kwspot listen`` that hears a stream."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser

RATE_HZ = 16_000
FASTER = 2.0  # than the sound


class Listening:
    """kwspot listen --stdin --web, and what speaks to it."""

    def __init__(self, bundle: Path, folder: Path, sound: np.ndarray) -> None:
        self.saved = folder / "saved"
        command = [sys.executable, "-m", "kwspot.runtime.cli", "listen", str(bundle), "--stdin", "--web", "127.0.0.1:0"]
        with (folder / "out").open("w") as out:
            self.process = subprocess.Popen(
                [*command, "--save-events", str(self.saved)],
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, text=False,
            )  # fmt: skip
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(rb"http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(found[1])
                break
        self.url = f"http://127.0.0.1:{self.port}/"
        self._sound = sound
        self._ending = False
        self._thread = threading.Thread(target=self._speak)
        self._thread.start()

    def _speak(self) -> None:
        assert self.process.stdin is not None
        started, blocks = time.monotonic(), 0
        with contextlib.suppress(OSError):
            while not self._ending:
                for start in range(0, len(self._sound), 1280):
                    self.process.stdin.write(self._sound[start : start + 1280].tobytes())
                    self.process.stdin.flush()
                    blocks += 1
                    if self._ending:
                        return
                    time.sleep(max(0, started + blocks * 0.08 / FASTER - time.monotonic()))

    def close(self) -> None:
        self._ending = True
        self.process.terminate()
        assert self.process.wait(60) == 0
        self._thread.join()
        for pipe in (self.process.stdin, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


@pytest.fixture(scope="module")
def listening(tiny_bundle, tone_folder, tmp_path_factory) -> Iterator[Listening]:
    from kwspot.runtime.audio.recordings import DataFolder
    from kwspot.runtime.audio.sound_file import read_sound

    clips = DataFolder(tone_folder).clips("test", ["low", "high"])
    pause = np.zeros(RATE_HZ, np.int16)
    sound = np.concatenate([part for clip in clips for part in (read_sound(clip.path, RATE_HZ), pause)])
    listening = Listening(tiny_bundle.path, tmp_path_factory.mktemp("page"), sound)
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def browser(listening) -> Iterator[Browser]:
    browser = Browser()
    browser.open(listening.url)
    browser.until("document.querySelectorAll('.word').length == 2")
    yield browser
    browser.close()


def test_the_page_shows_sound_scores_and_events(browser, tmp_path):
    browser.until("document.querySelector('#events b')")
    assert browser.run("return document.querySelector('#events b').textContent") in ("low", "high")
    browser.until("Number.parseFloat(document.querySelector('#level output').textContent) > -90")
    browser.until("times.length > 50 && rows.some((row) => Math.max(...row.scores) > 0.5)")
    painted = (
        "(() => { const c = document.getElementById('picture'); const d = c.getContext('2d').getImageData("
        "c.width - 40, 0, 40, c.height).data; return new Set(Array.from(d).filter((_, i) => i % 4 == 1)).size > 5 })()"
    )
    browser.until(painted)
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert browser.log() == []  # no fault in the script, nothing that the page's own policy refuses


def test_a_line_is_dragged_and_the_threshold_holds(browser, listening):
    before = browser.run("return rows[0].threshold")
    browser.drag(".line", 15)
    dragged = browser.run("return rows[0].threshold")
    assert 0 < dragged < before
    browser.until("!document.getElementById('keep').hidden")
    assert f"--threshold low={dragged:g}" in browser.run("return document.getElementById('keep').textContent")
    browser.run("rows[1].line.dispatchEvent(new KeyboardEvent('keydown', {key: 'PageDown'}))")
    browser.until("rows[1].input.value == '0.70'")
    time.sleep(1)
    browser.open(listening.url)  # what the loop says, not what the page remembers
    browser.until("rows.length == 2")
    assert browser.run("return rows.map((row) => row.threshold)") == [dragged, 0.7]


def test_an_emptied_threshold_stays_what_it_was(browser):
    before = browser.run("return rows[0].threshold")
    browser.run("rows[0].input.value = ''; rows[0].input.dispatchEvent(new Event('change'))")
    assert browser.run("return [rows[0].threshold, Number(rows[0].input.value)]") == [before, before]
    browser.run("rows[0].input.value = '7'; rows[0].input.dispatchEvent(new Event('change'))")
    browser.until("rows[0].threshold == 1")
    browser.run(f"rows[0].choose({before})")


def test_sounds_stay_where_they_are_while_somebody_points_at_them(browser):
    browser.until("document.querySelector('#saved li')")
    browser.run(
        "document.getElementById('saved').dispatchEvent(new Event('pointermove'));"
        "window.first = document.querySelector('#saved li')"
    )
    browser.run("look()")
    time.sleep(0.5)
    assert browser.run("return document.querySelector('#saved li') === window.first")
    browser.until("document.querySelector('#saved li') !== window.first")


def test_a_saved_sound_is_played_and_marked(browser, listening):
    browser.until("document.querySelector('#saved li')")
    browser.run("document.querySelector('#saved button').click()")
    browser.until("document.getElementById('player').duration > 0.9")
    name = browser.run("return document.querySelector('#saved time').title")
    browser.run("document.querySelector('#saved button.wrong').click()")
    pressed = (
        f"[...document.querySelectorAll('#saved li')].find((line) => line.querySelector('time').title == '{name}')"
    )
    browser.until(f"{pressed}?.querySelector('.wrong').getAttribute('aria-pressed') == 'true'")
    beside = (listening.saved / name).with_suffix(".json")
    assert json.loads(beside.read_text())["mark"] == "wrong"
    assert browser.log() == []


ATTACK = """
<script>
async function attack(at) {
  const tried = {};
  const ask = async (name, path, options) => {
    try { const answer = await fetch(at + path, options); tried[name] = answer.type + await answer.text(); }
    catch (error) { tried[name] = "refused"; }
  };
  await ask("read", "saved", {});
  await ask("steer", "threshold", {method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify({word: "low", threshold: 0.01})});
  await ask("steer blindly", "threshold", {method: "POST", mode: "no-cors",
    body: JSON.stringify({word: "low", threshold: 0.02})});
  tried.stream = await new Promise((done) => {
    const stream = new EventSource(at + "stream");
    stream.onmessage = stream.onopen = () => done("open");
    stream.onerror = () => done("refused");
  });
  tried.sound = await new Promise((done) => {
    const player = new Audio(at + "sound/" + document.title);
    player.oncanplay = () => done("open");
    player.onerror = () => done("refused");
  });
  return tried;
}
</script>
"""


def test_another_sites_page_can_neither_read_nor_steer(browser, listening, tmp_path):
    sound = next(listening.saved.glob("*/*.wav")).relative_to(listening.saved)
    (tmp_path / "index.html").write_text(f"<title>{sound}</title>{ATTACK}")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    thresholds = browser.run("return rows.map((row) => row.threshold)")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        browser.open(f"http://localhost:{site.server_port}/")  # another site, not only another port
        tried = browser.run("return attack(arguments[0])", listening.url)
        site.shutdown()
        thread.join()
    assert tried == dict.fromkeys(["read", "steer", "steer blindly", "stream", "sound"], "refused")
    browser.open(listening.url)
    browser.until("rows.length == 2")
    assert browser.run("return rows.map((row) => row.threshold)") == thresholds
    browser.log()


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1200, True)])
def test_on_a_phone_and_in_the_dark(listening, tmp_path, width, dark):
    browser = Browser(width=width, height=844, dark=dark)
    try:
        browser.open(listening.url)
        browser.until("document.querySelector('#events b')")
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), "it has to be scrolled"
        red, green, blue = map(
            int, browser.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")
        )
        assert (red + green + blue < 200) == dark
        assert browser.log() == []
    finally:
        browser.close()
