"""Pre-training instances without padding, in memory, and where they come from.

The arrays are ragged: one array for all instances, and the offsets at which each begins, so that a batch is a slice or
one gather and no padding is ever stored. `InstanceSource` is what a data set on disk offers, whatever its size:
`Instances` themselves are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from foundation.arrays import Bool, Int32, Int64
from training.shards.errors import ShardError

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.int32]
UInt8 = npt.NDArray[np.uint8]
_MOST_SHORT = np.iinfo(np.uint16).max
_BLOCK = 4096  # instances that are checked at a time: owners take four times the memory of ids
_SHORT_OR_LONG = (np.uint16, np.int32)
# Field → the types that it may have.
_TYPES: dict[str, tuple[type[np.generic], ...]] = {
    "token_ids": _SHORT_OR_LONG,
    "offsets": (np.int64,),
    "first_lengths": (np.int32,),
    "masked_positions": _SHORT_OR_LONG,
    "masked_ids": _SHORT_OR_LONG,
    "masked_offsets": (np.int64,),
    "is_random_next": (np.uint8,),
}


class Row(NamedTuple):
    """One instance in the form of the reference's features, without padding: as JSON, the row that is hashed."""

    input_ids: list[int]
    segment_ids: list[int]
    masked_lm_positions: list[int]
    masked_lm_ids: list[int]
    is_random_next: int


class InstanceSource(Protocol):
    """Where instances come from: memory, a file, or thousands of files that are opened when they are needed."""

    def __len__(self) -> int:
        """Number of instances."""

    def lengths_of(self, rows: Int64) -> Int32:
        """Tokens of each of these instances, [CLS] and [SEP] included, without reading the rest of them."""

    def take(self, rows: Int64) -> Instances:
        """These instances, in this order, in memory and checked. Raises ShardError for damaged ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Instances:
    """N instances of T tokens in all, P of them masked.

    An instance is [CLS] A [SEP] B [SEP]. Its masked tokens are already replaced in `token_ids`; `masked_ids` are what
    they were. Types and shapes are checked when it is made, values by `check`.

    Raises:
        ShardError: an array has another type or shape.
    """

    token_ids: Ids  # [T]
    offsets: Int64  # [N + 1], into token_ids
    first_lengths: Int32  # [N], tokens with segment id 0: through the first [SEP]
    masked_positions: Ids  # [P], within the instance, ascending; never 0, which is [CLS]
    masked_ids: Ids  # [P]
    masked_offsets: Int64  # [N + 1], into masked_positions and masked_ids
    is_random_next: UInt8  # [N], 1: B is from another article

    def __post_init__(self) -> None:
        """Check types and shapes."""
        for name, types in _TYPES.items():
            array = getattr(self, name)
            _require(array.ndim == 1 and array.dtype in types, f"{name} of {types[0].__name__}", _shown(array))
        sizes = {name: getattr(self, name).size for name in _TYPES}
        number = max(sizes["offsets"] - 1, 0)
        expected = {"offsets": number + 1, "masked_offsets": number + 1}
        expected |= {"first_lengths": number, "is_random_next": number, "masked_ids": sizes["masked_positions"]}
        for name, size in expected.items():
            _require(sizes[name] == size, f"{size} {name}", f"{sizes[name]}")
        for name, total in (("offsets", sizes["token_ids"]), ("masked_offsets", sizes["masked_ids"])):
            ends = getattr(self, name)[[0, -1]].tolist()
            _require(ends == [0, total], f"{name} from 0 to {total}", f"{ends[0]} to {ends[1]}")

    def __len__(self) -> int:
        """Number of instances."""
        return self.first_lengths.size

    def __eq__(self, other: object) -> bool:
        """Whether the values are equal, in whatever types they are stored."""
        if not isinstance(other, Instances):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _TYPES)

    def __hash__(self) -> int:
        """Of the number of instances alone: equal ones must have equal hashes."""
        return hash(len(self))

    @property
    def lengths(self) -> Int32:
        """Tokens of each instance, [N]."""
        return np.diff(self.offsets).astype(np.int32)

    @property
    def masked_counts(self) -> Int32:
        """Masked tokens of each instance, [N]."""
        return np.diff(self.masked_offsets).astype(np.int32)

    def lengths_of(self, rows: Int64) -> Int32:
        """Tokens of each of these instances."""
        return (self.offsets[rows + 1] - self.offsets[rows]).astype(np.int32)

    def row(self, index: int) -> Row:
        """One instance as lists."""
        ids = self.token_ids[self.offsets[index] : self.offsets[index + 1]].tolist()
        masked = slice(self.masked_offsets[index], self.masked_offsets[index + 1])
        first = int(self.first_lengths[index])
        return Row(
            ids,
            [0] * first + [1] * (len(ids) - first),
            self.masked_positions[masked].tolist(),
            self.masked_ids[masked].tolist(),
            int(self.is_random_next[index]),
        )

    def rows(self) -> Iterator[Row]:
        """All instances as lists."""
        return map(self.row, range(len(self)))

    def part(self, start: int, stop: int) -> Instances:
        """The instances from `start` to before `stop`, as views where NumPy has them."""
        start, stop, _ = slice(start, stop).indices(len(self))
        stop = max(start, stop)
        offsets, masked_offsets = self.offsets[start : stop + 1], self.masked_offsets[start : stop + 1]
        masked = slice(masked_offsets[0], masked_offsets[-1])
        return Instances(
            token_ids=self.token_ids[offsets[0] : offsets[-1]],
            offsets=offsets - offsets[0],
            first_lengths=self.first_lengths[start:stop],
            masked_positions=self.masked_positions[masked],
            masked_ids=self.masked_ids[masked],
            masked_offsets=masked_offsets - masked_offsets[0],
            is_random_next=self.is_random_next[start:stop],
        )

    def take(self, rows: Int64) -> Instances:
        """Copies of these instances, in this order. Raises IndexError."""
        tokens, offsets = gathered(self.offsets, rows)
        masked, masked_offsets = gathered(self.masked_offsets, rows)
        return Instances(
            token_ids=self.token_ids[tokens],
            offsets=offsets,
            first_lengths=self.first_lengths[rows],
            masked_positions=self.masked_positions[masked],
            masked_ids=self.masked_ids[masked],
            masked_offsets=masked_offsets,
            is_random_next=self.is_random_next[rows],
        )

    def check(self, vocabulary_size: int | None = None, numbers: Int64 | None = None) -> Instances:
        """Itself, if every value is possible.

        Args:
            vocabulary_size: the ids must be below it; None: unknown.
            numbers: of the instances, for messages; None: from 0 on.

        Raises:
            ShardError: names the first instance that is wrong.
        """
        of_row = np.arange(len(self)) if numbers is None else numbers
        lengths, masked_lengths = np.diff(self.offsets), np.diff(self.masked_offsets)
        _require_each(lengths > 0, "at least one token", of_row)
        _require_each(masked_lengths >= 0, "masked_offsets that rise", of_row)
        is_first = (self.first_lengths > 0) & (self.first_lengths <= lengths)
        _require_each(is_first, "1 to all tokens in the first segment", of_row)
        _require_each(self.is_random_next <= 1, "is_random_next of 0 or 1", of_row)
        for start in range(0, len(self), _BLOCK):
            self.part(start, start + _BLOCK)._check_values(vocabulary_size, of_row[start : start + _BLOCK])
        return self

    def _check_values(self, vocabulary_size: int | None, of_row: Int64) -> None:
        lengths, masked_lengths = np.diff(self.offsets), np.diff(self.masked_offsets)
        owners = np.repeat(np.arange(len(self)), masked_lengths)
        of_token, of_masked = np.repeat(of_row, lengths), of_row[owners]
        is_inside = (self.masked_positions > 0) & (self.masked_positions < lengths[owners])
        _require_each(is_inside, "masked positions from 1 to the last token", of_masked)
        rises = np.diff(self.masked_positions.astype(np.int64)) > 0
        _require_each(rises | (np.diff(owners) > 0), "masked positions that ascend", of_masked[1:])
        most = 1 << 31 if vocabulary_size is None else vocabulary_size
        for ids, of_id in ((self.token_ids, of_token), (self.masked_ids, of_masked)):
            _require_each((ids >= 0) & (ids < most), f"token ids from 0 to {most - 1}", of_id)


def blocks(source: InstanceSource, rows: int = 1024) -> Iterator[Instances]:
    """All instances of a source in order, `rows` at a time."""
    for start in range(0, len(source), rows):
        yield source.take(np.arange(start, min(start + rows, len(source))))


def gathered(offsets: Int64, rows: Int64) -> tuple[Int64, Int64]:
    """Where the elements of these rows of a ragged array are, and the offsets of the rows among themselves."""
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return np.repeat(starts - ends[:-1], lengths) + np.arange(ends[-1]), ends


def concatenate(parts: Sequence[Instances]) -> Instances:
    """The instances of all parts, one after the other."""
    if not parts:
        return from_rows([])

    return Instances(**{name: _joined(name, [getattr(part, name) for part in parts]) for name in _TYPES})


def _joined(name: str, arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return (
        offsets_of(np.concatenate(list(map(np.diff, arrays)))) if name.endswith("offsets") else np.concatenate(arrays)
    )


def from_rows(rows: Iterable[Row]) -> Instances:
    """Instances from rows of lists: what `row` returns, or the same as JSON. Raises ShardError."""
    found = [Row(*row) for row in rows]
    return Instances(
        token_ids=compact(list(chain.from_iterable(row.input_ids for row in found))),
        offsets=offsets_of([len(row.input_ids) for row in found]),
        first_lengths=np.array([row.segment_ids.count(0) for row in found], np.int32),
        masked_positions=compact(list(chain.from_iterable(row.masked_lm_positions for row in found))),
        masked_ids=compact(list(chain.from_iterable(row.masked_lm_ids for row in found))),
        masked_offsets=offsets_of([len(row.masked_lm_positions) for row in found]),
        is_random_next=np.array([row.is_random_next for row in found], np.uint8),
    ).check()


def offsets_of(lengths: npt.ArrayLike) -> Int64:
    """0 and the running sums of these lengths, [N + 1]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def compact(values: npt.ArrayLike) -> Ids:
    """Whole numbers in 16 bits if they fit, else in 32. Raises ShardError if one fits neither."""
    array = np.asarray(values, np.int64)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    _require(low >= 0 and high <= np.iinfo(np.int32).max, "ids and positions of 31 bits", f"{low} to {high}")
    return array.astype(np.uint16) if high <= _MOST_SHORT else array.astype(np.int32)


def _shown(array: npt.NDArray[Any]) -> str:
    return f"{array.ndim} dimensions of {array.dtype}"


def _require(condition: bool, expected: str, found: str) -> None:
    if not condition:
        raise ShardError(f"expected {expected}, found {found}")


def _require_each(is_right: Bool, expected: str, of_value: Int64) -> None:
    """`of_value`: the number of the instance that each value belongs to."""
    if not is_right.all():
        raise ShardError(f"expected {expected}, found others in instance {of_value[is_right.argmin()]}")
