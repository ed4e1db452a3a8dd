"""Writes a score: as accuracy.txt for the submission checkers, as predictions in SQuAD's form, and as text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accuracy.targets import METRICS
from foundation import atomic_write, log_files
from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_json
from foundation.typed_json import decode

if TYPE_CHECKING:
    from accuracy.score import Score
    from accuracy.targets import Target


def accuracy_line(score: Score) -> str:
    """The metrics as one line of JSON with all digits; for SQuAD the line that the submission checkers parse,
    {"exact_match": …, "f1": …}."""
    return json.dumps(score.metrics)


def write_accuracy(score: Score, output_dir: Path, notices: Iterable[str] = ()) -> Path:
    """Write accuracy.txt into `output_dir`, which is created if missing: the score's line, then the notices.

    Raises:
        OSError: it cannot be written.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    return atomic_write.write_text(
        output_dir / log_files.ACCURACY_TXT, "\n".join([accuracy_line(score), *notices]) + "\n"
    )


@dataclass(frozen=True)
class _Noticed:
    """The one key of run.json that is read here; `sut.record` holds them all."""

    notices: tuple[str, ...]


def notices_beside(log_file: Path) -> list[str]:
    """The notices in the run.json next to `log_file`, which belong to its figures; empty if there is no run.json."""
    try:
        return list(decode(_Noticed, read_json(log_file.parent / log_files.RUN, SETTINGS_BYTES)).notices)
    except UnreadableError:
        return []


def write_predictions(score: Score, path: Path) -> Path:
    """Write the answers as JSON: {question id: text}, as SQuAD's official evaluation reads it; or {row: label}.

    Only answered samples are written.

    Raises:
        OSError: it cannot be written.
    """
    return atomic_write.write_text(path, json.dumps(score.predictions, indent=0, ensure_ascii=False) + "\n")


def passes(score: Score, target: Target | None) -> bool:
    """True if all samples were answered and the target, if there is one, is met."""
    return score.is_complete and (target is None or target.is_met(score.metrics[target.metric]))


def summary(score: Score, target: Target | None) -> str:
    """Coverage, confidence interval and verdict: a few lines of text, without a final newline."""
    lines = score.lines()
    if score.duplicates:
        lines.append(f"duplicates  {score.duplicates} entries repeat a sample; its last entry counts")
    return "\n".join([*lines, *_verdict(score, target)])


def _verdict(score: Score, target: Target | None) -> list[str]:
    if not score.is_complete:
        missing = score.total_sample_count - score.samples_answered
        return [f"NO ACCURACY RESULT: {missing:,} samples are missing; the score over all samples counts them as 0"]
    if target is None:
        return []
    value = score.metrics[target.metric]
    verdict = "PASS" if target.is_met(value) else "FAIL"
    name = METRICS.get(target.metric, target.metric)
    line = f"{verdict}        {name} {value:.5f}, {target.name} requires {target.value:.5f} or more"
    official = target.total_sample_count
    if official in (None, score.total_sample_count):
        return [line]
    found = f"this data set has {score.total_sample_count:,}"
    return [line, f"note        {target.name} is defined for {official:,} samples; {found}"]
