"""Runs one LoadGen test and watches it for failures.

LoadGen runs on a separate thread, so that a failure or Ctrl-C ends the run at once. LoadGen has no call that stops a
test: its thread is abandoned, and the process exits (see `__main__`).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from backends.bert.heads import HEADS
from foundation import program
from sut.errors import RunFailedError, UserError
from sut.executors.base import Executor, Ready
from sut.machine import limits
from sut.queries import loadgen, server_queue
from sut.queries.expected_ends import BatchCost
from sut.queries.loadgen import Plan
from sut.queries.scheduler import Scheduler
from sut.record.wall_clock import WallClock
from sut.running import remote_instances, stall_watch
from sut.running.prepare import Prepared
from sut.running.progress import ProgressLine
from sut.running.region_of_interest import RegionOfInterest
from sut.running.stall_watch import StallWatch
from sut.settings import audit_config

_WATCH_S = 0.1
SWITCH_S = 0.0005  # GIL switch interval: bounds how long LoadGen's callbacks wait; the default is ten times that
_SET_BACK_S = 5.0  # by how much the wall clock may be set back in a test
_LOG_POLL_S = 1.2  # LoadGen writes its logs once a second: lets it write those of a failed run


def scheduler(
    prepared: Prepared, executor: Executor, ready: list[Ready], plan: Plan, roi: RegionOfInterest | None = None
) -> Scheduler:
    """The scheduler of a test; its limits follow the slowest instance."""
    cost = BatchCost(max(one.batch_s for one in ready), max(one.token_s for one in ready))
    limits = server_queue.batch_limits(
        prepared.config.batch_tokens,
        packed=all(one.packed for one in ready),
        batch_s=cost.batch_s,
        token_s=cost.token_s,
        target_latency_s=plan.target_latency_s,
        batch_size=prepared.config.batch_size,
    )
    is_server = prepared.config.scenario == "Server"
    lengths = prepared.features.lengths
    return Scheduler(
        executor,
        lengths,
        HEADS[prepared.task.head].rows(lengths),
        loadgen.complete,
        limits=limits,
        plan_at_issue=not is_server,
        cost=cost if prepared.accelerated else None,
        room=partial(remote_instances.room, executor) if prepared.config.network_division else None,
        on_complete=roi.end if roi else lambda: None,
    )


def run(
    prepared: Prepared,
    plan: Plan,
    scheduler: Scheduler,
    executor: Executor,
    ready: Sequence[Ready],
    roi: RegionOfInterest | None = None,
) -> WallClock:
    """Run LoadGen to its end; returns the clock that it measured with, as watched.

    Raises:
        RunFailedError: it failed, and LoadGen's thread is then abandoned.
    """
    thread = threading.Thread(
        target=_loadgen, args=(prepared, plan, scheduler, executor, roi), name="loadgen", daemon=True
    )
    sys.setswitchinterval(SWITCH_S)
    total = prepared.samples if prepared.config.mode == "accuracy" else None
    clock, watch = WallClock(), StallWatch(stall_watch.limit_s(prepared.config, ready))
    try:
        with ProgressLine(plan, scheduler.progress, total, sum(one.samples_per_s for one in ready)) as line:
            with limits.named("start LoadGen"):
                thread.start()
            alive = True
            while alive:
                thread.join(_WATCH_S)
                alive = thread.is_alive()
                line.update()
                clock.update()
                failure = scheduler.failure or executor.failure or _waiting(prepared, clock)
                failure = failure or watch.failure(scheduler.oldest_job, time.monotonic())
                if failure:
                    _abort(prepared, scheduler, executor, failure)
    except KeyboardInterrupt as error:
        _abort(prepared, scheduler, executor, error)
    return clock


def _waiting(prepared: Prepared, clock: WallClock) -> RunFailedError | None:
    """The failure of a test during which the clock was set back: LoadGen issues by it, and would wait for as long."""
    if prepared.config.scenario == "Offline" or clock.step_s > -_SET_BACK_S:
        return None
    return RunFailedError(f"the wall clock, by which LoadGen issues, was set back by {-clock.step_s:.3g} s.")


def _loadgen(
    prepared: Prepared, plan: Plan, scheduler: Scheduler, executor: Executor, roi: RegionOfInterest | None
) -> None:
    def load(indexes: list[int]) -> None:
        prepared.features.touch(indexes)
        if roi:
            roi.begin()

    def name() -> str:
        try:
            return remote_instances.sut_name(executor)
        except Exception as error:  # noqa: BLE001 - LoadGen cannot handle it; raised again on the watching thread
            scheduler.fail(error)
            return "Network SUT of unknown nodes"

    try:
        with limits.named("run LoadGen"):
            loadgen.start_test(
                plan.settings,
                prepared.config.logs,
                samples=prepared.samples,
                issue_queries=scheduler.issue_queries,
                load_query_samples=load,
                flush_queries=scheduler.flush_queries,
                audit_config=audit_config.text(prepared.audit_config),
                sut_name=name if prepared.config.network_division else None,
            )
    except Exception as error:  # noqa: BLE001 - raised again on the watching thread
        scheduler.fail(error)


def _abort(prepared: Prepared, scheduler: Scheduler, executor: Executor, failure: BaseException) -> NoReturn:
    scheduler.fail(failure)  # from here on no query is answered
    program.ignore_interrupts()  # a second Ctrl-C would end the interpreter while LoadGen runs
    executor.close()
    time.sleep(_LOG_POLL_S)
    text = "interrupted" if isinstance(failure, KeyboardInterrupt) else f"{failure}"
    if not isinstance(failure, (KeyboardInterrupt, UserError)):
        text = f"{type(failure).__name__}: {failure}"
    raise RunFailedError(f"the run FAILED: {text.rstrip('.')}. Its logs are in {prepared.config.log_dir}.") from failure
