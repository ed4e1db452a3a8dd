"""Which samples a step trains, and which rank trains which of them.

A step's samples depend on the seed and the step alone: no loader has a state that could be lost. The order of an epoch
is a permutation that is computed where it is asked, so 150 million samples cost no memory. The samples of a step are
dealt by length, so that each rank has equal work (NVIDIA's submissions call it exchange_padding).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foundation.arrays import Int32, Int64

_ROUNDS = 6
_UInt64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class MicroBatch:
    """Samples of one forward and backward pass.

    Attributes:
        samples: indices into the step's samples, longest first.
        counts: False for a repetition that keeps a rank without samples in step with the others: its loss is not added.
    """

    samples: Int64
    counts: bool = True


def rows_of_step(seed: int, step: int, samples: int, count: int) -> Int64:
    """The rows [samples] of step 1, 2, … of a data set of `count` rows: epoch after epoch, each in its own order."""
    positions = np.arange((step - 1) * samples, step * samples, dtype=np.int64)
    epochs, places = np.divmod(positions, count)
    rows = np.empty(samples, np.int64)
    for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
        of_epoch = epochs == epoch
        rows[of_epoch] = permuted(places[of_epoch], count, seed, epoch)
    return rows


def permuted(places: Int64, count: int, seed: int, epoch: int) -> Int64:
    """Where a permutation of `count` numbers, drawn from the seed and the epoch, takes `places`.

    A Feistel network permutes the next power of four; what lands outside goes through it again until it is inside.
    """
    half = max(1, (max(1, count - 1).bit_length() + 1) // 2)
    keys: _UInt64 = np.random.SeedSequence([seed, epoch]).generate_state(_ROUNDS, np.uint64).astype(np.uint64)
    found = _feistel(places.astype(np.uint64), half, keys)
    while (outside := found >= count).any():
        found[outside] = _feistel(found[outside], half, keys)
    return found.astype(np.int64)


def _feistel(numbers: _UInt64, half: int, keys: _UInt64) -> _UInt64:
    low, shift = np.uint64((1 << half) - 1), np.uint64(half)
    left, right = numbers >> shift, numbers & low
    for key in keys:
        left, right = right, left ^ (_mixed(right + key) & low)
    return (left << shift) | right


def _mixed(numbers: _UInt64) -> _UInt64:
    """splitmix64's finaliser: each bit of the result depends on all bits of the number."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def deal(lengths: Int32, hands: int) -> list[Int64]:
    """Indices of samples in `hands` shares of equal work, each longest first: sorted by length, there and back."""
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    turns = [order[start :: 2 * hands] for start in range(2 * hands)]
    return [_alternated(turns[hand], turns[-1 - hand]) for hand in range(hands)]


def _alternated(there: Int64, back: Int64) -> Int64:
    """The two in turn; `there` may have one more."""
    found = np.empty(len(there) + len(back), np.int64)
    found[::2], found[1::2] = there, back
    return found


def micro_batches(lengths: Int32, size: int, most_tokens: int, least: int = 1) -> list[list[MicroBatch]]:
    """The micro-batches of each of `size` ranks: as many on each, of at most `most_tokens` where samples allow it.

    A rank's samples are cut where they are sorted, so that those of a micro-batch are of similar length.

    Args:
        lengths: of the step's samples.
        least: micro-batches of each rank.
    """
    hands = deal(lengths, size)
    longest = max(map(len, hands))
    count = min(longest, max(least, *(-(-int(lengths[hand].sum()) // most_tokens) for hand in hands)))
    while count < longest and any(_most(lengths, hand, count) > most_tokens for hand in hands):
        count += 1
    repeated = MicroBatch(np.zeros(1, np.int64), counts=False)
    return [[MicroBatch(part) if len(part) else repeated for part in _cut(lengths, hand, count)] for hand in hands]


def _cut(lengths: Int32, hand: Int64, count: int) -> list[Int64]:
    """`hand` in `count` runs of about as many tokens."""
    ends = np.cumsum(lengths[hand], dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(1, count) * total / count, side="right")
    return list(np.split(hand, cuts))


def _most(lengths: Int32, hand: Int64, count: int) -> int:
    return max(int(lengths[part].sum()) for part in _cut(lengths, hand, count))
