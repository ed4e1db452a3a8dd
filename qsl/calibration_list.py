"""MLPerf's calibration lists: a text file of feature indices or of question ids.

Ids are tried first, because ids may be numbers too. A question with a long passage contributes all of its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foundation.arrays import Int32
from foundation.bounded_readers import UnreadableError, read_text
from qsl.base import DatasetError

_MOST_BYTES, _MOST_DIGITS = 64 << 20, 18


def read_list(path: Path, dataset: Path, ids: Sequence[str], example_index: Int32) -> list[int]:
    """The indices of the features of `dataset` that the list in `path` names, each once, in ascending order.

    Args:
        ids: the ids of the questions.
        example_index: the index of each feature's question, int32 [N].

    Raises:
        DatasetError: the list cannot be read, or names something that the data set does not have.
    """
    words = _words(path)
    number = {id: index for index, id in enumerate(ids)}
    if words[0] not in number:
        return read_indices(path, dataset, len(example_index), also="question ids or ")
    unknown = [word for word in words if word not in number]
    if unknown:
        raise _unknown(path, dataset, "question ids", unknown[0])
    listed = {number[word] for word in words}
    return [row for row, index in enumerate(example_index.tolist()) if index in listed]


def read_indices(path: Path, dataset: Path, count: int, also: str = "") -> list[int]:
    """The feature indices in `path`, each once, in ascending order; all below `count`. Raises as `read_list` does."""
    words = _words(path)
    unknown = [word for word in words if not (word.isdecimal() and len(word) <= _MOST_DIGITS and int(word) < count)]
    if unknown:
        raise _unknown(path, dataset, f"{also}feature indices up to {count - 1}", unknown[0])
    return sorted({int(word) for word in words})


def _unknown(path: Path, dataset: Path, what: str, found: str) -> DatasetError:
    return DatasetError(
        f"expected {what} of {dataset} in {path}, found {found[:40]!r}. "
        f"Name the data set that the list was made for with --calibration-dataset FILE."
    )


def _words(path: Path) -> list[str]:
    try:
        words = read_text(path, _MOST_BYTES).split()
    except UnreadableError as error:
        raise DatasetError(
            f"expected a calibration list at {path}, found: {error}. Check --calibration-list."
        ) from error
    if not words:
        raise DatasetError(f"expected feature indices or question ids in {path}, found none. Check --calibration-list.")
    return words
