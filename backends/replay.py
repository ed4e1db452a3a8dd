"""A backend without a model that returns stored answers and sleeps for as long as a model might take.

It rehearses a whole submission, which needs a model's answers and hours of run time, with almost no compute. Answers
are found by the sample's tokens, so batching and order do not matter. `--model` names the answers that
`python -m submission.submit.rehearsal` stored from an accuracy run:

    replay:answers.npz                  without delay
    replay:answers.npz,sample_ms=25     a batch takes 25 ms for each of its samples
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backends import BACKENDS
from backends.base import Backend, Batch
from backends.bert.model import Model
from backends.errors import BackendError
from foundation import atomic_write
from foundation.array_files import read_arrays
from foundation.arrays import Float32
from foundation.bounded_readers import UnreadableError
from foundation.people_numbers import typed

REPLAY = "replay"
_SLEEP = "sample_ms"
_DIGEST_BYTES = 16


def read_spec(spec: str) -> tuple[Path, float]:
    """The file of answers and the milliseconds per sample, from `replay:FILE` or `replay:FILE,sample_ms=NUMBER`.

    Raises:
        BackendError: it is neither, or there is no such file.
    """
    head, _, rest = spec.partition(":")
    name, _, pair = rest.partition(",")
    key, _, number = pair.partition("=")
    sample_ms = typed(number or "0")
    if head != REPLAY or key not in ("", _SLEEP) or sample_ms is None:
        raise BackendError(
            f"expected the answers of a run as the replay backend's model, found {spec}. "
            f"Type replay:FILE or replay:FILE,{_SLEEP}=NUMBER, a number from 0."
        )
    if not Path(name).is_file():
        raise BackendError(
            f"expected stored answers in {name or 'a file'}, found none. To store those of an accuracy run, type: "
            "python -m submission.submit.rehearsal LOG_DIR answers.npz"
        )
    return Path(name), sample_ms


def write_answers(path: Path, answers: Iterable[tuple[npt.NDArray[np.integer], Float32]]) -> None:
    """Store each sample's token ids, [its length], with its answer, float32 [rows, 2]."""
    digests, logits = zip(*((_digest(ids), answer) for ids, answer in answers), strict=True)
    lengths = [len(answer) for answer in logits]
    with atomic_write.replacing(path) as file:
        np.savez(
            file,
            digests=np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            logits=np.concatenate(logits).astype(np.float32),
        )


class ReplayBackend(Backend):
    """Answers that were stored by `write_answers`, found by the sample's token ids."""

    name = REPLAY
    packed = True
    entry = BACKENDS[REPLAY]

    def load(self, model: Model) -> None:
        """Open the stored answers. Raises BackendError if they cannot be read."""
        path, sample_ms = read_spec(model.spec)
        self._sample_s = sample_ms / 1e3
        stored = _open(path)
        self._logits = stored["logits"]
        offsets = stored["offsets"].tolist()
        self._where = {
            digest.tobytes(): where for digest, where in zip(stored["digests"], pairwise(offsets), strict=True)
        }

    def warm_up(self, shapes: Iterable[tuple[int, int]]) -> None:
        """As slow as other batches; there are no stored answers to blank samples."""
        for samples, _ in shapes:
            time.sleep(samples * self._sample_s)

    def infer(self, batch: Batch) -> Float32:
        """The stored answers. Raises BackendError for a sample without one."""
        time.sleep(len(batch) * self._sample_s)
        ends = pairwise(batch.cu_seqlens.tolist())
        return np.concatenate([self._answer(batch.input_ids[start:stop]) for start, stop in ends])

    def _answer(self, ids: npt.NDArray[np.integer]) -> Float32:
        where = self._where.get(_digest(ids))
        if where is None:
            raise BackendError(
                "expected stored answers to every sample of this data set, found a sample without one. Check --model."
            )
        found: Float32 = self._logits[slice(*where)]
        return found


def _digest(ids: npt.NDArray[np.integer]) -> bytes:
    return hashlib.blake2b(ids.astype("<i4").tobytes(), digest_size=_DIGEST_BYTES).digest()


def _open(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        stored = read_arrays(path, ("digests", "offsets", "logits"))
        if not _fit(**stored):
            raise UnreadableError("arrays that do not fit each other")
        return stored
    except UnreadableError as error:
        raise BackendError(
            f"expected answers as submission.submit.rehearsal writes them in {path}, found: {error}. "
            f"Type: python -m submission.submit.rehearsal LOG_DIR {path}"
        ) from error


def _fit(digests: npt.NDArray[Any], offsets: npt.NDArray[Any], logits: npt.NDArray[Any]) -> bool:
    """Whether they are uint8 [samples, _DIGEST_BYTES], int64 [samples + 1] that rises from 0, and float32 [rows, 2]."""
    samples, rows = offsets.size - 1, len(logits) if logits.ndim else 0
    kinds = [(array.dtype.name, array.shape) for array in (digests, offsets, logits)]
    if kinds != [("uint8", (samples, _DIGEST_BYTES)), ("int64", (samples + 1,)), ("float32", (rows, 2))]:
        return False
    return bool(offsets.size and offsets[0] == 0 and offsets[-1] == rows and (np.diff(offsets) >= 0).all())
