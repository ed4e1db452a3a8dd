"""One run from start to end: prepares, loads the instances, runs LoadGen, judges, records and prints the result."""

from __future__ import annotations

import sys
from dataclasses import replace

from accuracy import report as accuracy_report
from accuracy.log import AccuracyLogError
from accuracy.score import Score
from accuracy.targets import Target
from foundation import log_files
from sut.errors import INVALID, VALID, RunFailedError
from sut.executors.base import Executor, Ready
from sut.executors.inline import InlineExecutor
from sut.executors.processes import ProcessExecutor
from sut.queries import loadgen
from sut.queries.scheduler import Scheduler
from sut.record import detail_log
from sut.record.results import AccuracyResult
from sut.record.run_record import RunRecord, Verdict
from sut.run import find_peak, log_dir, recording, terminal_report, watched_test
from sut.run import target as run_target
from sut.run.prepare import Prepared, prepare
from sut.run.region_of_interest import RegionOfInterest
from sut.settings.settings import RunConfig


def run(config: RunConfig) -> int:
    """Make one run and print its result; returns the exit code.

    Raises:
        UsageError, DatasetError, BackendError: before the run started.
        RunFailedError: the run started and failed. LoadGen's thread may still exist, so the process must exit.
    """
    prepared = prepare(config)
    executor = _executor(prepared)
    try:
        ready = executor.start()
        return (find_peak.run if config.find_peak else _measure)(prepared, executor, ready)
    finally:
        executor.close()
        log_dir.release(prepared.made)


def _executor(prepared: Prepared) -> Executor:
    if prepared.config.executor == "inline":
        return InlineExecutor(prepared.worker)
    return ProcessExecutor(prepared.worker, prepared.places, forked=prepared.is_forked)


def _measure(prepared: Prepared, executor: Executor, ready: list[Ready]) -> int:
    config = prepared.config
    samples_per_s = sum(one.samples_per_s for one in ready)
    plan = loadgen.plan(prepared.counted, prepared.task.model_key, prepared.samples, samples_per_s, prepared.user_conf)
    roi = RegionOfInterest() if config.roi else None
    scheduler = watched_test.scheduler(prepared, executor, ready, plan, roi)
    record = recording.with_instances(recording.begin(prepared), ready)
    print(terminal_report.opening(prepared, plan), file=sys.stderr)
    try:
        clock = watched_test.run(prepared, plan, scheduler, executor, roi)
        prepared = prepared.after_test()
        record = recording.with_measurements(record, plan, scheduler, executor, roi)
        if config.mode == "accuracy":
            return _judge_accuracy(prepared, scheduler, record)
        return _judge_performance(prepared, scheduler, record, clock.reasons(scheduler.progress.window_s))
    except (RunFailedError, AccuracyLogError, OSError) as error:  # the latter two: a full disk
        died = None if executor.failure is None else str(executor.failure)
        recording.fail(replace(recording.with_progress(record, scheduler), instance_died=died), str(error))
        raise RunFailedError(str(error)) from error


def _judge_performance(prepared: Prepared, scheduler: Scheduler, record: RunRecord, invalid: list[str]) -> int:
    config = prepared.config
    queries = scheduler.progress.completed // (record.plan.samples_per_query if record.plan else 1)
    judged = detail_log.performance(config.logs, config.scenario, queries, invalid)
    gate, result = prepared.target, judged.result
    is_met = run_target.is_met(gate, result)
    result = replace(result, target=gate, target_met=is_met if gate else None)
    recording.finish(record, prepared, "VALID" if result.valid else "INVALID", result, judged.reasons)
    rows = terminal_report.performance_rows(config.scenario, judged, scheduler.progress, gate)
    terminal_report.closing(prepared, rows + terminal_report.batch_rows(record.batches))
    return VALID if result.valid and is_met else INVALID


def _judge_accuracy(prepared: Prepared, scheduler: Scheduler, record: RunRecord) -> int:
    config = prepared.config
    errors = detail_log.read(config.logs).logged_errors()
    score = prepared.task.score(config.logs / log_files.ACCURACY, prepared.data)
    accuracy_report.write_accuracy(score, config.logs, prepared.notices)
    predictions = accuracy_report.write_predictions(score, config.logs / log_files.PREDICTIONS)
    result = AccuracyResult(
        metrics=score.metrics,
        of_answered=score.of_answered,
        samples_answered=score.samples_answered,
        total_sample_count=score.total_sample_count,
        target=prepared.target,
    )
    recording.finish(record, prepared, _verdict(score, errors, prepared.target), result, errors)
    rows = terminal_report.accuracy_rows(score, errors, prepared)
    rows += [*terminal_report.throughput_rows(scheduler.progress), *terminal_report.batch_rows(record.batches)]
    terminal_report.closing(prepared, [*rows, ("predictions", str(predictions))])
    return VALID if accuracy_report.passes(score, prepared.target) and not errors else INVALID


def _verdict(score: Score, errors: list[str], target: Target | None) -> Verdict:
    if errors:
        return "INVALID"
    if not score.is_complete:
        return "INCOMPLETE"
    if target is None:
        return "SCORED"
    return "PASS" if target.is_met(score.metrics[target.metric]) else "FAIL"
