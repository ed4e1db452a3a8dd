"""A contest: contestants that take turns, what they reach, and how they compare.

Turns go round: every contestant once, then every one again, in the opposite order, so that a machine that drifts (heat,
neighbours) hurts all alike. A reading is what one turn gave; figures are medians over the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Reading = dict[str, float]  # metric → value; the metrics are named where they are measured


@dataclass(frozen=True)
class Contestant:
    """One row of the table. `turn` measures it once, in a process of its own, and raises RuntimeError if it cannot."""

    key: str  # in the JSON line, and for --only
    about: str  # how it runs
    precision: str
    turn: Callable[[], Reading]


@dataclass
class Results:
    """What each contestant's turns gave, by key and in the order of rounds; and why one has none."""

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


def order(contestants: Sequence[Contestant], rounds: int) -> Iterator[tuple[int, Contestant]]:
    """(round, contestant) of every turn: to and fro."""
    for number in range(rounds):
        yield from ((number, one) for one in (contestants if number % 2 == 0 else reversed(contestants)))


def hold(
    contestants: Sequence[Contestant], rounds: int, tell: Callable[[int, Contestant, Reading | str], None]
) -> Results:
    """All turns, one after the other, until the end or Ctrl-C.

    A contestant that fails once has no more turns, and its error stands instead of its figures.
    """
    results = Results()
    for number, one in order(contestants, rounds):
        if one.key in results.missing:
            continue
        try:
            reading = one.turn()
        except KeyboardInterrupt:  # what was measured until then is worth telling
            break
        except RuntimeError as error:
            results.missing[one.key] = str(error)
            results.readings.pop(one.key, None)
            tell(number, one, str(error))
        else:
            results.readings.setdefault(one.key, []).append(reading)
            tell(number, one, reading)
    return results


def spread(results: Results, key: str, metric: str) -> Spread | None:
    """Over the rounds; None where there is no such reading."""
    values = [reading[metric] for reading in results.readings.get(key, []) if metric in reading]
    return Spread.of(values) if values else None


def best(results: Results, keys: Sequence[str], metric: str) -> str | None:
    """The key with the highest median."""
    found = {key: one.median for key in keys if (one := spread(results, key, metric))}
    return max(found, key=lambda key: found[key]) if found else None


@dataclass(frozen=True)
class Goal:
    """A ratio to reach: of one contestant's metric to another's."""

    name: str
    floor: float
    aim: float
    lower_is_better: bool = False

    def verdict(self, value: float) -> str:
        """aim, floor or missed."""
        reached = [
            word
            for word, bound in (("aim", self.aim), ("floor", self.floor))
            if (value <= bound if self.lower_is_better else value >= bound)
        ]
        return reached[0] if reached else "missed"


Side = tuple[str, str, float]  # contestant's key, metric, what to multiply it by


def ratio(results: Results, above: Side, below: Side) -> Spread | None:
    """The ratio of medians, with the lowest and highest of the rounds' own ratios; None where a side is missing."""
    tops, bottoms = (_values(results, side) for side in (above, below))
    if not tops or not bottoms:
        return None
    rounds = [top / bottom for top, bottom in zip(tops, bottoms, strict=False)]
    return Spread(statistics.median(tops) / statistics.median(bottoms), min(rounds), max(rounds))


def _values(results: Results, side: Side) -> list[float]:
    key, metric, factor = side
    return [factor * reading[metric] for reading in results.readings.get(key, []) if metric in reading]


def summary(results: Results) -> Mapping[str, object]:
    """For the JSON line: each contestant's metrics as [median, lowest, highest], or why it has none."""
    found: dict[str, object] = dict(results.missing)
    for key, readings in results.readings.items():
        spreads = {metric: spread(results, key, metric) for metric in readings[0]}
        found[key] = {name: [one.median, one.lowest, one.highest] for name, one in spreads.items() if one}
    return found
