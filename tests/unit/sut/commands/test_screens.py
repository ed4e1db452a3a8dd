"""What commands print, against screens in files: on terminals of 80 and 120 columns, in a pipe, and with NO_COLOR.

SCREENS=write python -m pytest tests/unit/sut/commands/test_screens.py     writes the files again; look at the diff
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import records

from foundation import people_numbers, tables
from sut.commands import assets, presets
from sut.commands.compare import table as compare_table
from sut.commands.compare.engines import PresetEngine
from sut.commands.compare.runs import ComparisonRow
from sut.commands.compare.table import Comparison
from sut.commands.doctor import table as doctor_table
from sut.commands.doctor.probe import BackendProbe
from sut.commands.doctor.report import CacheEntries, DoctorReport, LoadGen, MissingPart
from sut.commands.replay import table as replay_table
from sut.commands.sweep import best, summary
from sut.commands.sweep import table as sweep_table
from sut.commands.sweep.grid import Value, axis, points
from sut.commands.sweep.rows import SweepRow
from sut.commands.tune import table as tune_table
from sut.commands.tune.trials import TrialRow
from sut.machine.facts import MachineFacts
from sut.record.results import Probe
from sut.running import find_peak, terminal_report

SCREENS = Path(__file__).with_name("screens")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])")
_EXPONENT = re.compile(r"\de[+-]?\d")


def show_assets() -> None:
    long = assets.AssetRow(
        name="bert-large-mlperf-onnx", title="", licence="Apache-2.0", flags={"model": "m", "vocab": "v"},
        state="missing", bytes=0, bytes_whole=None, about_bytes=1_340_000_000, verified=None, files={},
    )  # fmt: skip
    sized = replace(long, bytes_whole=451_000_000, about_bytes=451_000_000)
    partly = replace(sized, name="bert-large-mlperf-onnx-int8", state="partly", bytes=1_200_000)
    unknown = replace(partly, name="unknown", bytes_whole=None, about_bytes=None)
    there = replace(sized, name="squad-dev", licence="CC BY-SA 4.0", flags={"dataset": "d"}, state="there")
    there = replace(there, bytes=451_000_000, verified="2026-11-26T12:00:00+00:00")
    assets.show([long, partly, unknown, there], Path("/cache/assets"))


def show_sweep() -> None:
    axes = [axis("backend=onnxruntime|pytorch"), axis("threads=1 2")]
    grid = points(axes, {"model": "random:bert-large"})
    speeds = {0: (40.0, 120.0, 200.0), 1: (25.31, 25.42, 25.2), 2: (12_480.0, 12_512.5, 12_390.0), 3: (481_900.0,)}
    rows = [
        SweepRow(
            point=grid[at].settings, repeat=repeat, given={}, exit_code=int(at == 3),
            warnings=("the governor is powersave",) * (at == 3),
            verdict="INVALID" if at == 3 else "VALID", error=None, notices=("trial run: not submittable",),
            figures={"samples_per_s": value, "batch_p99_ms": 5e4 / value},
        )
        for at, values in speeds.items() for repeat, value in enumerate(values, 1)
    ]  # fmt: skip
    rows.append(replace(rows[-1], repeat=2, verdict="FAILED", error="it was killed by signal SIGKILL", figures={}))
    found = summary.summaries(grid, rows)
    sweep_table.show(found, axes, rows, best.best(found, "performance"))


def show_tune() -> None:
    def row(backend: str, precision: str, speed: float) -> TrialRow:
        chosen = {"instances": 16, "cores_per_instance": 14, "max_batch_tokens": 12_288}
        result = records.record().performance
        assert result
        return TrialRow(
            kind="trial", settings={"backend": backend, "precision": precision}, given={}, exit_code=0, error=None,
            verdict="VALID", figures={}, result=replace(result, value=speed), chosen=chosen, wall_s=1.0, log_dir="",
        )  # fmt: skip

    rows = [row("onnxruntime", "int8-dynamic", 12_480.4), row("pytorch", "fp32", 0.9135)]
    scored: dict[tuple[Value, Value], str] = {("onnxruntime", "int8-dynamic"): "F1 99.06 of 1,074 samples"}
    found = tune_table.standings(rows)
    made = tune_table.columns(found, "samples/s", scored, found[0])
    tables.show(made.headings, made.rows, made.numbers)


def show_compare() -> None:
    reference = ComparisonRow(
        what="onnxruntime fp32", metric="F1", accuracy=99.1389, samples_answered=10_833, latency_ms=0.7,
        samples_per_s=1_879.4, engine_latency_ms=0.65, engine_samples_per_s=1_990.0, evaluation_s=61.2, instances=1,
        cores_per_instance=96, notices=("trial run: not submittable",), warnings=(), invalid=(),
    )  # fmt: skip
    accelerated = replace(reference, what="openvino int8", accuracy=99.08, latency_ms=92.4, samples_per_s=299_400.0,
                          engine_latency_ms=0.26, engine_samples_per_s=601_000.0,
                          warnings=("latency: other work keeps 1.8 of 2 cores busy",), instances=24,
                          cores_per_instance=4,
                          evaluation_s=5.0)  # fmt: skip
    built = PresetEngine(backend="openvino", precision="int8", model="demo", engine="key", build_s=151.7, built_on=None)
    compare_table.show(
        Comparison(preset="bert-base-sst2-int8", model="bert-base-sst2", dataset="the embedded data set",
                   reference=reference, accelerated=accelerated, built=built, may_lose=1.0, is_judged=True)
    )  # fmt: skip


def show_doctor() -> None:
    machine = MachineFacts(
        processor="Intel(R) Xeon(R) Platinum 8480+", architecture="x86_64", cores=224, memory_bytes=1 << 40,
        operating_system="Debian GNU/Linux 12 (bookworm)", python="3.11.2",
        packages={"mlcommons-loadgen": "5.1.1", "onnxruntime": "1.22.0", "torch": "2.13.0"}, environment={},
    )  # fmt: skip
    works = BackendProbe(backend="onnxruntime", works=True, installed=True, built=("int8",), refused={},
                         batch_ms={"fp32": 1_170.4, "int8-dynamic": 8.254})  # fmt: skip
    absent = replace(works, backend="openvino", works=False, installed=False)
    broken = replace(works, backend="pytorch", works=False, found="the engine crashed: its process exited")
    models = MissingPart("bert-large-mlperf, squad-dev", "the benchmark's model and data set", "python -m sut fetch x")
    missing = MissingPart(
        "extra openvino",
        "backend openvino: int8 quantized by NNCF; .onnx files",
        "pip install 'torch>=2.6' --index-url https://example.org/whl/cpu && pip install -e .",
    )
    doctor_table.show(
        DoctorReport(
            works=True, machine=machine, installation="a checkout", loadgen=LoadGen("5.1.1", "v5.1", ""),
            extras={"openvino": False}, backends=(works, absent, broken), fetched=("squad-dev",),
            missing=(missing, models), cache_dir="/cache", cache=(CacheEntries("engines", 1_204, 45_600_000_000),),
        )
    )  # fmt: skip


def show_replay() -> None:
    then = records.record()
    assert then.performance
    replay_table.show_figures(then, replace(then, result=replace(then.performance, value=1_234_567.0)))


def show_run() -> None:
    record = records.record()
    assert record.performance and record.batches
    slow = {"p50": 0.0703, "p99": 1_430.0, "p99.9": 43_830.1}
    batches = replace(record.batches, batches=12_345, batch_latency_ms=slow)
    terminal_report.show([
        ("result", "VALID"),
        ("throughput", f"{people_numbers.figure(481_900.4)} samples/s"),
        ("  counted", record.performance.counted),
        *terminal_report.batch_rows(batches),
        ("note", "trial run (--execution-mode test): not submittable"),
        ("logs", f"/home/somebody/{'deep/' * 12}runs/20261126T120000.000-Offline-performance-onnxruntime"),
    ])  # fmt: skip


def show_probes() -> None:
    for number, qps in enumerate((0.5, 84.92, 849_200.0), 1):
        print(find_peak.line(number, Probe(qps, qps > 1, qps, 1e6 / qps, ())))


SHOWN: dict[str, Callable[[], object]] = {
    "assets": show_assets,
    "compare": show_compare,
    "doctor": show_doctor,
    "find-peak": show_probes,
    "presets": lambda: presets.main([]),
    "replay": show_replay,
    "run": show_run,
    "sweep": show_sweep,
    "tune": show_tune,
}


def printed(show: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> str:
    show()
    return capsys.readouterr().out


def text(shown: str) -> str:
    """Without colours, and without blanks at the ends of lines."""
    return "".join(f"{line.rstrip()}\n" for line in _ESCAPE.sub("", shown).splitlines())


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("name", SHOWN)
def test_a_terminal(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(columns)}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = text(printed(SHOWN[name], capsys))
    _compare(f"{name}-{columns}.txt", plain)
    assert "…" not in plain and not _EXPONENT.search(plain)
    monkeypatch.setenv("NO_COLOR", "1")
    without = printed(SHOWN[name], capsys)
    assert not _COLOUR.search(without) and text(without) == plain


@pytest.mark.parametrize("name", SHOWN)
def test_a_pipe(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "80")  # of the terminal, which is not where it goes
    plain = printed(SHOWN[name], capsys)
    _compare(f"{name}-piped.txt", text(plain))
    assert "\x1b" not in plain and "…" not in plain


def _compare(name: str, plain: str) -> None:
    path = SCREENS / name
    if os.environ.get("SCREENS") == "write":
        SCREENS.mkdir(exist_ok=True)
        path.write_text(plain, encoding="utf-8")
    assert plain == path.read_text(encoding="utf-8")
