"""The tables of finished runs on standard output: one run's figures, and runs side by side with their scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from foundation import tables, terminal
from foundation.people_numbers import clock, count, figure, gibibytes
from training.records.figures import Figures, scaling_efficiency
from training.records.training_record import TrainingRecord

Rows = list[tuple[str, str]]
_STATUS = {
    "reached": "target reached",
    "missed": "TARGET NOT REACHED",
    "unfinished": "UNFINISHED: still running, or killed",
    "interrupted": "INTERRUPTED",
    "failed": "FAILED",
}
_COLUMNS = (
    *("run", "world", "result"),
    *("samples", "samples/s", "no eval.", "computing", "tokens/s", "MFU", "scaling"),
)
_WITHOUT_TARGET = "complete, without a target"


def rows_of(record: TrainingRecord) -> Rows:
    """The figures of a run, by name."""
    found = record.figures
    return [
        ("result", status(record)),
        *((("why", record.reason),) if record.reason else ()),
        *_target_rows(record, found),
        ("trained", f"{count(found.steps, 'step')}, {count(found.samples, 'sample')}"),
        ("samples/s", _of(found.samples_per_s, "with evaluations")),
        ("", _of(found.samples_per_s_no_evaluation, "without evaluations")),
        ("", _of(found.samples_per_s_computing, "computing alone, the device waited for")),
        ("tokens/s", _of(found.tokens_per_s, "without evaluations")),
        ("times", _times(found)),
        ("of the peak", _mfu(found)),
        ("memory", f"{gibibytes(found.memory_bytes)} at most, of the first process"),
        ("world", _worlds(record)),
    ]


def status(record: TrainingRecord) -> str:
    """The end of a run in words."""
    if record.status == "reached" and record.target is None:
        return _WITHOUT_TARGET
    return _STATUS[record.status]


def show(record: TrainingRecord, folder: Path) -> None:
    """Print a run's table to standard output."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in (*rows_of(record), *(("note", notice) for notice in record.notices), ("files", str(folder))):
        table.add_row(*row)
    terminal.console().print(table)


def compare(records: Mapping[str, TrainingRecord]) -> None:
    """Print runs side by side, a row each; scaling is over a run of one device with the same settings of training."""
    rows = [_row(name, record, list(records.values())) for name, record in records.items()]
    tables.show(_COLUMNS, rows, _COLUMNS[3:])


def _row(name: str, record: TrainingRecord, all_of_them: Sequence[TrainingRecord]) -> tuple[str, ...]:
    found = record.figures
    rates = (found.samples_per_s, found.samples_per_s_no_evaluation, found.samples_per_s_computing, found.tokens_per_s)
    samples = f"{found.samples_to_target or found.samples:,}"
    shares = (found.mfu, efficiency(record, all_of_them))
    return name, record.shape, record.status, samples, *map(_figure, rates), *map(_percent, shares)


def efficiency(record: TrainingRecord, others: Sequence[TrainingRecord]) -> float | None:
    """Scaling efficiency over the run of one device that trained the same; None if there is none, or world sizes mixed.

    Of samples/s without evaluations: how many evaluations a run has depends on its luck.
    """
    rate = record.figures.samples_per_s_no_evaluation
    one = next((other for other in others if _devices(other) == {1} and _same(other, record)), None)
    base = one.figures.samples_per_s_no_evaluation if one else None
    if rate is None or not base or not record.devices or len(_devices(record)) != 1:
        return None
    return scaling_efficiency(rate, record.devices, base)


def _devices(record: TrainingRecord) -> set[int]:
    return {life.devices for life in record.lives}


def _same(one: TrainingRecord, other: TrainingRecord) -> bool:
    """Whether two runs train the same network on the same kind of device, as far as a record knows it."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("task", "model", "precision", "device", "device_name", "threads")
    )


def _target_rows(record: TrainingRecord, found: Figures) -> Rows:
    if found.score is None or found.best_score is None:
        return []
    name = next(iter(record.evaluations[-1].values), "score") if record.evaluations else "score"
    goal = "" if record.target is None else f" of {record.target:g}"
    rows = [(name, f"{found.score:.4f}{goal}; best {found.best_score:.4f}")]
    if found.samples_to_target is not None and found.seconds_to_target is not None:
        rows.append(
            (
                "to the target",
                f"{count(found.samples_to_target, 'sample')}, {clock(found.seconds_to_target)}; evaluated every "
                f"{found.evaluation_spacing:,}",
            )
        )
    return rows


def _times(found: Figures) -> str:
    parts = {
        "in all": found.e2e_s,
        "training": found.train_s,
        "steps": found.train_no_evaluation_s,
        "computing": found.computing_s,
        "evaluations": found.evaluation_s,
        "checkpoints": found.checkpoint_s,
        "interrupted": found.interrupted_s,
    }
    return ", ".join(f"{name} {figure(seconds)} s" for name, seconds in parts.items() if seconds or name == "in all")


def _mfu(found: Figures) -> str:
    if found.mfu is None or found.peak_flops_per_s is None:
        return "not measured"
    with_attention = _percent(found.mfu_with_attention)
    peak = f"{figure(found.peak_flops_per_s / 1e9)} GFLOP/s a device"
    return f"{_percent(found.mfu)} at 6·N a token, {with_attention} with attention; peak {peak}"


def _worlds(record: TrainingRecord) -> str:
    lives = [f"{count(life.devices, 'device')} from step {life.first_step or 0:,}" for life in record.lives]
    found = record.figures
    again = f"{count(found.restarts, 'restart')}, {count(found.samples_again, 'sample')} trained again"
    restarts = f"; {again}" if found.restarts else ""
    return f"{record.shape}, {', '.join(lives) if len(lives) > 1 else record.device_name}{restarts}"


def _of(rate: float | None, what: str) -> str:
    return f"{_figure(rate)} {what}"


def _figure(value: float | None) -> str:
    return "–" if value is None else figure(value)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
