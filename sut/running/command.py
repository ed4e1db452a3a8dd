"""One run from start to end: prepares, loads the instances, runs LoadGen, judges, records and prints the result."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from dataclasses import replace

from accuracy import report as accuracy_report
from accuracy.log import AccuracyLogError
from accuracy.score import Score
from accuracy.targets import Target
from foundation import log_files, program, terminal
from foundation.step_times import StepTimes
from sut.errors import INVALID, VALID, RunFailedError, UserError
from sut.executors.base import Executor, Ready
from sut.machine import load, memory
from sut.processes import run_process
from sut.queries import loadgen
from sut.queries.scheduler import Scheduler
from sut.record import detail_log
from sut.record.results import AccuracyResult
from sut.record.run_record import RunRecord, Verdict
from sut.running import (
    conditions,
    find_peak,
    local_instances,
    log_dir,
    lost_nodes,
    ray_instances,
    recording,
    remote_instances,
    terminal_report,
    watched_test,
)
from sut.running import target as run_target
from sut.running.prepare import Prepared, prepare
from sut.running.region_of_interest import RegionOfInterest
from sut.running.terminal_report import Rows
from sut.settings.resolve import default_log_dir
from sut.settings.settings import RunConfig

_CONNECT = {"remote": remote_instances.connect, "ray": ray_instances.connect}


def run(config: RunConfig) -> int:
    """Make one run and print its result; returns the exit code.

    Raises:
        UsageError, DatasetError, BackendError: before the run started.
        RunFailedError: the run started and failed. LoadGen's thread may still exist, so the process must exit.
    """
    logs, before = config.log_dir or default_log_dir(config), load.now()
    handlers = {number: signal.getsignal(number) for number in program.INTERRUPTS}
    with log_dir.claimed(logs):
        prepared = prepare(config, logs)
        warnings = conditions.of(prepared.places, prepared.config.threads, before)
        prepared, executor = _with_executor(replace(prepared, warnings=warnings))
        terminal.console(stderr=True).print(terminal_report.opening(prepared))
        try:
            with StepTimes(prepared.cache_dir).doing(terminal_report.loading(prepared), *prepared.load_step):
                ready = executor.start()
            code = (find_peak.run if config.find_peak else _measure)(prepared, executor, ready)
        finally:
            executor.close()
    for number, handler in handlers.items():  # of a run with a result, which nothing interrupts any more
        signal.signal(number, handler)
    return code


def _with_executor(prepared: Prepared) -> tuple[Prepared, Executor]:
    """The executor, not started, and the run with what only the executor's nodes know."""
    if connect := _CONNECT.get(prepared.config.executor):
        return connect(prepared)
    return prepared, local_instances.executor(prepared)


def _measure(prepared: Prepared, executor: Executor, ready: list[Ready]) -> int:
    config = prepared.config
    samples_per_s = sum(one.samples_per_s for one in ready)
    key, conf = prepared.task.model_key, prepared.user_conf
    plan = loadgen.plan(prepared.counted, key, prepared.samples, samples_per_s, conf, memory.available())
    roi = RegionOfInterest() if config.roi else None
    scheduler = watched_test.scheduler(prepared, executor, ready, plan, roi)
    record = recording.with_instances(recording.begin(prepared), ready)
    opening = [*terminal_report.engine_remarks(record), terminal_report.length(prepared, plan)]
    terminal.console(stderr=True).print("\n".join(opening))
    try:
        clock = watched_test.run(prepared, plan, scheduler, executor, ready, roi)
    except RunFailedError as error:
        died = None if executor.failure is None else str(executor.failure)
        failed = recording.with_nodes(recording.with_progress(record, scheduler), executor)
        recording.fail(replace(failed, instance_died=died), str(error))
        raise
    try:
        prepared = lost_nodes.after_test(prepared.after_test(), executor)
        record = recording.with_measurements(record, plan, scheduler, executor, roi)
        if config.mode == "accuracy":
            code, rows = _judge_accuracy(prepared, scheduler, record)
        else:
            late = clock.reasons(scheduler.progress.window_s)
            code, rows = _judge_performance(prepared, scheduler, record, late)
    except (Exception, KeyboardInterrupt) as error:
        _fail_after_the_clock(prepared, record, error)
        raise
    terminal_report.closing(prepared, rows)
    return code


def _fail_after_the_clock(prepared: Prepared, record: RunRecord, error: BaseException) -> None:
    """Record the failure of a run that LoadGen has finished, with what its logs are good for."""
    reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
    if not isinstance(error, RunFailedError | AccuracyLogError):  # those two: the log itself is broken
        reason = f"{reason.rstrip('.')}. {terminal_report.without_a_result(prepared.config)}"
    message = f"the run FAILED after its last query: {reason}"
    with suppress(RunFailedError):
        recording.fail(record, message)
    if isinstance(error, UserError | OSError | MemoryError | KeyboardInterrupt):
        raise RunFailedError(message) from error
    print(f"error: {message}", file=sys.stderr)


def _judge_performance(
    prepared: Prepared, scheduler: Scheduler, record: RunRecord, invalid: list[str]
) -> tuple[int, Rows]:
    config = prepared.config
    queries = scheduler.progress.completed // (record.plan.samples_per_query if record.plan else 1)
    judged = detail_log.performance(config.logs, config.scenario, queries, invalid)
    gate, result = prepared.target, judged.result
    is_met = run_target.is_met(gate, result)
    result = replace(result, target=gate, target_met=is_met if gate else None)
    rows = terminal_report.performance_rows(config.scenario, judged, scheduler.progress, gate)
    ended = recording.finish(record, prepared, "VALID" if result.valid else "INVALID", result, judged.reasons)
    return VALID if result.valid and is_met else INVALID, rows + _work_rows(record) + terminal_report.hint_rows(ended)


def _judge_accuracy(prepared: Prepared, scheduler: Scheduler, record: RunRecord) -> tuple[int, Rows]:
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
    rows = terminal_report.accuracy_rows(score, errors, prepared)
    rows += [*terminal_report.throughput_rows(scheduler.progress), *_work_rows(record)]
    record = replace(record, accuracy_interval=score.interval)
    recording.finish(record, prepared, _verdict(score, errors, prepared.target), result, errors)
    code = VALID if accuracy_report.passes(score, prepared.target) and not errors else INVALID
    return code, [*rows, ("predictions", str(run_process.shown(config.logs) / predictions.name))]


def _work_rows(record: RunRecord) -> Rows:
    engine = [("engine", remark) for remark in terminal_report.engine_remarks(record)]
    return [*engine, *terminal_report.batch_rows(record.batches), *terminal_report.node_rows(record.nodes)]


def _verdict(score: Score, errors: list[str], target: Target | None) -> Verdict:
    if errors:
        return "INVALID"
    if not score.is_complete:
        return "INCOMPLETE"
    if target is None:
        return "SCORED"
    return "PASS" if target.is_met(score.metrics[target.metric]) else "FAIL"
