"""Files of a model that a node has, or gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foundation.arrays import UInt8
from qsl import feature_cache
from sut.errors import UsageError
from sut.running import shipped_files
from sut.running.shipped_files import FileSet


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shipped_files, "DEFAULT_CACHE_DIR", tmp_path / "cache")
    return tmp_path / "cache"


def model(folder: Path) -> FileSet:
    """A model of two files, one in a directory of its own."""
    (folder / "parts").mkdir(parents=True)
    for name in ("config.json", "parts/weights"):
        (folder / name).write_text(f"the {name}")
    return FileSet.of(folder, [folder / "config.json", folder / "parts" / "weights"])


def contents(files: FileSet) -> list[UInt8]:
    return [np.fromfile(path, np.uint8) for path in files.paths]


def test_a_node_with_the_same_files_uses_them(tmp_path: Path) -> None:
    assert model(tmp_path / "model").find() == tmp_path / "model"


def test_a_node_with_none_gets_them_once(tmp_path: Path, cache: Path) -> None:
    files = model(tmp_path / "model")
    sent = contents(files)
    for path in files.paths:
        path.unlink()
    assert files.find() is None
    stored = files.store(sent)
    assert stored.is_relative_to(cache) and (stored / "parts" / "weights").read_text() == "the parts/weights"
    assert files.find() == stored == files.store(sent)


def test_a_node_with_others_gets_them(tmp_path: Path) -> None:
    files = model(tmp_path / "model")
    sent = contents(files)
    files.paths[0].write_text("another config")
    assert files.find() is None
    assert files.store(sent) != tmp_path / "model"


def test_a_single_file_stays_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("a graph")
    files = FileSet.of(path, [path])
    sent = contents(files)
    assert files.find() == path
    path.unlink()
    assert files.store(sent).name == "model.onnx"


def test_what_arrives_damaged_is_refused(tmp_path: Path) -> None:
    files = model(tmp_path / "model")
    sent = [np.zeros(3, np.uint8), *contents(files)[1:]]
    files.paths[0].unlink()
    with pytest.raises(UsageError, match="expected the model's files"):
        files.store(sent)


def test_a_full_disk_is_one_message(tmp_path: Path, cache: Path) -> None:
    files = model(tmp_path / "model")
    cache.write_text("a file where the directory would be")
    with pytest.raises(UsageError, match=r"expected to write the model to .*Free disk space"):
        files.store(contents(files))


def test_the_store_is_in_the_cache() -> None:
    assert feature_cache.DEFAULT_CACHE_DIR.name == "mlperf-bert-sut"
