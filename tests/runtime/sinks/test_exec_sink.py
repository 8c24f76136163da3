"""A queue that a slow receiver fills, and a program for each detection."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.sinks.exec import ExecSink
from kwspot.runtime.sinks.queued import Event, QueuedSink, Undelivered


def heard(label: str = "low", at_s: float = 1.5) -> dict[str, object]:
    return {"event": "detection", "label": label, "score": 0.93, "at_s": at_s, "at_sample": int(at_s * 16_000)}


class Slow(QueuedSink):
    """Delivers when it is let, and not what is called bad."""

    def __init__(self, room: int) -> None:
        self.let = threading.Event()
        self.got: list[object] = []
        super().__init__("slow", room=room)

    def deliver(self, event: Event) -> None:
        while not self.let.wait(0.02):
            if self.given_up.is_set():
                raise Undelivered("too late")
        if event["label"] == "bad":
            raise Undelivered("bad news")
        self.got.append(event["label"])


def test_what_finds_no_room_is_dropped_and_counted_and_the_rest_keeps_its_order(capsys):
    sink = Slow(room=10)
    for number in range(100):
        sink.put(heard(str(number)))
    sink.let.set()
    sink.close()
    assert sink.got == [str(number) for number in range(len(sink.got))]
    assert (sink.delivered, sink.delivered + sink.dropped) == (len(sink.got), 100)
    assert len(sink.got) in (10, 11)  # one may have been on its way already
    assert f"slow: {sink.dropped} of 100 events were not delivered" in capsys.readouterr().err


def test_a_receiver_that_hangs_does_not_hold_the_end(capsys):
    sink = Slow(room=10)
    for number in range(5):
        sink.put(heard(str(number)))
    started = time.monotonic()
    sink.close(within_s=0.1)
    assert time.monotonic() - started < 60
    assert (sink.delivered, sink.dropped) == (0, 5)
    assert not any(thread.name == "slow" for thread in threading.enumerate())
    assert "slow: 5 of 5 events were not delivered" in capsys.readouterr().err


def test_what_a_receiver_refuses_is_counted_and_the_next_goes_through(capsys):
    sink = Slow(room=10)
    sink.let.set()
    for label in ("one", "bad", "two"):
        sink.put(heard(label))
    sink.close()
    assert (sink.got, sink.delivered, sink.dropped) == (["one", "two"], 2, 1)
    assert "slow: bad news" in capsys.readouterr().err


def writer(folder: Path) -> list[str]:
    """A program that writes its arguments to a file in `folder`."""
    code = f"import sys, json, uuid; open(f'{folder}/{{uuid.uuid4()}}', 'w').write(json.dumps(sys.argv[1:]))"
    return [sys.executable, "-c", code]


def test_a_detection_runs_the_program_with_what_was_heard(tmp_path):
    sink = ExecSink([*writer(tmp_path), "{label}", "score={score}", "{at_s}{at_s}", '{"a": "{label}"}', "$HOME; ls"])
    sink.put({"event": "start", "words": ["low"]})
    sink.put(heard("don't {score}"))
    sink.close(20)
    (written,) = tmp_path.iterdir()
    label = "don't {score}"
    assert json.loads(written.read_text()) == [label, "score=0.93", "1.51.5", f'{{"a": "{label}"}}', "$HOME; ls"]
    assert (sink.delivered, sink.dropped) == (1, 0)


def test_a_program_that_hangs_is_killed_with_its_children_and_counted(tmp_path, capfd):
    child = tmp_path / "child"
    code = f"sleep 60 & echo $! > {child}; echo said; sleep 60"
    sink = ExecSink(["sh", "-c", code], at_once=2, time_limit_s=2, room=1)
    for _ in range(20):
        sink.put(heard())
    sink.close(20)
    assert sink.delivered == 0
    assert sink.dropped == 20
    out, err = capfd.readouterr()
    assert out == ""  # standard output is for events
    assert "said" in err
    assert "was killed" in err
    status = Path(f"/proc/{child.read_text().strip()}/status")
    deadline = time.monotonic() + 60
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < deadline, "its child lives on"
        time.sleep(0.05)


def test_a_program_ends_with_the_process_that_started_it_however_that_ends(tmp_path):
    code = (
        "import sys, time\n"
        "from kwspot.runtime.sinks.exec import ExecSink\n"
        f"sink = ExecSink(['sh', '-c', 'sleep 60 & echo $! > {tmp_path}/child.new; mv {tmp_path}/child.new "
        f"{tmp_path}/child; sleep 60'], time_limit_s=60)\n"
        "sink.put({'event': 'detection', 'label': 'low', 'score': 0.9, 'at_s': 1.0})\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (tmp_path / "child").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    process.kill()
    process.wait()
    status = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/status")
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.05)


def test_no_more_programs_at_once_than_stated(tmp_path):
    code = "import os, sys, time; open(f'{sys.argv[1]}/{os.getpid()}', 'w'); time.sleep(0.4)"
    sink = ExecSink([sys.executable, "-c", code, str(tmp_path)], at_once=2)
    for _ in range(6):
        sink.put(heard())
    most = 0
    while sink.delivered < 6:
        running = sum(Path(f"/proc/{name.name}").exists() for name in tmp_path.iterdir())
        most = max(most, running)
        time.sleep(0.02)
    sink.close()
    assert most == 2


def test_the_status_of_a_program_is_said(capsys):
    sink = ExecSink(["sh", "-c", "exit 3"])
    sink.put(heard())
    sink.close(10)
    assert "exec: sh ended with status 3" in capsys.readouterr().err
    assert sink.delivered == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "has no command"),
        (["no-such-program-here"], "no such program"),
        (["echo", "{lable}"], "did you mean {label}"),
    ],
)
def test_a_mistake_is_told_before_listening(arguments, told):
    with pytest.raises(ConfigError, match=told):
        ExecSink(arguments)
