"""Finds the highest target_qps at which a Server run is valid, by bisection with instances that are loaded once.

    python -m sut --scenario Server --find-peak

Each probe is a separate LoadGen test of some seconds with its own log directory below the run's: none of them can be
submitted, or mistaken for a run that can.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from foundation.people_numbers import figure
from sut.errors import INVALID, VALID, RunFailedError, UserError
from sut.executors.base import Executor, Ready
from sut.machine import memory
from sut.queries import loadgen
from sut.record import detail_log
from sut.record.results import PeakResult, Probe
from sut.running import recording, terminal_report, watched_test
from sut.running.prepare import Prepared
from sut.settings.settings import RunConfig

_PROBE_S = 10.0  # default length of a probe
_CONFIDENCE = 0.99
_PROBE_QUERIES = 1000  # minimum queries of a probe
_PRECISION = 0.02  # the search ends when a rate this little above the peak is invalid
_MOST_PROBES = 24
_FIRST, _STEP = 0.9, 1.2  # first rate relative to the measured speed; factor until the peak is bracketed
_OVERLOADED = 0.8  # of the rate: a probe that answers fewer is far beyond the peak, hiccup or not
_MOST_DOWN = 8.0  # factor to the next rate, if it answered even less


def run(prepared: Prepared, executor: Executor, ready: list[Ready]) -> int:
    """Search, print and record the peak; returns the exit code, VALID if a peak was found.

    Raises:
        RunFailedError: a probe started and failed; see `command.run`.
    """
    config = prepared.config
    record = recording.with_instances(recording.begin(prepared), ready)
    print(f"find peak: {about(config)}", file=sys.stderr)
    probes: list[Probe] = []
    start_qps = config.target_qps or _FIRST * sum(one.samples_per_s for one in ready)
    try:
        for probe in search(lambda qps: _probe(prepared, executor, ready, qps, len(probes) + 1), start_qps):
            probes.append(probe)
            print(line(len(probes), probe), file=sys.stderr, flush=True)
    except (UserError, OSError) as error:
        recording.fail(replace(record, result=_found(probes)), str(error))
        if best := peak(probes):
            print(f"the best so far: {line(probes.index(best) + 1, best)}", file=sys.stderr)
        raise RunFailedError(str(error)) from error
    found, prepared = peak(probes), prepared.after_test()
    record = recording.with_nodes(record, executor)
    ended = recording.finish(record, prepared, "PEAK" if found else "INVALID", _found(probes))
    terminal_report.closing(prepared, _rows(found, len(probes)) + terminal_report.hint_rows(ended))
    return VALID if found else INVALID


def about(config: RunConfig) -> str:
    """The length of a search in words."""
    probe_s = _PROBE_S if config.min_duration_s is None else config.min_duration_s
    return f"tests of {probe_s:g} s or longer each, usually 6 to 12, at most {_MOST_PROBES}"


def search(probe: Callable[[float], Probe], start_qps: float) -> Iterator[Probe]:
    """Probe from `start_qps` in steps until the peak is between two rates, then bisect.

    A rate counts as invalid if it was invalid twice, because one hiccup of the machine would hide all higher rates.
    Before a valid one is found, an overloaded probe says what the machine can do, and the next rate is below that.
    """
    valid_qps, invalid_qps, qps = 0.0, math.inf, start_qps
    is_again = False
    for _ in range(_MOST_PROBES):
        found = probe(qps)
        yield found
        answered = found.answered_per_s or found.samples_per_s
        if found.valid:
            valid_qps = qps
        elif not valid_qps and answered < _OVERLOADED * qps:
            qps, is_again = max(_FIRST * answered, qps / _MOST_DOWN), False
            continue
        elif not is_again:
            is_again = True
            continue
        else:
            invalid_qps = qps
        is_again = False
        if invalid_qps <= valid_qps * (1 + _PRECISION):
            return
        if not valid_qps:
            qps /= _STEP**2
        elif math.isinf(invalid_qps):
            qps *= _STEP
        else:
            qps = math.sqrt(valid_qps * invalid_qps)


def peak(probes: list[Probe]) -> Probe | None:
    """The fastest valid probe."""
    return max((probe for probe in probes if probe.valid), key=lambda probe: probe.target_qps, default=None)


def _probe(prepared: Prepared, executor: Executor, ready: list[Ready], qps: float, number: int) -> Probe:
    config = prepared.config
    probing = replace(
        config,
        target_qps=qps,
        log_dir=config.logs / f"probe-{number:02}",
        min_duration_s=_PROBE_S if config.min_duration_s is None else config.min_duration_s,
        test_query_count=config.test_query_count or _PROBE_QUERIES,
    )
    probing.logs.mkdir()
    one = replace(prepared, config=probing)
    key, conf = prepared.task.model_key, prepared.user_conf
    plan = loadgen.plan(probing, key, prepared.samples, qps, conf, memory.available())
    scheduler = watched_test.scheduler(one, executor, ready, plan)
    clock = watched_test.run(one, plan, scheduler, executor, ready)
    steps, queries = clock.reasons(scheduler.progress.window_s), scheduler.progress.completed
    judged = detail_log.performance(probing.logs, config.scenario, queries, steps)
    result = judged.result
    log = detail_log.read(probing.logs)
    if log.is_missed("early_stopping_met") and not log.is_missed("result_perf_constraints_met"):
        check_length(queries, plan.settings.server_target_latency_percentile)
    answered = queries / scheduler.progress.window_s
    return Probe(qps, result.valid, result.value or 0.0, result.latency_ms.get("99.00"), judged.reasons, answered)


def check_length(queries: int, percentile: float) -> None:
    """Raises RunFailedError for a probe that was fast enough and invalid, if all after it would be invalid, too.

    LoadGen's early stopping: even if no query is late, this many are needed for a confidence of 99 %.
    """
    least = math.ceil(math.log(1 - _CONFIDENCE) / math.log(percentile))
    if queries < least:
        raise RunFailedError(
            f"expected at least {least} queries in a probe, since LoadGen cannot bound the percentile with "
            f"fewer, found {queries}. Type: --test-query-count {_PROBE_QUERIES}, or a longer --min-duration-s."
        )


def line(number: int, probe: Probe) -> str:
    """A probe on one line."""
    verdict = "VALID" if probe.valid else "INVALID"
    return f"probe {number:2}: {figure(probe.target_qps):>10} qps  p99 {_ms(probe):>13}  {verdict}"


def _ms(probe: Probe) -> str:
    return "unknown" if probe.p99_ms is None else f"{probe.p99_ms:,.2f} ms"


def _found(probes: list[Probe]) -> PeakResult:
    found = peak(probes)
    return PeakResult(value=found.target_qps if found else None, probes=tuple(probes))


def _rows(found: Probe | None, probes: int) -> terminal_report.Rows:
    if found is None:
        return [("peak", f"none: none of {probes} probes was valid")]
    return [
        ("peak", f"{figure(found.target_qps)} queries/s, the highest valid target_qps of {probes} probes"),
        ("  p99", _ms(found)),
        ("  completed", f"{figure(found.samples_per_s)} samples/s"),
    ]
