"""What a backend is: packed token ids in, one pair of logits per token out, or one per sample (`heads.py`).

A `Batch` is packed, not padded: an engine that can run packed tokens wastes nothing, and one that needs a rectangle
asks for the padded view. Nothing here knows of LoadGen, queries or data sets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from backends.bert.config import BertConfig
from backends.bert.model import Model
from backends.errors import BackendError
from foundation.arrays import Float32, Int64


@dataclass(frozen=True)
class Padded:
    """The rectangle of a batch: B samples, each filled up with zeros to the longest, S tokens."""

    input_ids: Int64  # [B, S]
    token_type_ids: Int64  # [B, S]
    attention_mask: Int64  # [B, S], 1 for a token, 0 for padding


@dataclass(frozen=True)
class Batch:
    """B samples laid end to end, T tokens in all; sample i owns tokens `cu_seqlens[i]:cu_seqlens[i + 1]`."""

    input_ids: Int64  # [T]
    token_type_ids: Int64  # [T]
    position_ids: Int64  # [T]
    cu_seqlens: Int64  # [B + 1]

    @classmethod
    def of(cls, samples: Sequence[tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]]) -> Batch:
        """A batch out of (input_ids, token_type_ids) pairs, each of one sample's length."""
        lengths = [len(ids) for ids, _ in samples]
        return cls(
            np.concatenate([ids for ids, _ in samples]).astype(np.int64),
            np.concatenate([types for _, types in samples]).astype(np.int64),
            np.concatenate([np.arange(length) for length in lengths]),
            np.concatenate([[0], np.cumsum(lengths)]),
        )

    @classmethod
    def blank(cls, samples: int, length: int) -> Batch:
        """`samples` samples of `length` tokens, all of them id 0: for warming up."""
        zeros = np.zeros(length, np.int64)
        return cls.of([(zeros, zeros)] * samples)

    def __len__(self) -> int:
        return len(self.cu_seqlens) - 1

    @property
    def tokens(self) -> int:
        return len(self.input_ids)

    @property
    def lengths(self) -> Int64:
        return np.diff(self.cu_seqlens)

    @property
    def max_length(self) -> int:
        return int(self.lengths.max())

    @property
    def rows(self) -> Int64:
        """The sample that each token belongs to, int64 [T]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def padded(self) -> Padded:
        """The same samples as a rectangle."""
        shape, where = (len(self), self.max_length), (self.rows, self.position_ids)
        ids, types, mask = (np.zeros(shape, np.int64) for _ in range(3))
        ids[where], types[where], mask[where] = self.input_ids, self.token_type_ids, 1
        return Padded(ids, types, mask)

    def pack(self, padded: npt.NDArray[np.float32]) -> Float32:
        """Answers of the padded view, [B, S, ...], cut back to [T, ...]: padding never leaves a backend."""
        return np.ascontiguousarray(padded[self.rows, self.position_ids], dtype=np.float32)


@dataclass(frozen=True)
class Options:
    """What a user can choose about any backend."""

    precision: str = "fp32"
    threads: int = 1
    fpmath_mode: str = "strict"  # "bf16": float32 products may be multiplied in bfloat16, ARM's fast math
    gpu: int = 0  # which of the GPUs that this process sees


class Pending(NamedTuple):
    """A batch that was begun: whether its answers can be had without waiting, and the answers, float32 [T, 2]."""

    is_ready: Callable[[], bool]
    answers: Callable[[], Float32]


@dataclass(frozen=True)
class Accelerator:
    """A device that computes instead of the machine's cores, as its driver knows it."""

    name: str
    memory_bytes: int
    capability: tuple[int, int]  # of an NVIDIA GPU, its generation

    def batch_tokens(self, config: BertConfig) -> int:
        """Tokens of the largest batch: enough to keep the device busy, and a small part of its memory."""
        bytes_per_token = 2 * (8 * config.hidden_size + config.intermediate_size)  # what one layer holds at a time
        return max(512, min(_MOST_BATCH_TOKENS, int(self.memory_bytes * _BATCH_SHARE / bytes_per_token)))


_BATCH_SHARE, _MOST_BATCH_TOKENS = 1 / 16, 32768


class Backend(ABC):
    """One engine. `load` comes first, once; then `infer` any number of times, from one thread; then `close`."""

    name: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    engine_precisions: ClassVar[tuple[str, ...]] = ()  # those that run a built engine: `Model.engine` is set for them
    graph_precisions: ClassVar[tuple[str, ...]] = ()  # those that run an .onnx file as it is, not its weights
    packed: ClassVar[bool] = False  # runs tokens end to end: any lengths go together, and none is padded
    forkable: ClassVar[bool] = False  # loaded with one thread, it can be forked: weights are then shared

    def __init__(self, options: Options) -> None:
        if options.precision not in self.precisions:
            raise BackendError(
                f"backend {self.name!r} runs {', '.join(self.precisions)}, found --precision {options.precision}."
            )
        self.options = options

    @abstractmethod
    def load(self, model: Model) -> None:
        """Make the engine ready for `model`. Raises BackendError when the model is not one that it can run."""

    def use_threads(self, threads: int) -> None:  # noqa: B027 - most engines have theirs since `load`
        """Work with so many threads from now on; a forked instance's first call. `load` was told one thread."""

    @abstractmethod
    def infer(self, batch: Batch) -> Float32:
        """What the model's head answers, float32, in the batch's order: start and end logits of every token, [T, 2];
        or the logits of the two classes of every sample, [B, 2]."""

    def begin(self, batch: Batch) -> Pending:
        """Enqueue a batch on an engine that computes by itself, so that the next can be made ready meanwhile; any other
        computes when it is asked for the answers. These may lie in memory that later batches use again."""
        return Pending(lambda: True, lambda: self.infer(batch))

    def computed_tokens(self, batch: Batch) -> int:
        """Tokens that the engine works on for this batch: those of the padded view, unless it runs packed."""
        return batch.tokens if self.packed else len(batch) * batch.max_length

    def warm_up(self, shapes: Iterable[tuple[int, int]]) -> None:
        """Run blank batches of these (samples, length) shapes, so that nothing is created on the clock."""
        for samples, length in shapes:
            self.infer(Batch.blank(samples, length))

    def close(self) -> None:  # noqa: B027 - most engines have nothing to give back
        """Give back what `load` took."""
