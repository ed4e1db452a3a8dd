"""Reads logits from LoadGen's mlperf_log_accuracy.json.

An entry is raw bytes without a type or a shape. Both are inferred from all entries together: one dtype and one length
(each sample's own, or max_seq_length for all) must fit every entry, so that a log of another data set or another
precision is an error and never a low score.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from foundation.arrays import Bool, Float32, Int64
from foundation.bounded_readers import UnreadableError, parse_json, read_bytes
from foundation.errors import UserError
from foundation.rules import MAX_SEQ_LENGTH

DType = Literal["float32", "float16"]

_MOST_BYTES = 4 << 30  # an answer of BERT is 6 kB in hexadecimal, SQuAD is 65 MB of them
RANKED_PADDING = 32  # rows of padding that suffice: a scorer ranks at most the 20 best rows of a sample
PAD_LOGIT = -10000.0  # the reference's value beyond the end of answers shorter than max_seq_length
_LITTLE_ENDIAN: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


class AccuracyLogError(UserError, ValueError):
    """An accuracy log that cannot be scored; the message says what was expected, what was found and what to type."""


@dataclass(frozen=True)
class AnswerLayout:
    """The layout of every answer of a log: max_seq_length rows if `padded`, otherwise one row per token."""

    dtype: DType
    padded: bool

    def sizes(self, lengths: Int64, max_seq_length: int) -> Int64:
        """The size in bytes of answers to samples of `lengths` tokens; both int64 [N]."""
        rows: Int64 = np.full_like(lengths, max_seq_length) if self.padded else lengths
        return rows * (2 * _LITTLE_ENDIAN[self.dtype].itemsize)

    def __str__(self) -> str:
        return f"{self.dtype}, {'padded' if self.padded else 'cut to true length'}"


LAYOUTS = (
    AnswerLayout("float32", padded=False),
    AnswerLayout("float32", padded=True),
    AnswerLayout("float16", padded=False),
    AnswerLayout("float16", padded=True),
)


@dataclass(frozen=True)
class LoggedLogits:
    """A complete log, for N samples of the data set; S is max_seq_length, or less if all samples are far shorter."""

    logits: Float32  # [N, S, 2] start and end; PAD_LOGIT where the log has no value
    answered: Bool  # [N]
    duplicates: int  # number of entries that repeat a qsl_idx; its last entry counts
    layout: AnswerLayout


def read_logits(
    path: Path,
    lengths: Int64,
    *,
    max_seq_length: int = MAX_SEQ_LENGTH,
    dtype: DType | None = None,
    transposed: bool = False,
) -> LoggedLogits:
    """Read the log at `path`, with answers of [rows, 2] each.

    Args:
        lengths: rows of the answer to each sample of the data set (its number of tokens, or 1), int64 [N].
        dtype: the type of the numbers; None infers it.
        transposed: answers are [2, rows] instead.

    Raises:
        AccuracyLogError: the file is missing, broken or empty; an entry names a sample that the data set lacks; the
            entries' sizes fit no layout, or two that differ in dtype; a sample's logits are not finite.
    """
    if int(lengths.max()) > max_seq_length:
        raise AccuracyLogError(
            f"expected samples of at most max_seq_length {max_seq_length} tokens, found one of {int(lengths.max())}. "
            "Give the --max-seq-length that the features were built with."
        )
    indexes, answers = read_entries(path, len(lengths))
    layout = _layout(path, answers, indexes, lengths[indexes], max_seq_length, dtype)
    width = max_seq_length if layout.padded else min(max_seq_length, int(lengths.max()) + RANKED_PADDING)
    logits = _unpack(indexes, answers, layout, transposed, (len(lengths), width, 2))
    _check_finite(path, logits, lengths)
    answered = np.zeros(len(lengths), np.bool_)
    answered[indexes] = True
    return LoggedLogits(logits, answered, len(indexes) - int(answered.sum()), layout)


def read_entries(path: Path, total_sample_count: int) -> tuple[Int64, list[bytes]]:
    """The log's qsl_idx, int64 [M], and its answers' bytes, in the log's order.

    Raises:
        AccuracyLogError: the file is missing, broken or empty, or names a sample beyond `total_sample_count`.
    """
    entries = _parse(path)
    if entries == []:
        raise _no_answers(path)
    try:
        pairs = [(operator.index(entry["qsl_idx"]), entry["data"]) for entry in entries]
        indexes, hexes = zip(*pairs, strict=True)
    except (KeyError, TypeError, ValueError) as error:
        raise AccuracyLogError(
            f'expected LoadGen\'s form in {path} ([{{"seq_id": …, "qsl_idx": …, "data": "hex"}}, …]), '
            f"found something else ({type(error).__name__}: {error}). "
            "Name LoadGen's mlperf_log_accuracy.json with --log-file."
        ) from error
    outside = [index for index in indexes if not 0 <= index < total_sample_count]
    if outside:
        raise AccuracyLogError(
            f"expected qsl_idx from 0 to {total_sample_count - 1}, the data set's samples, found {outside[0]} "
            f"in {path}. "
            "Give the --dataset that the run was made with."
        )
    return np.asarray(indexes, np.int64), _unhex(path, indexes, hexes)


def _parse(path: Path) -> Any:
    try:
        content = read_bytes(path, _MOST_BYTES)
    except UnreadableError as error:
        raise AccuracyLogError(
            f"expected LoadGen's mlperf_log_accuracy.json at {path}, found: {error}. "
            "Name it with --log-file FILE; a run with --mode accuracy writes it."
        ) from error
    if not content.strip():
        raise _no_answers(path)
    try:
        return parse_json(content)
    except UnreadableError as error:
        raise AccuracyLogError(
            f"expected a complete JSON log in {path}, found one that is cut short or broken: {error}. "
            "If the run was killed, run it again; if this is a submission's truncated copy, name the original."
        ) from error


def _no_answers(path: Path) -> AccuracyLogError:
    return AccuracyLogError(
        f"expected answers in {path}, found none: LoadGen logs them in accuracy runs only. "
        "Run again with --mode accuracy."
    )


def _unhex(path: Path, indexes: Iterable[int], hexes: Iterable[Any]) -> list[bytes]:
    answers = []
    for index, text in zip(indexes, hexes, strict=True):
        try:
            answers.append(bytes.fromhex(text))
        except (TypeError, ValueError) as error:
            raise AccuracyLogError(
                f"expected hex digits as the data of qsl_idx {index} in {path}, found something else ({error}). "
                "The log is damaged: run again with --mode accuracy."
            ) from error
    return answers


def _unpack(
    indexes: Int64, answers: list[bytes], layout: AnswerLayout, transposed: bool, shape: tuple[int, int, int]
) -> Float32:
    logits = np.full(shape, PAD_LOGIT, np.float32)
    for index, raw in zip(indexes.tolist(), answers, strict=True):
        values = np.frombuffer(raw, _LITTLE_ENDIAN[layout.dtype])
        rows = values.reshape(2, -1).T if transposed else values.reshape(-1, 2)
        logits[index, : len(rows)] = rows
    return logits


def _layout(
    path: Path, answers: list[bytes], indexes: Int64, lengths: Int64, max_seq_length: int, dtype: DType | None
) -> AnswerLayout:
    """The only layout that fits every entry; `indexes` and `lengths` are those of the entries, [M]."""
    sizes = np.asarray([len(raw) for raw in answers], np.int64)
    candidates = [layout for layout in LAYOUTS if dtype in (None, layout.dtype)]
    expected = np.stack([layout.sizes(lengths, max_seq_length) for layout in candidates])
    fits = expected == sizes  # [candidates, M]
    fitting = [layout for layout, fit in zip(candidates, fits, strict=True) if fit.all()]
    if not fitting:
        closest = int(np.argmax(fits.sum(axis=1)))
        entry = int(np.argmin(fits[closest]))
        raise AccuracyLogError(
            f"expected {expected[closest, entry]} bytes for qsl_idx {indexes[entry]}, an answer of {lengths[entry]} "
            f"rows ({candidates[closest]}, which fits {fits[closest].sum()} of {len(sizes)} entries), found "
            f"{sizes[entry]} in {path}. Give the --dataset, --vocab, --max-seq-length and --dtype of the run."
        )
    if len({layout.dtype for layout in fitting}) > 1:
        raise AccuracyLogError(
            f"expected sizes in {path} that fit one type of numbers only, found sizes that fit both "
            f"{' and '.join(map(str, fitting))}. Say which with --dtype float32 or --dtype float16."
        )
    return fitting[0]


def _check_finite(path: Path, logits: Float32, lengths: Int64) -> None:
    """Padding logits are ignored; only the logits of real tokens must be finite."""
    within = np.arange(logits.shape[1]) < lengths[:, None]
    broken = (~np.isfinite(logits).all(axis=2) & within).any(axis=1)
    if broken.any():
        raise AccuracyLogError(
            f"expected finite logits in {path}, found NaN or infinity in {int(broken.sum())} samples, first in "
            f"qsl_idx {int(np.argmax(broken))}. Run again in a wider precision, or give the right --dtype."
        )
