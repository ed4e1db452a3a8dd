"""A data set reads each file once, and another process opens its features by a handle."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from qsl import demo
from qsl.base import Features
from qsl.feature_cache import FeatureFiles
from qsl.squad import SquadDataSet
from sut.fetch.resolve import demo_model

VOCAB = demo_model() / "vocab.txt"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "dev.json"
    demo.write(path, "dev", questions=12)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that are read, with repetitions."""
    found: list[str] = []
    open_file = Path.open

    def recorded(path: Path, *options: Any, **more: Any) -> Any:
        found.append(path.name)
        return open_file(path, *options, **more)

    monkeypatch.setattr(Path, "open", recorded)  # read_bytes and read_text call it too
    return found


def sent(handle: FeatureFiles | Features) -> tuple[Features, int]:
    """The features that another process opens, and the number of bytes sent to it."""
    pickled = pickle.dumps(handle)
    return pickle.loads(pickled).open(), len(pickled)  # noqa: S301 - pickled one line above


def same(one: Features, other: Features) -> bool:
    return one.digest() == other.digest()


@pytest.mark.parametrize("is_cached", [False, True])
def test_each_file_is_read_once(dataset: Path, tmp_path: Path, reads: list[str], is_cached: bool) -> None:
    if is_cached:
        _ = SquadDataSet(dataset, VOCAB, tmp_path / "cache").features
        reads.clear()
    data = SquadDataSet(dataset, VOCAB, tmp_path / "cache")
    found = data.features, data.examples, data.vocabulary, data.handle, data.digests()
    data.check_scorable()
    assert all(found)
    assert [name for name in reads if name in (dataset.name, VOCAB.name)].count(dataset.name) == 1
    assert reads.count(VOCAB.name) == 1


def test_a_file_that_changes_meanwhile_is_not_read_again(dataset: Path, tmp_path: Path) -> None:
    data, content = SquadDataSet(dataset, VOCAB, tmp_path / "cache"), dataset.read_bytes()
    _ = data.features
    dataset.write_text("something else", encoding="utf-8")
    assert len(data.examples) == 12
    assert data.digests()[dataset] == hashlib.sha256(content).hexdigest()


def test_a_handle_is_small_and_opens_the_same_features(dataset: Path, tmp_path: Path) -> None:
    data = SquadDataSet(dataset, VOCAB, tmp_path / "cache")
    opened, size = sent(data.handle)
    assert size < 500
    assert not opened.input_ids.flags.writeable and same(opened, data.features)


def test_without_a_cache_the_features_are_sent(dataset: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory", encoding="utf-8")
    for cache_dir in (None, blocked / "cache"):
        data = SquadDataSet(dataset, VOCAB, cache_dir)
        assert same(sent(data.handle)[0], data.features)


def test_a_sibling_shares_the_vocabulary(dataset: Path, tmp_path: Path, reads: list[str]) -> None:
    other = tmp_path / "other.json"
    shutil.copy(dataset, other)
    data = SquadDataSet(dataset, VOCAB, tmp_path / "cache")
    assert data.sibling(dataset) is data and data.sibling(other) is data.sibling(other)
    assert same(data.sibling(other).features, data.features)
    assert reads.count(VOCAB.name) == 1
    assert set(data.digests()) == {dataset, other, VOCAB}
