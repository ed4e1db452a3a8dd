"""The generated sentiment set: its format, its splits, and that a bag of words does not predict its labels."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qsl import demo_sst2, sst2

Pairs = list[tuple[str, int]]


@pytest.fixture(scope="module")
def dev() -> Pairs:
    return demo_sst2.generate("dev")


@pytest.fixture(scope="module")
def train() -> Pairs:
    return demo_sst2.generate("train")


def test_no_sentence_is_in_both_splits_or_twice_in_one(dev: Pairs, train: Pairs) -> None:
    for other in (train, demo_sst2.generate("train", seed=7, sentences=2000)):
        assert not {text for text, _ in dev} & {text for text, _ in other}
    assert len({text for text, _ in train}) == len(train) == demo_sst2.SPLITS["train"]
    assert len(dev) == demo_sst2.SPLITS["dev"]


def test_labels_are_balanced(dev: Pairs, train: Pairs) -> None:
    for pairs in (dev, train):
        assert np.mean([label for _, label in pairs]) == 0.5


def test_the_seed_determines_the_data_set(dev: Pairs) -> None:
    assert demo_sst2.generate("dev") == dev
    assert demo_sst2.generate("dev", seed=2) != dev
    text = "\n".join(f"{text}\t{label}" for text, label in dev)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "c9a7e0427dbe1ab06b2a45bc57edd8d35e6dc7918491954aff2c867821056033"
    )


def test_it_is_written_in_glues_format(tmp_path: Path, dev: Pairs) -> None:
    path = tmp_path / "dev.tsv"
    subprocess.run([sys.executable, "-m", "qsl.demo_sst2", "dev", str(path)], check=True)
    assert path.read_text(encoding="utf-8").startswith("sentence\tlabel\n")
    assert list(zip(sst2.read_sentences(path), sst2.read_labels(path).tolist(), strict=True)) == dev


def test_shuffled_labels_are_the_same_labels_elsewhere(dev: Pairs) -> None:
    shuffled = demo_sst2.shuffle_labels(dev)
    assert [text for text, _ in shuffled] == [text for text, _ in dev]
    assert sum(label for _, label in shuffled) == len(dev) // 2
    assert 0.4 < np.mean([one == other for one, other in zip(shuffled, dev, strict=True)]) < 0.6


def test_a_bag_of_words_is_not_enough(dev: Pairs, train: Pairs) -> None:
    """Logistic regression on the set of words, trained on the whole train split."""
    index: dict[str, int] = {}
    x, y = _bags(train, index, grows=True)
    weight = np.zeros(len(index), np.float32)
    for _ in range(100):
        error = 1 / (1 + np.exp(-x @ weight)) - y
        weight -= np.float32(4 / len(y)) * (error @ x)
    x, y = _bags(dev, index, grows=False)
    right = np.mean((x @ weight > 0) == y)
    assert right < 0.7


def _bags(pairs: Pairs, index: dict[str, int], grows: bool) -> tuple[np.ndarray, np.ndarray]:
    words = [re.findall(r"\w+", text.lower()) for text, _ in pairs]
    if grows:
        for word in sorted({word for one in words for word in one}):
            index[word] = len(index)
    x = np.zeros((len(pairs), len(index)), np.float32)
    for row, one in enumerate(words):
        x[row, [index[word] for word in one if word in index]] = 1
    return x, np.array([label for _, label in pairs], np.float32)
