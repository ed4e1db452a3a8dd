"""The tables and the JSON line of `benchmarks.gpu`, from readings made by hand; and which kernel is of which part."""

from __future__ import annotations

import json

import pytest

from backends.bert.config import RANDOM_GEOMETRIES
from benchmarks import gpu_report
from benchmarks.interleave import Contestant, Reading, Results

LARGE = RANDOM_GEOMETRIES["bert-large"]
PARTS = {"gemm": 0.7, "attention": 0.1, "elementwise": 0.15, "idle": 0.05}
READINGS: dict[str, list[Reading]] = {
    "limit copy": [{"rate": 4000.0}],
    "limit fp16": [{"rate": 700.0}, {"rate": 800.0}, {"rate": 750.0}],
    "peer pytorch-gpu": [{"samples_per_s": 2000.0}],
    "sut fp16": [{"samples_per_s": 5000.0, "p90_ms": 2.0, "peak_qps": 4000.0, **PARTS}],
}
MISSING = {"sut fp8": "took longer than 900 s"}


@pytest.fixture
def report() -> gpu_report.GpuReport:
    everyone = [Contestant(key, "how", "fp8" if "fp8" in key else "fp16", dict) for key in (*READINGS, *MISSING)]
    return gpu_report.GpuReport(everyone, Results(READINGS, MISSING), LARGE, 183.0, "a GPU")


def test_shares_are_of_the_measured_limit(report: gpu_report.GpuReport) -> None:
    table, parts, goals = report.tables()
    rows = {row[0]: row for row in table.rows}
    assert rows["limit copy"][1] == "4,000 (4,000 – 4,000) GB/s read and written"
    assert rows["sut fp16"][2] == f"{5000 * 183 * 0.000603979776 / 750:.0%}"
    assert rows["sut fp8"][-1] == MISSING["sut fp8"]
    assert parts.rows == [("sut fp16", "70.0%", "10.0%", "15.0%", "5.0%")]
    reached = {row[0]: row[-1] for row in goals.rows}
    assert reached["fp16 Offline, samples/s"] == "floor"
    assert reached["fp16 Offline over transformers fp16 padded"] == "floor"
    assert reached["fp8 Offline, samples/s"] == "not measured"


def test_goals_are_the_cards_own() -> None:
    bounds = {
        gpu: {goal.name: (goal.floor, goal.aim, goal.lower_is_better) for goal, *_ in gpu_report.goals(gpu)}
        for gpu in ("NVIDIA H100 80GB HBM3", "NVIDIA H200", "another")
    }
    assert bounds["NVIDIA H100 80GB HBM3"]["fp8 Offline, samples/s"] == (6800, 8200, False)
    assert bounds["NVIDIA H200"]["fp8 Offline, samples/s"] == (7100, 8800, False)
    assert bounds["another"] == bounds["NVIDIA H200"]
    assert bounds["another"]["SingleStream p90, fp8, ms"] == (1.2, 0.9, True)


def test_the_json_line_holds_all_that_was_measured(report: gpu_report.GpuReport) -> None:
    facts = json.loads(json.dumps(report.facts()))
    assert facts["figures"]["sut fp16"]["p90_ms"] == [2.0, 2.0, 2.0]
    assert facts["goals"]["fp16 Offline over transformers fp16 padded"]["median"] == 2.5
    assert "SingleStream p90, fp8, ms" not in facts["goals"]


@pytest.mark.parametrize(
    ("kernel", "part"),
    [
        ("_gemm", "gemm"),
        ("nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_bias_TNT", "gemm"),
        ("sm90_xmma_gemm_e4m3bf16_e4m3f32_f32_tn_n_tilesize128x128x128", "gemm"),
        ("_attention", "attention"),
        ("_add_norm", "elementwise"),
    ],
)
def test_kernels_are_classified_by_name(kernel: str, part: str) -> None:
    pytest.importorskip("torch")
    from benchmarks.gpu_breakdown import part_of

    assert part_of(kernel) == part
