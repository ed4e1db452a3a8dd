"""The answers of an accuracy run by kind of question and by length, and the wrong ones as examples.

The data set is used only if it still is the one that the run read, by its checksum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from accuracy.answered import AnsweredQuestion
from foundation.bounded_readers import MOST_BYTES, UnreadableError, read_bytes, read_json
from foundation.log_files import PREDICTIONS
from foundation.typed_json import decode
from qsl.base import DatasetError
from sut.record.run_record import RunRecord
from sut.reporting.model import Example
from sut.tasks import TASKS

Groups = Mapping[str, tuple[int, float]]  # group → (answers, mean score)
_EXAMPLES = 40
_PASSAGE = 2000  # characters of an example's passage
_LENGTHS = 5  # groups
T = TypeVar("T", str, int)


@dataclass(frozen=True)
class Answers:
    """The answers of a run; without any, why."""

    questions: tuple[AnsweredQuestion, ...] = ()
    note: str = ""


def read(directory: Path, record: RunRecord) -> Answers:
    """The answers of a run in its log directory."""
    task, dataset = TASKS.get(record.config.task), record.config.dataset
    if record.accuracy is None or task is None or task.answers is None or dataset is None:
        return Answers()
    try:
        said = decode(dict[str, str], read_json(directory / PREDICTIONS, MOST_BYTES))
        sha256 = hashlib.sha256(read_bytes(dataset)).hexdigest()
        if sha256 != (record.checksums or {}).get("dataset", sha256):
            raise UnreadableError("another file than the run read")
        return Answers(tuple(task.answered(dataset, said)))
    except (UnreadableError, DatasetError) as error:
        return Answers(note=f"no single answers: {directory / PREDICTIONS} and {dataset} are needed, found {error}")


def by_kind(questions: Sequence[AnsweredQuestion]) -> Groups:
    """By question word, the most frequent first."""
    groups = _grouped(questions, lambda one: one.kind)
    return dict(sorted(groups.items(), key=lambda item: -item[1][0]))


def by_length(questions: Sequence[AnsweredQuestion], width: int) -> Groups:
    """By words of the passage, in steps of `width`."""
    found = _grouped(questions, lambda one: (one.words - 1) // width)
    return {f"{number * width + 1}–{(number + 1) * width}": found[number] for number in sorted(found)}


def length_width(questions: Sequence[AnsweredQuestion]) -> int:
    """The width of `by_length`'s groups: a multiple of ten for passages, fewer words for sentences."""
    width = max(1, -(-max((one.words for one in questions), default=1) // _LENGTHS))
    return -(-width // 10) * 10 if width > 10 else width


def _grouped(questions: Sequence[AnsweredQuestion], key: Callable[[AnsweredQuestion], T]) -> dict[T, tuple[int, float]]:
    found: dict[T, list[float]] = {}
    for one in questions:
        found.setdefault(key(one), []).append(one.score)
    return {group: (len(scores), sum(scores) / len(scores)) for group, scores in found.items()}


def examples(questions: Sequence[AnsweredQuestion]) -> tuple[Example, ...]:
    """The worst answers that are not right, at most 40."""
    wrong = sorted((one for one in questions if one.score < 1), key=lambda one: one.score)
    return tuple(
        Example(
            question=one.question,
            passage=one.passage[:_PASSAGE] + ("…" if len(one.passage) > _PASSAGE else ""),
            expected=one.expected,
            found=one.found,
            score=one.score,
        )
        for one in wrong[:_EXAMPLES]
    )
