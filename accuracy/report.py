"""A score as accuracy.txt for the submission checkers, as predictions in SQuAD's form, and as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from accuracy.targets import METRICS
from foundation import atomic_write
from foundation.bounded_readers import SETTINGS_BYTES, read_json

if TYPE_CHECKING:
    from accuracy.score import Score
    from accuracy.targets import Target

ACCURACY_FILE = "accuracy.txt"
PREDICTIONS_FILE = "predictions.json"
RUN_FILE = "run.json"


def accuracy_line(score: Score) -> str:
    """The score's metrics as JSON, full digits; of SQuAD the line that the submission checkers look for:
    {"exact_match": …, "f1": …}."""
    return json.dumps(score.metrics)


def write_accuracy(score: Score, output_dir: Path, notices: Iterable[str] = ()) -> Path:
    """Write accuracy.txt into `output_dir`, made if need be: the score's line, then what must stand beside it.

    Raises:
        OSError: it cannot be written.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    return atomic_write.write_text(output_dir / ACCURACY_FILE, "\n".join([accuracy_line(score), *notices]) + "\n")


def notices_beside(log_file: Path) -> list[str]:
    """What the run that wrote `log_file` says must stand beside its figures; empty where no run.json is there."""
    try:
        return [str(notice) for notice in read_json(log_file.parent / RUN_FILE, SETTINGS_BYTES)["notices"]]
    except (ValueError, KeyError, TypeError):
        return []


def write_predictions(score: Score, path: Path) -> Path:
    """Write {question id: text} as JSON, what SQuAD's official evaluation reads; of SST-2 {row: negative or positive}.
    Answered ones only.

    Raises:
        OSError: it cannot be written.
    """
    return atomic_write.write_text(path, json.dumps(score.predictions, indent=0, ensure_ascii=False) + "\n")


def passes(score: Score, target: Target | None) -> bool:
    """All samples were answered, and the target, if there is one, is met."""
    return score.is_complete and (target is None or target.is_met(score.metrics[target.metric]))


def summary(score: Score, target: Target | None) -> str:
    """Coverage, interval and verdict, for people, a few lines without a final newline."""
    lines = score.lines()
    if score.duplicates:
        lines.append(f"duplicates  {score.duplicates} entries repeat a sample; its last entry counts")
    return "\n".join([*lines, *_verdict(score, target)])


def _verdict(score: Score, target: Target | None) -> list[str]:
    if not score.is_complete:
        missing = score.total_sample_count - score.samples_answered
        return [f"NO ACCURACY RESULT: {missing} samples are missing, and count 0 in the first line"]
    if target is None:
        return []
    value = score.metrics[target.metric]
    verdict = "PASS" if target.is_met(value) else "FAIL"
    line = f"{verdict}        {METRICS[target.metric]} {value:.5f}, {target.name} wants {target.value:.5f} or more"
    wanted = target.total_sample_count
    if wanted in (None, score.total_sample_count):
        return [line]
    return [
        line,
        f"note        {target.name} is set on {wanted} samples; this data set has {score.total_sample_count}",
    ]
