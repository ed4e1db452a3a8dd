"""The text at the start and the table at the end of a run; only tables go to standard output."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence

from rich.table import Table

from accuracy import report as accuracy_report
from accuracy.score import Score
from accuracy.targets import Target
from foundation import log_files, terminal
from foundation.people_numbers import count, figure
from foundation.rules import SCENARIOS
from sut.processes import run_process
from sut.queries.loadgen import Plan
from sut.queries.scheduler import QueryCounters
from sut.record import tuned
from sut.record.detail_log import Judged
from sut.record.measurements import Batches
from sut.record.nodes import NodeLoss, NodeRecord
from sut.record.run_record import RunRecord
from sut.running import target
from sut.running.prepare import Prepared
from sut.settings.settings import RunConfig

Rows = list[tuple[str, str]]
_TOO_FEW = "not estimated: LoadGen needs more queries for its percentile. Type --test-query-count with more"


def what(config: RunConfig, precision: str) -> str:
    """The run in one line."""
    return f"{config.scenario} {config.mode}: {config.task}, {config.model} on {config.backend} {precision}"


def opening(prepared: Prepared) -> str:
    """The run and where it runs in two lines, the settings that it found, and the notices."""
    config = prepared.config
    where = count(prepared.instances, "instance")
    where += (
        f" × {count(config.threads or 1, 'thread')}"
        if prepared.places
        else f" on {config.node or 'the nodes of a Ray cluster'}"
    )
    settings = [f"LoadGen's settings from {config.user_conf}"] if config.user_conf else []
    first = what(config, prepared.precision)
    return "\n".join([first, where, *_zeros(prepared), *server(prepared), *settings, *remarks(prepared)])


def remarks(prepared: Prepared) -> list[str]:
    """The notices and the warnings."""
    return [*prepared.notices, *(f"warning: {text}" for text in prepared.warnings)]


def loading(prepared: Prepared) -> str:
    """What happens between the opening and the first query."""
    return f"loading {prepared.config.model} into {count(prepared.instances, 'instance')} and warming up"


def length(prepared: Prepared, plan: Plan) -> str:
    """How long the run is, in words."""
    is_whole = prepared.config.mode == "accuracy"
    return f"{prepared.samples:,} samples" if is_whole else queries(prepared.config.scenario, plan)


def _zeros(prepared: Prepared) -> list[str]:
    if prepared.zero_weights is None:
        return []
    return [f"{prepared.zero_weights:.1%} of the graph's weights are zero"]


def server(prepared: Prepared) -> list[str]:
    """The model of another server in one line; none if the model is our own."""
    served = prepared.model.served
    if served is None:
        return []
    name = " ".join(filter(None, [served.name, served.version])) or "a server without a name"
    platform = f", platform {served.platform}" if served.platform else ""
    return [f"model {served.model!r} at {served.address} ({served.protocol}): {name}{platform}"]


def queries(scenario: str, plan: Plan) -> str:
    """The least length of a performance run in words."""
    noun = "samples in one query" if scenario == "Offline" else "queries"
    duration = f" and {figure(plan.min_duration_s)} s" if plan.min_duration_s else ""
    qps = "" if plan.target_qps is None else f", target_qps {figure(plan.target_qps)}"
    limit_s, percentile = plan.target_latency_s, SCENARIOS[scenario].percentile
    limit = "" if limit_s is None else f", limit {figure(1e3 * limit_s)} ms at the {percentile}th percentile"
    return f"at least {plan.min_query_count:,} {noun}{duration}{qps}{limit}"


def performance_rows(scenario: str, judged: Judged, progress: QueryCounters, goal: Target | None) -> Rows:
    """The rows of a performance run: verdict, reasons, LoadGen's figure, the target, percentiles, tokens."""
    result = judged.result
    rows = [("result", "VALID" if result.valid else "INVALID")]
    rows += [("why", reason) for reason in judged.reasons]
    estimate = "" if result.percentile is None else f", estimated {result.percentile:g}th percentile"
    value = _TOO_FEW if result.value is None else f"{figure(result.value)} {result.unit}{estimate}"
    rows += [(result.metric, value), ("  counted", result.counted)]
    rows += [target.row(goal, result)] if goal else []
    if scenario != "Offline":  # there is one query, so its latency is the duration of the run
        rows += [(f"  p{float(p):g}", f"{ms:,.3f} ms") for p, ms in result.latency_ms.items()]
    return rows + throughput_rows(progress)


def throughput_rows(progress: QueryCounters) -> Rows:
    """Rows of samples, tokens and padding, as counted by the scheduler."""
    seconds = progress.window_s
    wasted = 1 - progress.tokens / progress.computed_tokens if progress.computed_tokens else 0.0
    return [
        ("samples", f"{progress.completed:,} in {figure(seconds)} s, {figure(progress.completed / seconds)} a second"),
        ("tokens", f"{progress.tokens:,}, {progress.tokens / seconds:,.0f} a second"),
        ("padding", f"{wasted:.2%} of the computed tokens"),
    ]


def engine_remarks(record: RunRecord) -> list[str]:
    """What the loaded engines say of themselves, each once."""
    return list(dict.fromkeys(one.remark for one in record.instances_ready or () if one.remark))


def batch_rows(batches: Batches | None) -> Rows:
    """The row of batch times in the instances, over all samples."""
    if batches is None or not batches.batch_latency_ms:
        return []
    found = batches.batch_latency_ms
    times = ", ".join(f"{name} {figure(found[name])}" for name in ("p50", "p99", "p99.9"))
    of = f"{batches.batches:,} in {count(len(batches.instances), 'instance')}"
    return [("batches", f"{of}; {times} ms each")]


def hint_rows(record: RunRecord) -> Rows:
    """A row if the machine was far faster when it was tuned."""
    cache_dir = record.config.cache_dir
    if record.machine is None or cache_dir is None or record.config.is_on_nodes:
        return []
    hint = tuned.hint(record, tuned.read(tuned.path(record, cache_dir)))
    return [("faster", hint)] if hint else []


def node_rows(nodes: Sequence[NodeRecord] | None) -> Rows:
    """A row for each node, and for each time that one was lost."""
    rows: Rows = []
    for node in nodes or ():
        did = f"{node.samples:,} samples in {node.batches:,} batches, {count(node.instances, 'instance')}"
        rows.append((f"node {node.address}", did))
        rows += [("  lost", _loss(loss)) for loss in node.losses]
    return rows


def _loss(loss: NodeLoss) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(loss.unix_s))
    back = "" if loss.back_unix_s is None else f"; back after {loss.back_unix_s - loss.unix_s:.1f} s"
    who = "" if loss.address is None else f"{loss.address} before it, "
    return f"{who}at {at}: {loss.reason}; {count(loss.jobs_moved, 'batch', 'batches')} moved{back}"


def accuracy_rows(score: Score, errors: list[str], prepared: Prepared) -> Rows:
    """The rows of an accuracy run: the scorer's summary and the errors that LoadGen logged."""
    lines = accuracy_report.summary(score, prepared.target).splitlines()
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in score.metrics.items())
    rows = [("score", f"{metrics} over all samples"), *(("INVALID", error) for error in errors)]
    for line in lines:
        head, _, rest = line.partition("  ")
        rows.append((head.strip(), rest.strip()) if rest else ("", line))
    if prepared.target is None and score.is_complete:
        rows.append(("target", "none applies to this model and data; set one with --target"))
    return rows


def without_a_result(config: RunConfig) -> str:
    """What the logs of a run are good for that LoadGen has finished and that has no result of ours."""
    if config.mode != "accuracy":
        return f"LoadGen's own verdict is in {config.logs / log_files.SUMMARY}."
    words = ["--task", config.task, "--log-file", config.logs / log_files.ACCURACY, "--dataset", config.dataset]
    words += ["--vocab", config.vocab]
    return f"To score its log, type: {shlex.join(['python', '-m', 'accuracy', *map(str, words)])}"


def closing(prepared: Prepared, rows: Rows) -> None:
    """Print the final table of a run."""
    zeros = [("weights", text) for text in _zeros(prepared)]
    show([*rows, *zeros, *note_rows(prepared), ("logs", str(run_process.shown(prepared.config.logs)))])


def note_rows(prepared: Prepared) -> Rows:
    """A row for each notice and each warning."""
    notes = [("note", notice) for notice in prepared.notices]
    return [*notes, *(("warning", text) for text in prepared.warnings)]


def show(rows: Rows) -> None:
    """Print names and values as a table on standard output."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    terminal.console().print(table)
