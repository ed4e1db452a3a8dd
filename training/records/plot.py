"""training.png and training.svg: the loss of each step and the score of each evaluation over the samples trained.

Matplotlib is imported only here, when there is something to draw.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.records import run_table, steps_table
from training.records.steps_table import StepRow
from training.records.training_record import TrainingRecord

NAMES = ("training.png", "training.svg")
_INCHES, _DPI = (9.0, 6.5), 150
_LOSS, _SCORE, _TARGET = "#0072B2", "#D55E00", "#009E73"  # distinguishable with colour blindness
_MEANS = 150  # points of the smoothed loss
_POINTS = 4000  # of the raw loss at most


def draw(record: TrainingRecord, folder: Path) -> tuple[Path, ...]:
    """Draw the run in `folder` into it; returns the files.

    Raises:
        ImportError: matplotlib is not installed.
        UsageError: the table of its steps is broken.
    """
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=_INCHES, dpi=_DPI, layout="constrained")
    canvas.suptitle(_title(record), fontsize=10)
    above, below = canvas.subplots(2, 1, sharex=True, height_ratios=(1, 1))
    _draw_loss(above, steps_table.read(folder))
    _draw_scores(below, record)
    for panel in (above, below):
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        for life in record.lives[1:]:
            panel.axvline(_samples_at(record, life.first_step), color="black", alpha=0.4, linestyle=":")
    below.set_xlabel("samples trained" + "; dotted: a restart" * (len(record.lives) > 1))
    below.xaxis.set_major_formatter("{x:,.0f}")
    paths = tuple(folder / name for name in NAMES)
    for path in paths:
        canvas.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def smoothed(values: Sequence[float], most: int = _MEANS) -> tuple[list[float], list[float]]:
    """Means of equal stretches: the middle of each, as an index into `values`, and its mean."""
    edges = np.linspace(0, len(values), min(most, len(values)) + 1).astype(int)
    stretches = list(itertools.pairwise(edges))
    middles = [float(start + end - 1) / 2 for start, end in stretches]
    return middles, [float(np.mean(values[start:end])) for start, end in stretches]


def _title(record: TrainingRecord) -> str:
    known = record.hyperparameters
    heading = (
        f"{record.task}, {record.shape}, {record.precision}, batch {known.global_batch_size:,}, seed {record.seed}"
    )
    return "\n".join([f"{heading}: {run_table.status(record)}", *record.notices])


def _draw_loss(panel: Any, rows: Sequence[StepRow]) -> None:
    samples, losses = [row.samples for row in rows], [row.loss for row in rows]
    every = max(1, len(rows) // _POINTS)
    panel.plot(samples[::every], losses[::every], color=_LOSS, alpha=0.25, linewidth=0.8)
    if rows:
        middles, means = smoothed(losses)
        panel.plot(np.interp(middles, range(len(samples)), samples), means, color=_LOSS, linewidth=1.8)
    panel.set_ylabel("training loss")


def _draw_scores(panel: Any, record: TrainingRecord) -> None:
    evaluations = record.evaluations
    name = next(iter(evaluations[-1].values)) if evaluations else "score"
    panel.plot([one.samples for one in evaluations], [one.score for one in evaluations], color=_SCORE, marker="o",
               markersize=4, label="evaluation")  # fmt: skip
    if record.target is not None:
        panel.axhline(record.target, color=_TARGET, linestyle="--", label=f"target {record.target:g}")
    panel.set_ylabel(name)
    if evaluations or record.target is not None:
        panel.legend(fontsize=8, loc="lower right")


def _samples_at(record: TrainingRecord, step: int | None) -> float:
    """Samples before a step: the batch is the same from the first to the last."""
    return ((step or 1) - 1) * record.samples / max(record.steps, 1)
