"""A cache entry is what was built, or it is built again: whatever was cut, flipped or put in its place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsl import feature_cache
from qsl.base import DatasetError
from qsl.feature_cache import Arrays, FeatureFiles, Stored

FIELDS = (*feature_cache.FEATURES, "words")
LENGTHS = [3, 5, 2]


def built() -> Arrays:
    tokens = sum(LENGTHS)
    arrays: Arrays = {name: np.arange(tokens, dtype=np.int32) for name in ("input_ids", "token_type_ids", "words")}
    return arrays | {"offsets": np.cumsum([0, *LENGTHS], dtype=np.int64)}


def cached(folder: Path) -> Stored:
    return feature_cache.cached(folder, "entry", FIELDS, built)


def changed(**arrays: Any) -> Callable[[Path], object]:
    """Other arrays, with digests that fit: made by a defect, not by damage."""

    def write(entry: Path) -> None:
        for name, array in arrays.items():
            np.save(entry / f"{name}.npy", array)
        lines = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(entry.glob("*.npy"))
        ]
        (entry / "SHA256SUMS").write_text("".join(lines))

    return write


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda entry: (entry / name).write_bytes(change((entry / name).read_bytes()))


def fifo(entry: Path) -> None:
    (entry / "offsets.npy").unlink()
    os.mkfifo(entry / "offsets.npy")


def directory(entry: Path) -> None:
    (entry / "words.npy").unlink()
    (entry / "words.npy").mkdir()


def empty(entry: Path) -> None:
    for path in entry.iterdir():
        path.unlink()


IDS, TYPES, OFFSETS = (built()[name] for name in feature_cache.FEATURES)
DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit": rewritten("input_ids.npy", lambda old: old[:-1] + bytes([old[-1] ^ 1])),
    "zeros": rewritten("token_type_ids.npy", lambda old: old[:128] + bytes(len(old) - 128)),
    "a file cut short": rewritten("words.npy", lambda old: old[:-4]),
    "an empty file": rewritten("offsets.npy", lambda old: b""),
    "no array": rewritten("offsets.npy", lambda old: b"x" * len(old)),
    "a file of another user's": lambda entry: np.save(entry / "input_ids.npy", IDS[::-1].copy()),
    "no file": lambda entry: (entry / "words.npy").unlink(),
    "a pipe": fifo,
    "a directory": directory,
    "no digests": lambda entry: (entry / "SHA256SUMS").unlink(),
    "digests that are no text": rewritten("SHA256SUMS", lambda old: b"\xff" + old),
    "nothing": empty,
    "an object array": changed(words=np.array([{}], dtype=object)),
    "ids of another type": changed(input_ids=IDS.astype(np.float64)),
    "offsets of another type": changed(offsets=OFFSETS.astype(np.float32)),
    "offsets that fall": changed(offsets=OFFSETS[::-1].copy()),
    "offsets beyond the end": changed(offsets=np.array([0, 3, 8, 11])),
    "offsets below 0": changed(offsets=np.array([-1, 3, 8, 10])),
    "no offsets": changed(offsets=np.zeros(0, np.int64)),
    "a scalar": changed(offsets=np.int64(0)),
    "fewer types": changed(token_type_ids=TYPES[:-1]),
    "a matrix": changed(input_ids=IDS.reshape(2, 5), token_type_ids=TYPES.reshape(2, 5)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_built_again(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    first = cached(tmp_path)
    assert capsys.readouterr().err == ""
    assert first.directory is not None
    DAMAGE[damage](first.directory)
    for said in (f"the cached features in {first.directory} are damaged: building them again\n", ""):
        found = cached(tmp_path)
        assert found.directory == first.directory and found.digest == first.digest
        assert {name: array.tolist() for name, array in found.arrays.items()} == {
            name: array.tolist() for name, array in built().items()
        }
        assert capsys.readouterr().err == said


@pytest.mark.parametrize("damage", [damage for damage in DAMAGE if "digests" not in damage and damage != "no file"])
def test_a_process_that_opens_other_features_than_the_run_refuses_them(tmp_path: Path, damage: str) -> None:
    stored = cached(tmp_path)
    assert stored.directory is not None
    handle = FeatureFiles(stored.directory, len(LENGTHS), sum(LENGTHS), stored.digest)
    assert handle.open().lengths.tolist() == LENGTHS
    DAMAGE[damage](stored.directory)
    if damage in ("a file cut short", "a directory", "an object array"):  # of a field that it does not read
        assert handle.open().lengths.tolist() == LENGTHS
    else:
        with pytest.raises(DatasetError, match="Run again"):
            handle.open()


def test_features_stay_when_their_files_are_cut(tmp_path: Path) -> None:
    """A map would end in SIGBUS."""
    stored = cached(tmp_path)
    assert stored.directory is not None
    features = FeatureFiles(stored.directory, len(LENGTHS), sum(LENGTHS), stored.digest).open()
    for path in stored.directory.iterdir():
        os.truncate(path, 0)
    assert features.input_ids.tolist() == stored.arrays["input_ids"].tolist() == IDS.tolist()
