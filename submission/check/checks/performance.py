"""Checks of a performance run's log: verdict, seeds, durations and counts, as a table of requirements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeGuard

from foundation.log_files import DETAIL
from foundation.rules import MIN_DURATION_S, SAMPLES, SCENARIOS, Scenario
from submission.check import detail_log
from submission.check.checks.requirement import Requirement, at_least, equals, is_number, unmet
from submission.check.detail_log import LoggedValues
from submission.check.failure import Failure
from submission.check.tree import Tree
from submission.rules.layout import ResultLayout
from submission.rules.rounds import EARLY_STOPPING_SCENARIOS, Round

_NO_RESULT = "Repeat the run: LoadGen gave no result."
_TOO_FEW = (
    "Run longer (a trial: with a larger --test-query-count): too few queries to bound the percentile at the required "
    "confidence."
)


def check(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """The rules of the performance run in a result directory."""
    log = detail_log.read(tree, layout.performance / DETAIL)
    yield from run("performance", log, layout)


def run(family: str, log: LoggedValues, layout: ResultLayout) -> Iterator[Failure]:
    """The rules of a performance run, also of TEST01's; `family` is the first part of the names of the rules."""
    table = (*_any_scenario(layout), *_seeds(layout.round), *_of_scenario(layout.scenario))
    yield from unmet(log.path, log.values, [replace(one, rule=f"{family}.{one.rule}") for one in table])
    yield from errors(family, log)


def errors(family: str, log: LoggedValues) -> Iterator[Failure]:
    """Lines that LoadGen marked as errors, and its count of them, in any mode."""
    counted = [value for value in log.values.get("num_errors", ()) if value != 0]
    if log.errors:
        found = f"{len(log.errors)}, the first: {log.errors[0][:100]}"
    elif counted:
        found = f"num_errors = {str(counted[0])[:100]}"
    else:
        return
    todo = "Fix its cause and repeat the run."
    yield Failure(str(log.path), f"{family}.errors", found, "no error logged by LoadGen", todo)


def mode(rule: str, expected: str) -> Requirement:
    """The log is that of a run in this mode."""
    return Requirement(rule, "effective_test_mode", equals(expected), expected, f"Put the {expected} run's log here.")


def scenario(rule: str, layout: ResultLayout) -> Requirement:
    """The log is that of a run in the directory's scenario."""
    expected = layout.scenario
    return Requirement(rule, "effective_scenario", equals(expected), expected, "Put the log of this scenario here.")


def _any_scenario(layout: ResultLayout) -> Iterator[Requirement]:
    yield scenario("scenario", layout)
    yield mode("mode", "PerformanceOnly")
    todo = "Repeat the run; LoadGen's summary says what was not met."
    yield Requirement("validity", "result_validity", equals("VALID"), "VALID", todo)
    yield _count("sample-count", "effective_performance_sample_count", SAMPLES)
    yield _count("duration", "effective_min_duration_ms", MIN_DURATION_S * 1000)


def _seeds(rules: Round) -> Iterator[Requirement]:
    for name, seed in rules.seeds._asdict().items():
        todo = f"Repeat the run with the seeds of {rules.name}, or check for the round that it was made for."
        yield Requirement("seeds", f"effective_{name}", equals(seed), f"{seed}, the seed of {rules.name}", todo)


def _of_scenario(name: str) -> Iterator[Requirement]:
    if name == "Offline":
        yield _count("samples-per-query", "effective_samples_per_query", SAMPLES)
        yield _count("queries", "effective_min_query_count", 1)
    if name in EARLY_STOPPING_SCENARIOS:
        yield Requirement("early-stopping", "early_stopping_met", equals(True), "true", _TOO_FEW)
    if name in SCENARIOS:
        yield from _metric(SCENARIOS[name])


def _metric(rules: Scenario) -> Iterator[Requirement]:
    """The figure, in the unit in which the official checkers compare it. 0 is LoadGen's for "too few queries"."""
    key, expected = rules.result_key, "a number above 0"
    if key.startswith("early_stopping"):
        yield Requirement("early-stopping", key, lambda found: found != 0, expected, _TOO_FEW, is_optional=True)
        yield Requirement("metric", key, lambda found: found == 0 or is_result(found, rules), expected, _NO_RESULT)
    else:
        yield Requirement("metric", key, lambda found: is_result(found, rules), expected, _NO_RESULT)


def is_result(found: object, rules: Scenario) -> TypeGuard[float]:
    """Whether it is a figure: a number that is above 0 in the unit of the scenario."""
    return is_number(found) and found / rules.divisor > 0


def _count(rule: str, key: str, least: int) -> Requirement:
    return Requirement(rule, key, at_least(least), f"at least {least:,}", "Repeat the run with the official settings.")
