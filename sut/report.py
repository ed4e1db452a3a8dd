"""What a person reads at the start and at the end of a run. Tables go to standard output, progress does not."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from accuracy import report as accuracy_report
from accuracy.squad import Score
from sut.loadgen import Plan
from sut.prepare import Prepared
from sut.results import Result
from sut.scheduler import Progress

TRIAL = "trial run (--execution-mode test): not submittable"
RANDOM = "random weights: for speed alone, the answers mean nothing"

Rows = list[tuple[str, str]]


def notices(prepared: Prepared) -> list[str]:
    """What must stand beside every figure of this run."""
    found = [TRIAL] if prepared.config.is_trial else []
    return found + ([RANDOM] if prepared.model.is_random else [])


def opening(prepared: Prepared, plan: Plan) -> str:
    """One line that says what is about to run and for how long."""
    config = prepared.config
    what = f"{config.scenario} {config.mode}, {config.model} on {config.backend} {config.precision}"
    where = f"{config.instances} × {config.threads} threads"
    much = f"{prepared.samples} samples" if config.mode == "accuracy" else _queries(config.scenario, plan)
    return f"{what}, {where}, {much}"


def _queries(scenario: str, plan: Plan) -> str:
    noun = "samples in one query" if scenario == "Offline" else "queries"
    duration = f" and {plan.min_duration_s:g} s" if plan.min_duration_s else ""
    qps = "" if plan.target_qps is None else f", target_qps {plan.target_qps:.4g}"
    return f"at least {plan.min_query_count} {noun}{duration}{qps}"


def performance_rows(scenario: str, result: Result, progress: Progress) -> Rows:
    """Verdict, reasons, headline, percentiles, tokens."""
    rows = [("result", "VALID" if result.valid else "INVALID")]
    rows += [("why", reason) for reason in result.reasons]
    if result.value is not None:
        rows.append((result.metric.partition(",")[0], f"{result.value:.4g} {result.unit}{_after_comma(result.metric)}"))
    if scenario != "Offline":  # where latency is only how long ago the one query was issued
        rows += [(f"latency p{float(p):g}", f"{ms:.3f} ms") for p, ms in result.latency_ms.items()]
    return rows + throughput_rows(progress)


def _after_comma(words: str) -> str:
    _, comma, rest = words.partition(",")
    return comma + rest


def throughput_rows(progress: Progress) -> Rows:
    """Samples, tokens and padding as the scheduler counted them."""
    seconds = max(progress.last_answer_s - progress.first_issue_s, 1e-9)
    wasted = 1 - progress.tokens / progress.computed_tokens if progress.computed_tokens else 0.0
    return [
        ("samples", f"{progress.completed} in {seconds:.2f} s, {progress.completed / seconds:.1f} a second"),
        ("tokens", f"{progress.tokens / seconds:,.0f} a second"),
        ("padding", f"{wasted:.2%} of the computed tokens"),
    ]


def accuracy_rows(score: Score, prepared: Prepared) -> Rows:
    """The scorer's own summary, cut into rows."""
    lines = accuracy_report.summary(score, prepared.target).splitlines()
    rows = [("score", accuracy_report.accuracy_line(score))]
    for line in lines:
        head, _, rest = line.partition("  ")
        rows.append((head.strip(), rest.strip()) if rest else ("", line))
    if prepared.target is None and score.is_complete:
        rows.append(("target", "none applies to this model and data; name one with --target"))
    return rows


def closing(prepared: Prepared, rows: Rows) -> None:
    """Print the table of a run that ended."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in [
        *rows,
        *(("note", notice) for notice in notices(prepared)),
        ("logs", str(prepared.config.log_dir)),
    ]:
        table.add_row(name, value)
    Console(highlight=False).print(table)
