"""Contestants that take turns, their results, and the comparison.

In each round every contestant has one turn, in alternating order, so that a drift of the machine (heat, other load)
affects all alike. A reading is the result of one turn; figures are medians over the rounds.
"""

from __future__ import annotations

import signal
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from foundation import steps

Reading = dict[str, float]  # metric → value; the metrics are named where they are measured


@dataclass(frozen=True)
class Contestant:
    """One row of the table. `turn` measures it once in a separate process and raises if it cannot."""

    key: str  # in the JSON line, and for --only
    about: str  # how it runs
    precision: str
    turn: Callable[[], Reading]


@dataclass
class Results:
    """The readings of each contestant by key, in the order of rounds, or why it has none."""

    readings: dict[str, list[Reading]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def turn_order(contestants: Sequence[Contestant], rounds: int) -> Iterator[tuple[int, Contestant]]:
    """(round, contestant) of every turn, in alternating order."""
    for number in range(rounds):
        yield from ((number, one) for one in (contestants if number % 2 == 0 else reversed(contestants)))


def run_turns(
    contestants: Sequence[Contestant],
    rounds: int,
    on_reading: Callable[[int, Contestant, Reading | str], None],
    results: Results | None = None,
) -> Results:
    """Run all turns, one after the other, until the end, Ctrl-C or SIGTERM, and say which is under way.

    A contestant that fails once has no more turns, and its error is reported instead of its figures. Any exception is
    its own: the others go on.

    Args:
        results: where the readings go as they are made, for a caller that reports before the end.
    """
    results = Results() if results is None else results
    try:
        with terminable():
            for number, one in turn_order(contestants, rounds):
                if one.key not in results.missing:
                    with steps.doing(f"round {number + 1}  {one.key}", sums_up=False):
                        reading = _turn(one, results)
                    on_reading(number, one, reading)
    except KeyboardInterrupt:  # report what was measured so far
        pass
    return results


def _turn(one: Contestant, results: Results) -> Reading | str:
    """A reading, or why there is none."""
    try:
        reading = one.turn()
    except Exception as error:  # noqa: BLE001 - a contestant's defect must not cost the others their figures
        results.readings.pop(one.key, None)
        results.missing[one.key] = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
        return results.missing[one.key]
    results.readings.setdefault(one.key, []).append(reading)
    return reading


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt inside the block, so that what was measured is still reported."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def spread(results: Results, key: str, metric: str) -> Spread | None:
    """A metric over the rounds; None if there is no such reading."""
    values = [reading[metric] for reading in results.readings.get(key, []) if metric in reading]
    return Spread.of(values) if values else None


def best(results: Results, keys: Sequence[str], metric: str) -> str | None:
    """The key with the highest median."""
    found = {key: one.median for key in keys if (one := spread(results, key, metric))}
    return max(found, key=lambda key: found[key]) if found else None


@dataclass(frozen=True)
class Goal:
    """A goal for a ratio of one contestant's metric to another's."""

    name: str
    floor: float
    aim: float
    lower_is_better: bool = False

    def verdict(self, value: float) -> str:
        """aim, floor or missed."""
        reached = [
            name
            for name, bound in (("aim", self.aim), ("floor", self.floor))
            if (value <= bound if self.lower_is_better else value >= bound)
        ]
        return reached[0] if reached else "missed"


RatioTerm = tuple[str, str, float]  # contestant's key, metric, factor


def ratio(results: Results, above: RatioTerm, below: RatioTerm) -> Spread | None:
    """The ratio of medians, with the lowest and highest ratio of a round; None if a term has no readings."""
    tops, bottoms = (_values(results, term) for term in (above, below))
    if not tops or not bottoms:
        return None
    rounds = [top / bottom for top, bottom in zip(tops, bottoms, strict=False)]
    return Spread(statistics.median(tops) / statistics.median(bottoms), min(rounds), max(rounds))


def _values(results: Results, term: RatioTerm) -> list[float]:
    key, metric, factor = term
    return [factor * reading[metric] for reading in results.readings.get(key, []) if metric in reading]


def summary(results: Results) -> Mapping[str, object]:
    """For the JSON line: each contestant's metrics as [median, lowest, highest], or its error."""
    found: dict[str, object] = dict(results.missing)
    for key, readings in results.readings.items():
        spreads = {metric: spread(results, key, metric) for metric in readings[0]}
        found[key] = {name: [one.median, one.lowest, one.highest] for name, one in spreads.items() if one}
    return found
