"""The official numbers: those of the LoadGen that is installed, and in no other file."""

from __future__ import annotations

import re

import mlperf_loadgen as lg
import pytest
from paths import ROOT

from foundation import rules

NUMBERS = re.compile(r"\b(10[_,]?833|600_?000|600|130|384|90\.874)\b")
# 384 by chance: a row count that GEMM tuning measures, a term of a series.
BY_CHANCE = {"backends/gpu/engine.py", "foundation/intervals.py"}


@pytest.mark.parametrize("name", rules.SCENARIOS)
def test_the_numbers_are_those_that_loadgen_embeds(name: str) -> None:
    embedded, scenario = lg.TestSettings(), rules.SCENARIOS[name]
    assert embedded.FromConfig("", "bert", name, 0) == 0
    assert embedded.performance_sample_count_override == rules.SAMPLES
    assert embedded.min_duration_ms == rules.MIN_DURATION_S * 1000
    assert embedded.server_target_latency_ns == rules.SERVER_LATENCY_MS * 1e6
    percentiles = {
        "Offline": None,
        "Server": embedded.server_target_latency_percentile,
        "SingleStream": embedded.single_stream_target_latency_percentile,
        "MultiStream": embedded.multi_stream_target_latency_percentile,
    }
    expected = percentiles[name]
    assert scenario.percentile == (None if expected is None else round(100 * expected))
    assert scenario.samples_per_query == (embedded.multi_stream_samples_per_query if name == "MultiStream" else 1)
    seeds = rules.Seeds(embedded.qsl_rng_seed, embedded.sample_index_rng_seed, embedded.schedule_rng_seed)
    assert seeds in rules.SEEDS.values()


def test_a_feature_of_squad_fits_into_the_model() -> None:
    assert rules.MAX_SEQ_LENGTH < rules.MAX_POSITIONS


def test_official_numbers_are_written_in_the_rules_alone() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("foundation", "qsl", "backends", "accuracy", "sut", "submission")
        for path in (ROOT / package).rglob("*.py")
        if NUMBERS.search(path.read_text(encoding="utf-8"))
    }
    assert found - BY_CHANCE == {"foundation/rules.py"}


def test_an_engine_knows_no_rules() -> None:
    sources = (ROOT / "backends").rglob("*.py")
    assert [path for path in sources if "foundation.rules" in path.read_text(encoding="utf-8")] == []
