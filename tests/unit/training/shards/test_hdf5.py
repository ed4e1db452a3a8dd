"""HDF5: NVIDIA's form, plain and compressed, and what is refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from pretraining_rows import GOLDEN, INSTANCES

from training.shards import hdf5
from training.shards.errors import ShardError
from training.shards.instances import Instances, from_rows

INSTANCES_OF_FOUR = from_rows(GOLDEN)
ALL = np.arange(len(GOLDEN))
SHUFFLED = np.array([0, 2, 2, 3])  # a shard gets its rows in ascending order


def written(folder: Path, *, compressed: bool = False) -> Path:
    path = folder / "part.hdf5"
    hdf5.write_file(path, INSTANCES_OF_FOUR, 128, 20, compressed=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_the_file_has_the_published_form(tmp_path: Path, compressed: bool) -> None:
    with h5py.File(written(tmp_path, compressed=compressed)) as file:
        found = {name: (one.dtype.str, one.shape, one.compression) for name, one in file.items()}
        row, first = GOLDEN[0], {name: one[0].tolist() for name, one in file.items()}
    how = "gzip" if compressed else None
    assert found == {
        "input_ids": ("<i4", (4, 128), how),
        "input_mask": ("|i1", (4, 128), how),
        "segment_ids": ("|i1", (4, 128), how),
        "masked_lm_positions": ("<i4", (4, 20), how),
        "masked_lm_ids": ("<i4", (4, 20), how),
        "next_sentence_labels": ("|i1", (4,), how),
    }
    tokens, masked = 128 - len(row.input_ids), 20 - len(row.masked_lm_ids)
    assert first == {
        "input_ids": row.input_ids + [0] * tokens,
        "input_mask": [1] * len(row.input_ids) + [0] * tokens,
        "segment_ids": row.segment_ids + [0] * tokens,
        "masked_lm_positions": row.masked_lm_positions + [0] * masked,
        "masked_lm_ids": row.masked_lm_ids + [0] * masked,
        "next_sentence_labels": row.is_random_next,
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_gives_back_what_was_written(tmp_path: Path, compressed: bool) -> None:
    found = hdf5.open_shard(written(tmp_path, compressed=compressed))
    assert (len(found), found.max_seq_length, found.max_predictions) == (4, 128, 20)
    assert found.take(ALL) == INSTANCES_OF_FOUR
    assert found.take(SHUFFLED) == INSTANCES_OF_FOUR.take(SHUFFLED)
    assert found.lengths_of(SHUFFLED).tolist() == INSTANCES_OF_FOUR.lengths[SHUFFLED].tolist()
    assert len(found.take(ALL[:0])) == 0
    found.verify()


@settings(max_examples=10, deadline=None)
@given(INSTANCES)
def test_any_instances_come_back(tmp_path_factory: pytest.TempPathFactory, instances: Instances) -> None:
    path = tmp_path_factory.mktemp("hdf5") / "a.hdf5"
    hdf5.write_file(path, instances, 12, 4)
    assert hdf5.open_shard(path).take(np.arange(len(instances))) == instances


def test_what_does_not_fit_is_not_cut(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="expected at most 108 tokens, found others in instance"):
        hdf5.write_file(tmp_path / "a.hdf5", INSTANCES_OF_FOUR, 108, 20)
    with pytest.raises(ShardError, match="expected at most 13 masked tokens, found others in instance 0"):
        hdf5.write_file(tmp_path / "a.hdf5", INSTANCES_OF_FOUR, 128, 13)
    assert list(tmp_path.iterdir()) == []


def put(name: str, column: int, value: int) -> Callable[[Any], None]:
    """A change of instance 2."""

    def change(file: Any) -> None:
        file[name][2, column] = value

    return change


def delete(file: Any) -> None:
    del file["segment_ids"]


def shorten(file: Any) -> None:
    values = file["input_mask"][:3]
    del file["input_mask"]
    file["input_mask"] = values


def as_text(file: Any) -> None:
    del file["input_ids"]
    file["input_ids"] = np.full((4, 128), b"a")


def as_lists(file: Any) -> None:
    del file["input_ids"]
    file.create_dataset("input_ids", (4,), h5py.vlen_dtype(np.dtype("i2")))


WRONG = {
    "input_ids with padding, as in v1.0, found lists of other lengths": as_lists,
    "input_mask of 1, then of 0 to the end, found others in instance 2": put("input_mask", 4, 0),
    "segment_ids of 0, then of 1, then padding of 0, found others in instance 2": put("segment_ids", 127, 1),
    "masked_lm_positions before a 0": put("masked_lm_positions", 3, 0),
    "ids and positions of 31 bits, found -1": put("input_ids", 3, -1),
    "another or a damaged one": delete,
    r"4 input_mask, found \(3, 128\)": shorten,
    r"input_ids of whole numbers, found \|S1 of 2 dimensions": as_text,
}


@pytest.mark.parametrize("expected", WRONG)
def test_wrong_content_is_one_clear_error(tmp_path: Path, expected: str) -> None:
    path = written(tmp_path)
    with h5py.File(path, "r+") as file:
        WRONG[expected](file)
    with pytest.raises(ShardError, match=f"expected .*{expected}"):
        hdf5.open_shard(path).take(ALL)


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    for use in (lambda: hdf5.open_shard(path), lambda: written(tmp_path)):
        with pytest.raises(ShardError, match=r"HDF5 needs h5py, which is not installed\. Type: .*pip install"):
            use()


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    found, whole = hdf5.open_shard(path), path.read_bytes()
    path.write_bytes(whole[:-3_000])
    with pytest.raises(ShardError, match=r"part.hdf5: expected an HDF5 file with .*truncated"):
        hdf5.open_shard(path)
    with pytest.raises(ShardError, match="expected a whole file, found one that was cut"):
        found.take(ALL)
    with pytest.raises(ShardError, match=f"^{re.escape(str(path))}: expected [0-9,]+ bytes of"):
        found.verify()
