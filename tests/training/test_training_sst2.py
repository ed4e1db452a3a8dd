"""The sentiment model's training in small: it learns the labels that there are, and nothing from shuffled ones."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from training import saving, sst2


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 58, 100), (True, 40, 56)])
def test_what_is_learned_is_in_the_labels(tmp_path: Path, shuffled: bool, low: float, high: float) -> None:
    entries = saving.read_vocabulary(Path("assets/demo-sst2"))
    saving.write_vocabulary(tmp_path, entries)
    data = sst2.split(tmp_path, "train", 1200, shuffled=shuffled)
    model = sst2.train(sst2.configure(entries), data, epochs=8, seed=1)
    assert low < sst2.evaluate(model, sst2.split(tmp_path, "dev", 400)).accuracy < high
