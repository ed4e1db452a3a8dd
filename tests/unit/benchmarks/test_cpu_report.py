"""The table, the ratios and the JSON line of `benchmarks.cpu`, from readings made by hand."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from backends.bert.config import RANDOM_GEOMETRIES
from benchmarks import cpu_report
from benchmarks.interleave import Contestant, Reading, Results

LARGE = RANDOM_GEOMETRIES["bert-large"]
READINGS: dict[str, list[Reading]] = {
    "peak int8": [{"gops": 1000.0}, {"gops": 1100.0}, {"gops": 1200.0}],
    "peak fp32": [{"gops": 200.0}],
    "peer onnxruntime-int8": [{"samples_per_s": 4.0, "p90_ms": 300.0}],
    "peer ctranslate2-int8": [{"samples_per_s": 4.0, "p90_ms": 290.0}],
    "peer ctranslate2-int8 side by side": [{"samples_per_s": 5.0}],
    "peer pytorch-reference": [{"samples_per_s": 1.0, "p90_ms": 1000.0}],
    "sut onnxruntime int8": [{"samples_per_s": 5.0, "p90_ms": 250.0}],
    "sut pytorch int8": [{"samples_per_s": 8.0, "p90_ms": 150.0}],
    "sut demo server": [{"samples_per_s": 300.0, "peak_qps": 240.0}],
}
MISSING = {"peer openvino-int8": "not installed: openvino, nncf"}


def never() -> Reading:
    raise AssertionError


@pytest.fixture
def report() -> cpu_report.CpuReport:
    contestants = [Contestant(key, "how", "int8" if "int8" in key else "fp32", never) for key in (*READINGS, *MISSING)]
    return cpu_report.CpuReport(contestants, Results(READINGS, MISSING), LARGE, 183.0)


def test_bert_large_takes_604_mflop_a_token() -> None:
    assert LARGE.operations_per_token == 24 * 2 * 12 * 1024**2


def test_ratios_are_of_the_fastest_backend(report: cpu_report.CpuReport) -> None:
    found = report.facts()["ratios"]
    assert isinstance(found, dict)
    share = found["int8 Offline over the int8 GEMM peak"]
    assert share["median"] == pytest.approx(8 * 183 * 0.603979776 / 1100)
    assert share["reached"] == "missed"
    assert found["int8 Offline over ONNX Runtime dynamic int8, natural length"]["median"] == 2.0
    assert found["int8 Offline over CTranslate2 int8, natural length"]["median"] == 1.6
    assert found["int8 Offline over OpenVINO NNCF int8, natural length"] is None
    assert found["int8 SingleStream p90 over ONNX Runtime dynamic int8's"]["reached"] == "aim"
    assert found["demo: Server peak at 130 ms p99 over Offline"]["reached"] == "floor"
    assert found["fp32 Offline over the fp32 GEMM peak"] is None


def test_a_missing_contestant_is_a_row_that_says_so(report: cpu_report.CpuReport) -> None:
    contestants, goals = report.tables()
    rows = {row[0]: row for row in contestants.rows}
    assert rows["peer openvino-int8"][-1] == "not installed: openvino, nncf"
    assert rows["sut pytorch int8"][1:5] == ("8 (8 – 8)", "1,464", "80%", "150 (150 – 150)")
    assert [row[-1] for row in goals.rows if row[1] == "–"] == [
        "not measured: peer openvino-int8",
        "not measured: sut pytorch fp32",
        "not measured: sut pytorch fp32, peer openvino-fp32",
    ]


def test_cpu_time_is_named_over_its_figures() -> None:
    contestants, _ = cpu_report.CpuReport([], Results(), LARGE, 183.0, cpu_time=True).tables()
    assert contestants.heading.startswith("CPU time of one pinned core of ")
    assert "SingleStream p90, ms" not in contestants.columns


@pytest.mark.parametrize("markdown", [True, False])
def test_tables_and_facts_can_be_printed(
    report: cpu_report.CpuReport, markdown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for grid in report.tables():
        cpu_report.show(grid, Console(width=200), markdown=markdown)
        out = capsys.readouterr().out
        assert all(row[0] in out for row in grid.rows)
    assert json.loads(json.dumps(report.facts()))["tokens_per_sample"] == 183.0
