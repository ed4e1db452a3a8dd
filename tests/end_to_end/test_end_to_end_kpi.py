"""`sut kpi` on real runs: its lines are parsed and compared with run.json; presets, steps, markers."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command import Run, assert_refused

QUICK = ("--backend", "fake", "--model", "fake:sleep_ms=1")
KILLED = "#INVALID RESULT: Some instances were killed"
_LINE = re.compile(r"(?P<primary>\*?)(?P<name>[^:(#*]+?)(?: \((?P<unit>[^)]+)\))?: (?P<value>[^#]*?)(?: +#.*)?")


class Parsed(NamedTuple):
    comments: list[str]
    tunables: dict[str, str]
    figures: dict[str, tuple[Any, str]]  # a number or, where there is none, words; the unit
    primary: list[str]


def parse(text: str) -> Parsed:
    """The syntax as its framework has it: `# comment`, `## tunable: v`, `key: v`, `key (unit): v`, `*` for primary."""
    found = Parsed([], {}, {}, [])
    for line in text.splitlines():
        if line.startswith("##"):
            name, _, value = line.removeprefix("##").partition(":")
            found.tunables[name.strip()] = value.strip()
        elif line.startswith("#"):
            found.comments.append(line)
        elif line:
            match = _LINE.fullmatch(line)
            assert match, line
            value = match["value"]
            number = float(value) if re.fullmatch(r"-?\d+(\.\d+)?", value) else value
            found.figures[match["name"]] = (number, match["unit"] or "")
            found.primary.extend([match["name"]] if match["primary"] else [])
    return found


def kpis(run: Run, *args: str) -> Parsed:
    ended = run("kpi", *args, with_case=False)
    assert ended.code == 0, ended.err
    return parse(ended.out)


def test_steps_and_batch_size_are_what_runs_and_the_lines_say_what_run_json_says(run: Run) -> None:
    ended = run(*QUICK, "--instances", 2, "--batch-size", 4, "--steps", 6, "--warmup-steps", 2)
    assert ended.code == 0, ended.err
    record, found = ended.record(), kpis(run, "logs")
    batches = record["batches"]
    assert (batches["batches"], batches["samples"]) == (12, 48) == (2 * 6, 2 * 6 * 4)
    assert ended.detail("effective_min_sample_count") == 48
    assert 0 < batches["engine_s"] <= batches["busy_s"]
    rates = [one["samples_per_s"] for one in batches["instances"]]
    assert found.figures["Total Throughput"][0] == pytest.approx(sum(rates), abs=1e-5)
    assert found.figures["Throughput per Instance"][0] == pytest.approx(sum(rates) / 2, abs=1e-5)
    assert found.figures["P999 Latency"] == (pytest.approx(batches["batch_latency_ms"]["p99.9"], abs=1e-5), "ms")
    assert found.primary == ["Throughput"] and found.figures["Throughput"][1] == "samples/sec"
    assert (found.tunables["BATCH_SIZE"], found.tunables["STEPS"], found.tunables["WARMUP_STEPS"]) == ("4", "6", "2")
    assert found.figures["Cost Per Million Inference"][0] == -1
    assert "# result: VALID" in found.comments and KILLED not in found.comments
    assert any("not submittable" in comment for comment in found.comments)


def test_of_a_stream_loadgens_own_latency_is_the_primary_figure(run: Run) -> None:
    ended = run(*QUICK, "--scenario", "SingleStream", "--steps", 80)
    found, result = kpis(run, "logs"), ended.record()["result"]
    assert ended.detail("effective_min_query_count") == 80
    assert found.primary == ["Latency"]
    assert found.figures["Latency"] == (pytest.approx(result["value"], abs=1e-5), "ms")
    assert found.figures["LoadGen P50 Latency"][0] == pytest.approx(result["latency_ms"]["50.00"], abs=1e-5)
    assert found.figures["LoadGen Max Latency"][0] >= found.figures["Max Latency"][0]


def test_a_killed_instance_makes_the_result_invalid(run: Run) -> None:
    ended = run("--backend", "fake", "--model", "fake:sleep_ms=5,exit_at=3", "--max-batch-tokens", 200)
    assert ended.code == 3 and "died" in ended.record()["instance_died"]
    found = kpis(run, "logs")
    assert KILLED in found.comments and "# result: FAILED" in found.comments
    assert found.figures["Throughput"][0] == -1


def test_several_runs_are_columns_and_only_the_primary_is_left_when_asked(run: Run, tmp_path: Path) -> None:
    from openpyxl import load_workbook

    for name, kpi in (("one", "throughput"), ("two", "latency")):
        assert run(*QUICK, "--test-query-count", 30, "--kpi", kpi, "--log-dir", name).code == 0
    lines = kpis(run, "one", "two", "--primary")
    assert (lines.primary, set(lines.figures)) == (["Throughput", "Latency"], {"Throughput", "Latency"})
    rows = list(csv.DictReader(io.StringIO(run("kpi", "one", "two", "--format", "csv", with_case=False).out)))
    by_name = {row["name"]: row for row in rows if row["section"] == "Metrics"}
    for name in ("one", "two"):
        record = json.loads((tmp_path / "work" / name / "run.json").read_text(encoding="utf-8"))
        assert float(by_name["Average Latency"][name]) == record["batches"]["batch_latency_ms"]["mean"]
    assert run("kpi", "one", "two", "--format", "xlsx", "--output", "kpi.xlsx", with_case=False).code == 0
    sheet = load_workbook(tmp_path / "work" / "kpi.xlsx").active
    assert [cell.value for cell in sheet[1]] == ["section", "name", "unit", "primary", "one", "two"]
    assert len(list(sheet.rows)) == len(rows) + 1


def test_input_that_kpi_refuses(run: Run, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "run.json").write_text("[]", encoding="utf-8")
    for args, word in ((("nowhere",), "nowhere"), (("run.json",), "run.json"), ((".", "--format", "xlsx"), "--output")):
        assert_refused(run("kpi", *args, with_case=False), word)


@pytest.mark.parametrize(
    ("flags", "word"),
    (
        (("--steps", 5, "--test-query-count", 9), "--test-query-count"),
        (("--steps", 5, "--mode", "accuracy"), "--mode"),
        (("--roi", "--mode", "accuracy"), "--roi"),
        (("--kpi", "accuracy"), "--kpi"),
        (("--verbose", "--executor", "inline"), "--verbose"),
        (("--batch-size", 0), "--batch-size"),
        (("--model", "random:bert-large", "--batch-size", 10**6), "Lower --batch-size"),
    ),
)
def test_settings_that_exclude_each_other(refuse: Run, flags: tuple[object, ...], word: str) -> None:
    ended = refuse(*flags)
    assert_refused(ended, word)
    assert ended.runs == []


@pytest.mark.parametrize(("scenario", "steps"), (("Offline", 5), ("SingleStream", 80)))
def test_the_markers_are_printed_around_the_timed_window(run: Run, scenario: str, steps: int) -> None:
    ended = run(*QUICK, "--preset", "pkm", "--scenario", scenario, "--steps", steps)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[:2] == ["Running evaluation", "Evaluating: 100%"]
    roi, record = ended.record()["roi"], ended.record()
    assert roi["begin_unix_s"] <= record["first_query_unix_s"]
    assert roi["end_unix_s"] - roi["begin_unix_s"] >= record["batches"]["window_s"]


@pytest.mark.parametrize(
    ("preset", "flags", "primary"),
    (
        ("wsf-throughput", ("--steps", 2), "Throughput"),
        ("wsf-latency", ("--steps", 20), "Latency"),
        ("wsf-accuracy", (), "Accuracy"),
        ("gated", (), "Throughput"),
    ),
)
def test_presets_run_on_the_demo(run: Run, preset: str, flags: tuple[object, ...], primary: str) -> None:
    ended = run("--preset", preset, *flags)
    assert ended.code == 0, ended.out + ended.err
    found = kpis(run, "logs")
    assert found.primary == [primary] and found.figures[primary][0] > 0
    assert found.tunables["MODE"] == primary.lower()


def test_onednns_log_goes_to_the_log_directory_and_not_to_the_terminal(run: Run, tmp_path: Path) -> None:
    engine = ("--backend", "pytorch", "--precision", "bf16")  # whose products are oneDNN's on every processor
    ended = run(*engine, "--verbose", "--steps", 1, "--batch-size", 2, "--instances", 1)
    assert ended.code == 0, ended.err
    [log] = (tmp_path / "work" / "logs").glob("engine-*.txt")
    assert "onednn_verbose" in log.read_text(encoding="utf-8")
    assert "onednn_verbose" not in ended.out + ended.err
