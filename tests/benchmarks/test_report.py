"""The report: its JSON keeps to the schema, and a real browser draws every chart without a complaint."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from kwspot.benchmarks.report import pictures as report_pictures
from kwspot.benchmarks.report.rows import STAGES, against_first, steps_table
from kwspot.benchmarks.report.templates import environment
from kwspot.benchmarks.tables import Table
from kwspot.runtime import cli
from kwspot.runtime.model.bundle import Bundle

SCHEMAS = Path(__file__).parents[2] / "benchmarks/schemas"
CHARTS = 5
"""Of each bundle: waterfall, layers, cost, histogram, learning curves; misses against false accepts is one for all."""


def validator(name: str) -> jsonschema.Draft202012Validator:
    schemas = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    registry = Registry().with_resources((key, Resource.from_contents(value)) for key, value in schemas.items())
    jsonschema.Draft202012Validator.check_schema(schemas[name])
    return jsonschema.Draft202012Validator(schemas[name], registry=registry)


@pytest.fixture(scope="module")
def report(
    tiny_bundle: Bundle, stream_bundle: Bundle, tone_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Any]]:  # fmt: skip
    """A page on a window and a stream bundle side by side, and its JSON."""
    folder = tmp_path_factory.mktemp("report")
    peers = [
        {"title": title, "cpu_s_per_hour": [cost, 2 * cost, 3 * cost]} for title, cost in (("a", 9.0), ("b", 90.0))
    ]
    (folder / "peers.json").write_text(json.dumps({"schema": "kwspot.peers/1", "runs": peers}))
    command = ["bench", "report", str(tiny_bundle.path), str(stream_bundle.path), "--data", str(tone_folder)]
    command += ["--part", "validation", "--out", str(folder / "report.html"), "--json", str(folder / "report.json")]
    command += ["--peers", str(folder / "peers.json")]
    assert cli.main(command) == 0
    return folder / "report.html", json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def window() -> Iterator[Any]:
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("no chromium or chromedriver: apt install chromium chromium-driver")
    with report_pictures.browser() as opened:
        yield opened


def test_the_json_keeps_to_the_schema(report: tuple[Path, dict[str, Any]]) -> None:
    _, values = report
    validator("report-1.json").validate(values)
    assert values["peers"] == {"a": 18.0, "b": 180.0}
    assert [entry["bundle"]["kind"] for entry in values["bundles"]] == ["window", "stream"]
    broken = json.loads(json.dumps(values))
    broken["bundles"][0]["accuracy"]["stages"][0]["accuracy"] = 1.5
    with pytest.raises(jsonschema.ValidationError):
        validator("report-1.json").validate(broken)


def test_the_json_of_accuracy_keeps_to_its_schema(tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path) -> None:
    command = ["bench", "accuracy", str(tiny_bundle.path), "--data", str(tone_folder), "--part", "test"]
    assert cli.main([*command, "--json", str(tmp_path / "accuracy.json")]) == 0
    validator("accuracy-1.json").validate(json.loads((tmp_path / "accuracy.json").read_text()))


def test_the_page_explains_itself(report: tuple[Path, dict[str, Any]]) -> None:
    page, values = report
    text = page.read_text(encoding="utf-8")
    for stage in values["bundles"][0]["accuracy"]["stages"]:
        assert f"<dt>{stage['name']}</dt><dd>{STAGES[stage['name']]}</dd>" in text
    for svg in re.findall(r'<svg class="chart".*?</svg>', text, re.DOTALL):
        name = re.findall('aria-label="([^"]+)"', svg)
        assert "mathdefault" not in svg, name  # ticks are numbers, not powers of ten
    head = text.partition("<h2>")[0]
    assert re.search(r", \d{4}-\d\d-\d\d \d\d:\d\d UTC, ", head)
    assert "recognises" in head
    assert {"stream", "events"} <= set(STAGES)


def test_words_that_a_step_changed_are_counted_in_words() -> None:
    step = {"from": "a", "to": "b", "loss_points": 0.0, "ci95_points": [-1, 1], "mcnemar_p": 1.0}
    step |= {"right_to_wrong": 3, "wrong_to_right": 3, "words": {"no": [1, 1], "yes": [0, 2], "up": [2, 0]}}
    table = steps_table([{"bundle": {"name": "x"}, "accuracy": {"steps": [step]}}])
    assert table.rows[0][-1] == "no: 1 lost, 1 won; yes: 2 won; up: 2 lost"


def test_a_label_without_clips_has_no_row() -> None:
    macros = environment().get_template("macros.html").module
    shown = macros.confusion(["yes", "_silence_"], [[3, 1, 0], [0, 0, 0]], "(nothing)")
    assert shown.count("<tr>") == 2
    assert "<th>yes</th>" in shown
    assert "<th>_silence_</th>" not in shown


def test_the_page_is_alone(report: tuple[Path, dict[str, Any]]) -> None:
    text = report[0].read_text(encoding="utf-8")
    links = re.findall(r"""(?:src|href)=["']?([^"'\s>]{1,30})""", text)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "@import" not in text
    assert "url(http" not in text
    identities = re.findall(r'<\w+ [^>]*?\bid="([^"]+)"', text)
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("view", list(report_pictures.VIEWS))
def test_a_browser_draws_every_chart(report: tuple[Path, dict[str, Any]], window: Any, view: str) -> None:
    page, values = report
    report_pictures.open_page(window, page, view)
    assert [entry for entry in window.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    charts = window.execute_script(
        "return [...document.querySelectorAll('svg.chart')].map(c => {"
        "  const box = c.getBoundingClientRect();"
        "  return {name: c.getAttribute('aria-label'), width: box.width, height: box.height,"
        "          drawn: c.querySelectorAll('path, use').length, words: c.querySelectorAll('text').length}})"
    )
    # Without runs there are no learning curves; peers are one chart, as is the trade-off.
    assert len(charts) == (CHARTS - 1) * len(values["bundles"]) + 2
    for chart in charts:
        assert chart["width"] > 250, chart
        assert chart["height"] > 60, chart
        assert chart["drawn"] > 4, chart
        assert chart["words"] > 2, chart
    # Nothing is wider than what shows it, but tables that scroll by themselves.
    assert window.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    ink, card = window.execute_script(
        "const s = e => getComputedStyle(e); return [s(document.querySelector('svg.chart text')).fill,"
        " s(document.querySelector('.card')).backgroundColor]"
    )
    bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, card)]
    assert (bright[0] > bright[1]) == (view == "dark")
    assert abs(bright[0] - bright[1]) > 400


def test_tables_can_be_copied(report: tuple[Path, dict[str, Any]], window: Any) -> None:
    report_pictures.open_page(window, report[0], "light")
    texts = window.execute_script("return [...document.querySelectorAll('button.copy')].map(b => b.dataset.text)")
    assert any(text.startswith("| bundle | step |") for text in texts)
    assert any(text.startswith("bundle,step,points lost") for text in texts)
    assert all(entry["bundle"]["name"] in "".join(texts) for entry in report[1]["bundles"])


def test_pictures_are_small(report: tuple[Path, dict[str, Any]], window: Any, tmp_path: Path) -> None:
    report_pictures.open_page(window, report[0], "dark")
    report_pictures.take(window, tmp_path / "dark.png")
    assert 5_000 < (tmp_path / "dark.png").stat().st_size < 150_000


def test_learning_curves_are_read_and_drawn(tmp_path: Path) -> None:
    from kwspot.benchmarks.report.charts import learning_chart
    from kwspot.benchmarks.report.data import learning_curves
    from kwspot.runtime.errors import RunError

    for name in ("config.toml", "model.keras", "metrics.json"):
        (tmp_path / name).touch()
    history = tmp_path / "history.csv"
    history.write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy,clips_per_s,seconds\n1,1.0,0.5,0.9,0.6,9,3\n2,0.5,0.8,0.4,0.9,9,3\n"
    )
    curves = learning_curves(tmp_path)
    assert curves["val_accuracy"] == [0.6, 0.9]
    assert learning_chart("curves", curves).count("<svg") == 1
    for text in ("epoch,loss\n1,2\n", "epoch,loss,accuracy,val_loss,val_accuracy\n"):
        history.write_text(text)
        with pytest.raises(RunError, match=r"history\.csv (does not fit|has no epoch)"):
            learning_curves(tmp_path)


def test_bundles_are_compared_where_they_have_one_task(report: tuple[Path, dict[str, Any]]) -> None:
    entries = report[1]["bundles"]
    (sentence,) = against_first(entries)
    assert sentence.startswith("tiny-stream against tiny, int8-litert: ")
    other = json.loads(json.dumps(entries[1]))
    other["accuracy"]["labels"] = ["loud", *other["accuracy"]["labels"][1:]]
    assert against_first([entries[0], other]) == []


def test_changed_clips_can_be_heard(tiny_bundle: Bundle, tone_folder: Path) -> None:
    import base64
    import io
    import wave

    from kwspot.benchmarks.report.clips import MOST_CLIPS, embed_changed_clips
    from kwspot.runtime.audio.recordings import DataFolder

    clips = [clip.path.relative_to(tone_folder).as_posix() for clip in DataFolder(tone_folder).clips("all")]
    changes = [{"clip": clip, "label": "low", "before": ["low", 1.0], "after": ["high", 0.6]} for clip in clips]
    steps = [{"from": "a", "to": "b", "changed": changes[:30]}, {"from": "b", "to": "c", "changed": changes[29:31]}]
    heard = embed_changed_clips({"steps": steps}, tiny_bundle.manifest, tone_folder)
    assert len(heard) == MOST_CLIPS
    # Steps take turns, and a clip is there once.
    assert [clip.step for clip in heard[:4]] == ["a → b", "b → c", "a → b", "b → c"]
    assert len({clip.change["clip"] for clip in heard}) == MOST_CLIPS
    head, _, content = heard[0].sound.partition(",")
    assert head == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(content))) as sound:
        assert (sound.getframerate(), sound.getnchannels()) == (16_000, 1)
        assert sound.getnframes() == tiny_bundle.manifest.window_samples
    assert heard[0].picture.startswith("data:image/png;base64,")


def test_a_table_in_its_forms() -> None:
    table = Table("T", ["a|b", "c"], [["x,y", "1.5"], ["<z>", "–"]])
    assert table.markdown().splitlines() == ["| a\\|b | c |", "| --- | ---: |", "| x,y | 1.5 |", "| <z> | – |"]
    assert table.text().splitlines() == ["a|b    c", "x,y  1.5", "<z>    –"]
    assert table.csv() == 'a|b,c\n"x,y",1.5\n<z>,–\n'
    macros = environment().get_template("macros.html").module
    assert '<td>&lt;z&gt;</td><td class="number">–</td>' in macros.table(table)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--run", "a", "--run", "b"], "2 --run for 1 bundles; expected one for each"),
        (["--peers", "{old}"], "is of schema 'kwspot.peers/0'; expected kwspot.peers/1"),
        (["--peers", "nowhere.json"], "nowhere.json cannot be read (No such file or directory)"),
        (["--words", "low,loud"], "loud"),
    ],
)
def test_mistakes(
    tiny_bundle: Bundle, tone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    options: list[str], expected: str,
) -> None:  # fmt: skip
    (tmp_path / "old.json").write_text('{"schema": "kwspot.peers/0"}')
    filled = [option.replace("{old}", str(tmp_path / "old.json")) for option in options]
    page = tmp_path / "report.html"
    command = ["bench", "report", str(tiny_bundle.path), "--data", str(tone_folder), "--out", str(page), *filled]
    assert cli.main(command) == 2
    assert expected in capsys.readouterr().err.strip().splitlines()[-1]
    assert not page.exists()


def test_two_bundles_of_one_name(tiny_bundle: Bundle, tone_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = [str(tiny_bundle.path)] * 2
    assert cli.main(["bench", "report", *twice, "--data", str(tone_folder), "--out", "x.html"]) == 2
    assert "two bundles are called tiny" in capsys.readouterr().err
