"""Successive halving: short trials of everything that may be fastest, longer ones of what was.

Engines come first, and of those that are fast enough to matter the accuracy is measured, the fastest first, so that an
engine that loses accuracy costs one run and never a place. Each level then divides the survivors further. What remains
is run three times as long in each round, the slower two thirds dropped, until two take turns. The search knows nothing
of processes: a test gives it a table of speeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from sut.commands.tune.space import Candidate, Settings, Space

# Shares of the fastest speed: what a short trial finds below is dropped. Cores alone can make up for the first.
ENGINE_SHARE, LEVEL_SHARE = 0.6, 0.8
DIVISOR = 3  # of the survivors, in a round; a trial takes as many times longer
LAST = 2  # candidates that take turns at the end
TURNS, MOST_TURNS = 3, 9  # of each; more than three only while the two are nearer to each other than CLEAR
CLEAR = 0.05
# Shares of all time that must be left for another trial: of engines, and of a level.
_ENGINES_TIME, _LEVELS_TIME = 0.25, 0.45
_TRIAL_AND_SCORE = 2  # trials, in time: another one, and the run that measures the accuracy of the fastest


class Bench(Protocol):
    """What the search measures with. A speed is higher where a candidate is better; None: it could not run."""

    def screen(self, one: Candidate) -> float | None:
        """The speed in a short trial that may be of a simpler kind than `trial`: comparable among engines."""

    def trial(self, one: Candidate, rung: int, turn: int = 1) -> float | None:
        """The speed in a trial of DIVISOR ** rung times the shortest length."""

    def chosen(self, one: Candidate) -> Settings:
        """What a run of the candidate chose."""

    def time_left(self) -> float:
        """Share of all time that is left."""

    def share_of(self, rung: int) -> float:
        """Share of all time that a trial of this rung takes, process included."""


def search(space: Space, bench: Bench, is_accurate: Callable[[Candidate], bool]) -> list[Candidate]:
    """The candidates that reached the last round, the best first; empty: no engine ran, or none was accurate.

    Args:
        is_accurate: whether a candidate's engine reaches the accuracy; asked once for each engine.
    """
    engines = _accurate(space.engines, bench, is_accurate)
    found = _in_time(engines, lambda one: bench.trial(one, 0), bench, _ENGINES_TIME)
    for number, level in enumerate(space.levels):
        survivors = _near(found, LEVEL_SHARE if number else ENGINE_SHARE)
        fresh = [new for one in survivors for new in level.expand(one, bench.chosen(one)) if space.is_possible(new)]
        if bench.time_left() >= _LEVELS_TIME:
            found |= _in_time(dict.fromkeys(fresh), lambda one: bench.trial(one, 0), bench, _LEVELS_TIME)
    return _halved(_ranked(found), bench)


def _accurate(engines: Sequence[Candidate], bench: Bench, is_accurate: Callable[[Candidate], bool]) -> list[Candidate]:
    """The engines that may lead to the best: accurate, and not far slower than the fastest accurate one."""
    screened = _in_time(engines, bench.screen, bench, _ENGINES_TIME)
    accurate: list[Candidate] = []
    for one in _ranked(screened):
        if accurate and screened[one] < ENGINE_SHARE * screened[accurate[0]]:
            break
        if is_accurate(one):
            accurate.append(one)
    return accurate


def _halved(ranked: list[Candidate], bench: Bench) -> list[Candidate]:
    rung = 1
    while len(ranked) > LAST:
        fitting = int(bench.time_left() / 2 / bench.share_of(rung))
        keep = max(LAST, min(-(-len(ranked) // DIVISOR), fitting))
        if fitting < LAST:
            return ranked
        speeds = {one: bench.trial(one, rung) for one in ranked[:keep]}
        ranked = _ranked({one: speed for one, speed in speeds.items() if speed is not None}) or ranked
        if keep == LAST:
            break
        rung += 1
    return _after_turns(ranked, bench, rung)


def _after_turns(ranked: list[Candidate], bench: Bench, rung: int) -> list[Candidate]:
    """The last ones in turn, A B B A A B, in the longest trials that fit: by their medians.

    While those are close, further turns use the time that is left: one trial differs from the next by more than that.
    """
    while rung and bench.time_left() < TURNS * min(LAST, len(ranked)) * bench.share_of(rung):
        rung -= 1
    speeds: dict[Candidate, list[float]] = {one: [] for one in ranked[:LAST]}
    for turn in range(1, (MOST_TURNS if len(ranked) > 1 else 1) + 1):
        if turn > TURNS and _is_clear(speeds):
            break
        for one in list(speeds) if turn % 2 else reversed(speeds):
            if bench.time_left() < bench.share_of(rung):
                break
            speed = bench.trial(one, rung, turn)
            speeds[one] += [speed] if speed is not None else []
    medians = _medians(speeds)
    return [*_ranked(medians), *(one for one in ranked if one not in medians)]


def _medians(speeds: Mapping[Candidate, Sequence[float]]) -> dict[Candidate, float]:
    return {one: statistics.median(found) for one, found in speeds.items() if found}


def _is_clear(speeds: Mapping[Candidate, Sequence[float]]) -> bool:
    medians = _medians(speeds).values()
    return len(medians) < LAST or min(medians) < (1 - CLEAR) * max(medians)


def _in_time(
    ones: Iterable[Candidate], measure: Callable[[Candidate], float | None], bench: Bench, least_left: float
) -> dict[Candidate, float]:
    """The speeds of those that ran, until `least_left` of all time is left; of one at least, if any runs."""
    found: dict[Candidate, float] = {}
    for one in ones:
        if found and bench.time_left() < max(least_left, _TRIAL_AND_SCORE * bench.share_of(0)):
            break
        speed = measure(one)
        if speed is not None:
            found[one] = speed
    return found


def _ranked(speeds: dict[Candidate, float]) -> list[Candidate]:
    return sorted(speeds, key=lambda one: -speeds[one])


def _near(speeds: dict[Candidate, float], share: float) -> list[Candidate]:
    ranked = _ranked(speeds)
    return [one for one in ranked if speeds[one] >= share * speeds[ranked[0]]]
