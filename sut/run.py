"""One run from start to end: prepare, load the instances, plan, run under LoadGen, judge, tell.

LoadGen works on a thread of its own, so that this one can watch: a failure or Ctrl-C ends the run at once. LoadGen has
no way to be told to stop; it is left where it stands, and the process ends under it (see `__main__`).
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from dataclasses import asdict
from typing import Any, NoReturn

from accuracy import report as accuracy_report
from accuracy.log import AccuracyLogError
from accuracy.squad import Score
from accuracy.targets import Target
from sut import loadgen, log_dir, record, report, results, server_queue
from sut.config import RunConfig
from sut.errors import INVALID, VALID, RunFailedError
from sut.executors.base import Executor, Ready
from sut.executors.inline import InlineExecutor
from sut.executors.processes import ProcessExecutor
from sut.loadgen import Plan
from sut.prepare import Prepared, prepare
from sut.progress import ProgressLine
from sut.scheduler import Scheduler

_WATCH_S = 0.1
_LOG_POLL_S = 1.2  # LoadGen writes its logs once a second: what a failed run has logged by then is kept


def run(config: RunConfig) -> int:
    """Do one run and print its result; returns the exit code.

    Raises:
        UsageError, DatasetError, BackendError: before the run began.
        RunFailedError: the run began and did not end. LoadGen's thread may still be there: end the process.
    """
    prepared = prepare(config)
    executor = _executor(prepared)
    try:
        ready = executor.start()
        return _measure(prepared, executor, ready)
    finally:
        executor.close()
        log_dir.release(prepared.config.logs)


def _executor(prepared: Prepared) -> Executor:
    if prepared.config.executor == "inline":
        return InlineExecutor(prepared.worker)
    return ProcessExecutor(prepared.worker, prepared.places, forked=prepared.is_forked)


def _measure(prepared: Prepared, executor: Executor, ready: list[Ready]) -> int:
    config = prepared.config
    samples_per_s = sum(one.samples_per_s for one in ready)
    plan = loadgen.plan(config, prepared.task.model_key, prepared.samples, samples_per_s)
    scheduler = _scheduler(prepared, executor, ready, plan)
    record.write(prepared, record.UNFINISHED)
    print(report.opening(prepared, plan), file=sys.stderr)
    judge = _judge_accuracy if config.mode == "accuracy" else _judge_performance
    try:
        _drive(prepared, plan, scheduler, executor)
        facts = {
            "first_query_unix_s": time.time() - (time.perf_counter() - scheduler.progress.first_issue_s),
            "instances_ready": [asdict(one) for one in ready],
            "plan": _plan_facts(plan),
            "progress": asdict(scheduler.progress),
        }
        return judge(prepared, scheduler, facts)
    except (RunFailedError, AccuracyLogError, OSError) as error:  # the others: a disk that filled
        record.write(prepared, "FAILED", reasons=[str(error)], progress=asdict(scheduler.progress))
        raise RunFailedError(str(error)) from error


def _scheduler(prepared: Prepared, executor: Executor, ready: list[Ready], plan: Plan) -> Scheduler:
    """The slowest instance sets the pace."""
    pace = server_queue.pace(
        prepared.config.max_batch_tokens,
        packed=all(one.packed for one in ready),
        batch_s=max(one.batch_s for one in ready),
        token_s=max(one.token_s for one in ready),
        target_latency_s=plan.target_latency_s,
    )
    is_server = prepared.config.scenario == "Server"
    return Scheduler(executor, prepared.features.lengths, loadgen.complete, pace=pace, plan_at_issue=not is_server)


def _plan_facts(plan: Plan) -> dict[str, Any]:
    """A plan without LoadGen's own object, which JSON cannot hold."""
    return {
        "min_query_count": plan.min_query_count,
        "samples_per_query": plan.samples_per_query,
        "min_duration_s": plan.min_duration_s,
        "target_qps": plan.target_qps,
        "target_latency_s": plan.target_latency_s,
    }


def _drive(prepared: Prepared, plan: Plan, scheduler: Scheduler, executor: Executor) -> None:
    """Run LoadGen to its end, or raise RunFailedError with LoadGen left behind."""
    thread = threading.Thread(target=_loadgen, args=(prepared, plan, scheduler), name="loadgen", daemon=True)
    total = prepared.samples if prepared.config.mode == "accuracy" else None
    try:
        with ProgressLine(plan, scheduler.progress, total) as line:
            thread.start()
            alive = True
            while alive:
                thread.join(_WATCH_S)
                alive = thread.is_alive()
                line.update()
                failure = scheduler.failure or executor.failure
                if failure:
                    _give_up(prepared, scheduler, executor, failure)
    except KeyboardInterrupt as error:
        _give_up(prepared, scheduler, executor, error)


def _loadgen(prepared: Prepared, plan: Plan, scheduler: Scheduler) -> None:
    try:
        loadgen.start_test(
            plan.settings,
            prepared.config.logs,
            samples=prepared.samples,
            issue_queries=scheduler.issue_queries,
            load_query_samples=prepared.features.touch,
        )
    except Exception as error:  # noqa: BLE001 - raised again on the watching thread
        scheduler.fail(error)


def _give_up(prepared: Prepared, scheduler: Scheduler, executor: Executor, failure: BaseException) -> NoReturn:
    scheduler.fail(failure)  # from here on nothing is answered
    for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C would unwind the interpreter under LoadGen
        signal.signal(number, signal.SIG_IGN)
    executor.close()
    time.sleep(_LOG_POLL_S)
    words = "interrupted." if isinstance(failure, KeyboardInterrupt) else f"{failure}"
    if not isinstance(failure, (KeyboardInterrupt, RunFailedError)):
        words = f"{type(failure).__name__}: {failure}"
    raise RunFailedError(f"the run is INVALID: {words} Its logs are in {prepared.config.log_dir}.") from failure


def _judge_performance(prepared: Prepared, scheduler: Scheduler, facts: dict[str, Any]) -> int:
    config = prepared.config
    queries = scheduler.progress.completed // facts["plan"]["samples_per_query"]
    result = results.performance(config.logs, config.scenario, queries)
    found = asdict(result)
    reasons = found.pop("reasons")
    record.write(prepared, "VALID" if result.valid else "INVALID", reasons=reasons, result=found, **facts)
    report.closing(prepared, report.performance_rows(config.scenario, result, scheduler.progress))
    return VALID if result.valid else INVALID


def _judge_accuracy(prepared: Prepared, scheduler: Scheduler, facts: dict[str, Any]) -> int:
    config = prepared.config
    assert config.dataset and config.vocab and config.cache_dir
    errors = results.logged_errors(config.logs, results.read_detail(config.logs))
    score = prepared.task.score(config.logs / results.ACCURACY, config.dataset, config.vocab, config.cache_dir)
    accuracy_report.write_accuracy(score, config.logs, prepared.notices)
    found = {
        "exact_match": score.exact_match,
        "f1": score.f1,
        "samples_answered": score.samples_answered,
        "total_sample_count": score.total_sample_count,
        "target": asdict(prepared.target) if prepared.target else None,
    }
    record.write(prepared, _verdict(score, errors, prepared.target), reasons=errors, result=found, **facts)
    rows = report.accuracy_rows(score, errors, prepared)
    report.closing(prepared, rows + report.throughput_rows(scheduler.progress))
    return VALID if accuracy_report.passes(score, prepared.target) and not errors else INVALID


def _verdict(score: Score, errors: list[str], target: Target | None) -> str:
    if errors:
        return "INVALID"
    if not score.is_complete:
        return "INCOMPLETE"
    if target is None:
        return "SCORED"
    return "PASS" if target.is_met(score.f1) else "FAIL"
