"""The report: every value on the page is the one in run.json, nothing on it is markup or comes from elsewhere, and what
is no run is refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import records

from accuracy import answered
from backends.bert.config import BertConfig
from foundation.people_numbers import typed
from foundation.typed_json import encode
from sut.commands import report as command
from sut.errors import UsageError
from sut.queries import timeline
from sut.queries.batch_times import BatchTimes
from sut.record import machine_limit, run_record
from sut.record.machine_limit import MachineLimit
from sut.record.operations import Operations
from sut.record.results import AccuracyResult
from sut.record.run_record import RunRecord, Verdict
from sut.reporting import page
from sut.reporting.values import look_up

GEOMETRY = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
HOSTILE = "</script><script>alert(1)</script><b>&amp;\u202e\"'`|"


def performance(**changes: Any) -> RunRecord:
    """A Server run of 2 instances with all measurements."""
    base = records.record()
    times = BatchTimes()
    for number in range(60):
        answered_s = 0.01 * (number // 2 + 1)
        times.add(number % 2, 2, 0.009, 0.008, tokens=2 * (20 + number), computed_tokens=170, answered_s=answered_s,
                  issued_s=np.full(2, answered_s - 0.01))  # fmt: skip
    assert base.performance is not None and base.plan is not None
    latency = replace(base.performance, latency_ms={"50.00": 9.5, "99.00": 12345.678}, latency_range_ms={"min": 1.0})
    return replace(
        base,
        config=replace(base.config, scenario="Server", instances=2),
        plan=replace(base.plan, target_latency_s=0.13),
        result=latency,
        batches=times.facts(2, 0.3),
        timeline=timeline.of(times.columns(), 2, 0.0, 0.3),
        warnings=("4 threads share the 1 core of an instance, which is slow. Remove --threads",),
        **changes,
    )


def written(directory: Path, record: RunRecord) -> Path:
    directory.mkdir(parents=True)
    run_record.write(directory, record)
    return directory


@dataclass
class Page(HTMLParser):
    """What a browser makes of a page: (run, path, value, text) of each value, the scripts, and the elements."""

    values: list[tuple[int, str, Any, str]] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    elements: Counter[str] = field(default_factory=Counter)
    attributes: set[str] = field(default_factory=set)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._value: dict[str, str | None] | None = None
        self._script: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        found = dict(attrs)
        self._value = found if "data-path" in found else None
        self._script = found.get("id") or "" if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] = data
        else:
            self.text += data
        if self._value is not None:
            said = self._value
            self.values.append(
                (int(said["data-run"] or 0), said["data-path"] or "", json.loads(said["data-value"] or ""), data)
            )
            self._value = None


def read(path: Path) -> Page:
    found = Page()
    found.feed(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, list[Path]]:
    """A page on a Server run and an accuracy run of a model with a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    base = performance()
    dataset = folder / "dev.json"
    paragraph = {"context": "A cat sat on a mat in Rome.", "qas": [
        {"id": str(number), "question": f"{word} sat {HOSTILE}?", "answers": [{"text": "A cat", "answer_start": 0}]}
        for number, word in enumerate(("Who", "What", "How many"))
    ]}  # fmt: skip
    dataset.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    metrics = {"exact_match": 100 / 3, "f1": 100 * (1 + 0 + 2 / 3) / 3}
    accuracy = AccuracyResult(metrics=metrics, of_answered=metrics["f1"], samples_answered=3, total_sample_count=3)
    config = replace(base.config, mode="accuracy", scenario="Offline", model=HOSTILE, dataset=dataset)
    runs = [
        written(folder / "fast", base),
        written(
            folder / HOSTILE.replace("/", "_"),
            replace(base, config=config, result=accuracy, verdict="FAIL", reasons=(HOSTILE,), checksums=None,
                    accuracy_interval=(20.5, 88.25)),
        ),
    ]  # fmt: skip
    (runs[1] / "predictions.json").write_text(json.dumps({"0": "A cat", "1": HOSTILE, "2": "cat sat"}))
    assert command.main([*map(str, runs), "--output", str(folder / "page.html")]) == 0
    return read(folder / "page.html"), runs


def test_every_value_is_the_one_in_run_json(made: tuple[Page, list[Path]]) -> None:
    found, runs = made
    contents = [json.loads((run / "run.json").read_text()) for run in runs]
    assert json.loads(found.scripts["records"]) == contents
    assert len(found.values) > 150
    for run, path, value, text in found.values:
        assert value is not None and value == look_up(contents[run], path), path
        if isinstance(value, float):
            shown = typed(re.sub(r"[^\d.]", "", text.split(" ")[0]))
            scales = (value, 1e3 * value, 100 * value, value / 2**30)
            assert shown is not None and any(shown == pytest.approx(abs(one), rel=6e-3, abs=6e-4) for one in scales), (
                path
            )
    paths = {(run, path) for run, path, _, _ in found.values}
    first = (
        "/result/latency_ms/99.00",
        "/plan/target_latency_s",
        "/machine/processor",
        "/timeline/instances/1/first_batch_s",
    )
    assert {(0, path) for path in first} | {(1, "/result/f1"), (1, "/accuracy_interval")} <= paths
    assert "12,345.7 ms" in found.text


def test_the_charts_are_of_run_json(made: tuple[Page, list[Path]]) -> None:
    found, runs = made
    drawn, record = json.loads(found.scripts["charts"]), run_record.read(runs[0])
    assert record.timeline is not None and record.timeline.latency is not None and record.batches is not None
    cdf, points = drawn["latency/0"]["traces"]
    assert (cdf["x"], cdf["y"][0], cdf["y"][-1]) == (list(record.timeline.latency.bounds_ms), 0, pytest.approx(100))
    assert (points["x"], points["y"]) == ([9.5, 12345.678], [50.0, 99.0])
    assert drawn["latency/0"]["layout"]["shapes"][0]["x0"] == 130
    rates, queue = (drawn[f"throughput/{number}"]["traces"][0]["y"] for number in (0, 1))
    assert sum(rates) * record.timeline.interval_s == pytest.approx(record.batches.samples) and queue[-1] == 0
    assert sum(drawn["batches/0"]["traces"][0]["y"]) == record.batches.samples
    busy = drawn["instances/0"]["traces"][0]["z"]
    assert busy == [[pytest.approx(100 * share) for share in one.busy] for one in record.timeline.instances]
    parts = [trace["x"][0] for trace in drawn["time/0"]["traces"]]
    assert sum(parts) == pytest.approx(100)
    assert parts[0] == pytest.approx(100 * record.batches.engine_s / (2 * record.batches.window_s))
    kinds = drawn["accuracy/0"]["traces"][0]
    assert dict(zip(kinds["x"], kinds["y"], strict=True)) == pytest.approx({"who": 0, "what": 100, "how many": 100 / 3})


def test_warnings_are_next_to_the_figure(made: tuple[Page, list[Path]]) -> None:
    assert made[0].text.count("Warning: 4 threads share the 1 core of an instance") == 2


def test_the_roofline_is_of_the_operations_in_run_json_and_of_the_measured_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, cache = performance(geometry=GEOMETRY), tmp_path / "cache"
    work = base.batches
    assert work is not None and base.performance is not None and base.machine is not None
    record = replace(
        base,
        config=replace(base.config, cache_dir=cache),
        machine=replace(base.machine, processor="elsewhere"),
        operations=Operations(products=6 * 10**9, attention=10**9, weight_bytes=500_000),
        result=replace(base.performance, latency_range_ms={"mean": 12.5}),
    )
    run, key = written(tmp_path / "run", record), machine_limit.key(record)
    assert key is not None
    words, page_path = [str(run), "--output", str(tmp_path / "page.html")], tmp_path / "page.html"
    assert command.main(words) == 0
    without = read(page_path)
    assert f"Type: python -m sut report {run} --measure-limit on the machine of the run (elsewhere)" in without.text
    assert "roofline/0" not in json.loads(without.scripts["charts"])
    limit = MachineLimit(measured=datetime(2026, 11, 26, tzinfo=UTC), processor="x", cores=2, precision="fp32",
                         hidden_size=8, intermediate_size=16, gops=100.0, ways={}, read_gb_s=4.0)  # fmt: skip
    machine_limit.keep(key, limit, cache)
    assert command.main(words) == 0
    found = read(page_path)
    assert "--measure-limit" not in found.text
    roof, window, inside = json.loads(found.scripts["charts"])["roofline/0"]["traces"]
    rate, engine_rate = 6 / work.window_s, 6 / (work.engine_s / 2)
    assert (window["x"], window["y"]) == ([pytest.approx(6e9 / (60 * 500_000))], [pytest.approx(rate)])
    assert (inside["x"], inside["y"]) == (window["x"], [pytest.approx(engine_rate)])
    assert roof["x"][1] == 25 and roof["y"] == [pytest.approx(4 * roof["x"][0]), 100, 100]
    assert {"/operations/products", "/operations/attention", "/operations/weight_bytes"} <= {
        path for _, path, _, _ in found.values
    }
    for text in (f"{rate:.4g} GOP/s", f"{engine_rate:.4g} GOP/s", "100 GOP/s", "4 GB/s", f"{rate / 100:.2%}", "6 GOP"):
        assert text.removesuffix(".0") in found.text, text
    machine_limit.path(key, cache).unlink()
    machine_limit.keep(key, replace(limit, gops=10.0), cache)
    assert command.main([str(run), "--format", "md"]) == 0
    assert "A rate is above the limit for fp32" in capsys.readouterr().out
    means = [trace["x"][0] for trace in json.loads(found.scripts["charts"])["time/1"]["traces"]]
    assert means == [pytest.approx(8), pytest.approx(1), pytest.approx(3.5)]


def test_nothing_of_a_user_is_markup_and_nothing_comes_from_elsewhere(made: tuple[Page, list[Path]]) -> None:
    found, _ = made
    assert found.elements["script"] == 4 and found.elements["b"] == 0  # records, charts, plotly, ours
    assert not {"src", "onload", "onerror"} & found.attributes and found.elements["link"] == found.elements["img"] == 0
    assert HOSTILE in found.text
    drawn = json.loads(found.scripts["charts"])
    assert all("<" not in str(trace.get("name", "")) for chart in drawn.values() for trace in chart["traces"])
    assert "<" not in found.scripts["records"] + found.scripts["charts"]
    assert "http" not in page.in_script("") and max(len(text) for text in found.scripts.values()) < 6e6


def test_the_answers_that_are_not_right_can_be_opened(made: tuple[Page, list[Path]]) -> None:
    found, _ = made
    assert found.elements["details"] >= 2 and "How many sat" in found.text and "Who sat" not in found.text
    assert "66.67 % of 1" in found.text


def test_two_runs_are_compared_as_markdown_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = written(tmp_path / "a", performance())
    second = written(tmp_path / "b", performance(random_weights=True))
    assert command.main([str(first), str(second), "--format", "md"]) == 0
    text = capsys.readouterr().out
    assert "| random\\_weights | no | yes |" in text and "| p99 | 12,345.7 ms | 12,345.7 ms |" in text
    assert command.main([str(tmp_path), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differing"] == ["random_weights"]
    assert [one["record"] for one in found["runs"]] == [encode(run_record.read(run)) for run in (first, second)]


def test_of_many_runs_the_fastest_valid_ones_are_shown_and_all_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = performance()
    assert base.performance is not None
    for number in range(9):
        result = replace(base.performance, value=100.0 + number)
        verdict: Verdict = "INVALID" if number == 8 else "VALID"
        written(
            tmp_path / f"run{number}", replace(base, result=result, verdict=verdict, first_query_unix_s=1e9 + number)
        )
    assert command.main([str(tmp_path), "--format", "md"]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^## (run\d)", text, re.MULTILINE) == [f"run{number}" for number in range(2, 8)]
    assert re.findall(r"^\| (run\d) \|", text, re.MULTILINE)[:9] == [f"run{number}" for number in range(9)]


def test_of_many_runs_each_scenario_and_mode_is_shown_then_each_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = performance()
    assert base.performance is not None
    runs: dict[str, tuple[str, int, float]] = {
        **{f"fast{number}": ("Offline", 1, 100.0 + number) for number in range(6)},
        **{f"wide{number}": ("Offline", 2, 50.0 + number) for number in range(2)},
        "slow": ("SingleStream", 1, 0.1),
    }
    for name, (scenario, instances, speed) in runs.items():
        config = replace(base.config, scenario=scenario, instances=instances, log_dir=tmp_path / name)
        progress = None
        written(tmp_path / name, replace(base, config=config, progress=progress, first_query_unix_s=1e9,
                                         result=replace(base.performance, value=speed)))  # fmt: skip
    assert command.main([str(tmp_path), "--output", str(tmp_path / "page.html")]) == 0
    assert "6 of 9 runs in " in capsys.readouterr().err
    found = re.findall(r"^(fast\d|wide\d|slow)$", read(tmp_path / "page.html").text, re.MULTILINE)
    assert set(found[:6]) == {"slow", "fast5", "wide1", "fast4", "fast3", "fast2"}


@pytest.mark.parametrize(
    "record",
    [
        RunRecord(verdict="unfinished", config=records.record().config),
        records.record(verdict="FAILED", reasons=("instance 1 died",), result=None, batches=None, progress=None),
        run_record.parse(records.first_edition()),
    ],
    ids=("killed", "failed", "first edition"),
)
def test_a_run_without_all_measurements_is_shown_with_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: RunRecord
) -> None:
    run = written(tmp_path / "run", record)
    assert command.main([str(run), "--output", str(tmp_path / "page.html")]) == 0
    text = read(tmp_path / "page.html").text
    assert record.verdict in text
    expected = {"unfinished": "it was killed, or is still running", "FAILED": "instance 1 died", "VALID": "samples/s"}
    assert expected[record.verdict] in text
    capsys.readouterr()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "run.json").write_text('{"record_version": 99, "verdict": "VALID", "config": {}}')
    (tmp_path / "empty").mkdir()
    for path, words in {
        "empty": r"expected runs in .*empty, found no run.json that can be read there or below",
        "missing": "expected the record of a run in .*missing, found No such file",
        "newer": "version 99; this release reads versions up to 2",
    }.items():
        with pytest.raises(UsageError, match=words):
            command.main([str(tmp_path / path)])
    run = written(tmp_path / "run", performance())
    with pytest.raises(UsageError, match="which is the record of a run"):
        command.main([str(run), "--output", str(run / "run.json")])
    with pytest.raises(UsageError, match="expected to write"):
        command.main([str(run), "--format", "md", "--output", str(tmp_path / "none" / "page.md")])


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("In what year did it end?", "what"),
        ("Whom did she see?", "who"),
        ("How many rivers are there?", "how many"),
        ("How does it work?", "how"),
        ("Name the river.", "other"),
    ],
)
def test_the_kind_of_a_question_is_its_question_word(question: str, kind: str) -> None:
    assert answered.kind(question) == kind


def test_sentences_are_grouped_by_their_label(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\nso good\t1\nso bad\t0\n")
    found = answered.sst2(tmp_path / "dev.tsv", {"0": "positive", "1": "positive"})
    assert [(one.kind, one.words, one.score) for one in found] == [("positive", 2, 1.0), ("negative", 2, 0.0)]
