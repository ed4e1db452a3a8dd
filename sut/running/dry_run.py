"""`run --dry-run`: what a run would do, after every check that needs no instance; nothing is built or loaded."""

from __future__ import annotations

import shlex

from foundation.people_numbers import count
from sut.queries import loadgen
from sut.running import engines, find_peak, terminal_report
from sut.running.prepare import Prepared, prepare
from sut.running.terminal_report import Rows
from sut.settings.resolve import to_flags
from sut.settings.settings import RunConfig


def show(config: RunConfig) -> None:
    """Print the run that `config` stands for.

    Raises:
        UsageError, DatasetError, BackendError: it cannot be made.
    """
    prepared = prepare(config, builds=False)
    run = ("run", terminal_report.what(prepared.config, prepared.precision))
    command = ("command", shlex.join(["python", "-m", "sut", "run", *to_flags(config)]))
    terminal_report.show([run, *_rows(prepared), *terminal_report.note_rows(prepared), command])


def _rows(prepared: Prepared) -> Rows:
    config = prepared.config
    where = [*(("server", line) for line in terminal_report.server(prepared)), ("instances", _instances(prepared))]
    engine = [("engine", _engine(prepared))] if engines.needs_engine(config) else []
    conf = [("user.conf", str(config.user_conf))] if config.user_conf else []
    logs = "a new directory below runs/" if config.log_dir is None else str(config.log_dir)
    samples = ("samples", f"{prepared.samples:,} of {config.dataset}")
    return [*where, *engine, samples, ("length", _length(prepared)), *conf, ("logs", logs)]


def _instances(prepared: Prepared) -> str:
    config = prepared.config
    if not prepared.places:
        return f"on {config.node or 'the nodes of a Ray cluster'}, which plan their own cores"
    threads = count(config.threads or 1, "thread")
    return f"{len(prepared.places)} × {threads}, batches of at most {config.batch_tokens:,} tokens"


def _engine(prepared: Prepared) -> str:
    return "is built first, which takes minutes" if prepared.model.engine is None else str(prepared.model.engine)


def _length(prepared: Prepared) -> str:
    config = prepared.counted
    if config.mode == "accuracy":
        return "each sample once"
    if config.find_peak:
        return find_peak.about(config)
    if config.is_trial and config.test_query_count is None:
        return f"a trial of about {loadgen.TEST_SECONDS} s at the speed that is measured first"
    plan = loadgen.plan(config, prepared.task.model_key, prepared.samples, 1.0, prepared.user_conf)
    return terminal_report.queries(config.scenario, plan)
