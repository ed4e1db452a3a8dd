"""Few samples that are as long as many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.length_matched import quantiles, write
from qsl import squad
from sut.fetch import resolve as asset_paths

VOCAB = asset_paths.demo_model() / "vocab.txt"


@given(st.lists(st.integers(6, 384), min_size=1, max_size=300), st.integers(1, 64))
def test_quantiles_keep_mean_and_extremes(lengths: list[int], samples: int) -> None:
    found = quantiles(np.asarray(lengths), samples)
    assert len(found) == samples
    assert min(lengths) <= min(found) and max(found) <= max(lengths)
    assert abs(sum(found) - samples * np.mean(lengths)) <= 0.5 + 1e-9


def test_quantiles_follow_the_distribution() -> None:
    lengths = np.random.default_rng(1).integers(60, 385, 5000)
    found = quantiles(lengths, 100)
    assert np.abs(np.quantile(found, [0.1, 0.5, 0.9]) - np.quantile(lengths, [0.1, 0.5, 0.9])).max() < 6


@pytest.mark.parametrize("lengths", [[384, 6, 91, 166, 166], [7] * 12])
def test_each_question_is_one_sample_of_its_length(tmp_path: Path, lengths: list[int]) -> None:
    features = squad.load(write(tmp_path / "lengths.json", VOCAB, lengths), VOCAB, None).features
    assert sorted(features.lengths.tolist()) == sorted(lengths)


def test_the_same_lengths_give_the_same_file(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, VOCAB, [50, 60]).read_bytes() for name in ("a", "b"))
    assert first == second
