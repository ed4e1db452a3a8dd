"""The sentiment model's training in small: it learns the labels that there are, and nothing from shuffled ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from paths import ASSETS

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from qsl.base import Features  # noqa: E402
from training.loop.trainer import train  # noqa: E402
from training.network import model_files  # noqa: E402
from training.tasks.sentiment import SentimentTask, Split, evaluate, recipe, split  # noqa: E402

VOCABULARY = ASSETS / "demo-sst2"
SHORT = 9  # tokens: of such sentences a few hundred teach something


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On matrices this small several only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 65, 100), (True, 38, 62)])
def test_what_is_learned_is_in_the_labels(tmp_path: Path, shuffled: bool, low: float, high: float) -> None:
    entries = model_files.read_vocabulary(VOCABULARY)
    model_files.write_vocabulary(tmp_path, entries)
    trained = short(split(tmp_path, "train", 3000, shuffled=shuffled))
    dev = short(split(tmp_path, "dev"))
    task = SentimentTask(entries, trained, dev, seed=1)
    assert train(task, recipe(task, epochs=10).plan(seed=1), tmp_path / "run") == "reached"
    assert low < evaluate(task.network.eval(), dev).accuracy < high


def short(whole: Split) -> Split:
    lengths = whole.features.lengths
    rows = np.flatnonzero(lengths <= SHORT)
    ids, types = (np.concatenate([whole.features.sample(int(row))[part] for row in rows]) for part in (0, 1))
    ends = np.concatenate([[0], np.cumsum(lengths[rows])])
    return Split(Features(ids, types, ends), whole.labels[rows])
