"""The contract of a backend: packed token ids in, one pair of logits per token or per sample out (bert/heads.py).

A `Batch` is packed, not padded: an engine that can run packed tokens computes no padding, and one that needs a
rectangle asks for the padded view. Nothing here knows LoadGen, queries or data sets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from backends.access import NO_ACCESS, Access
from backends.bert.encoder import EncoderConfig
from backends.bert.layer_widths import Widths
from backends.bert.model import Model
from backends.entry import Entry
from backends.errors import BackendError
from foundation.arrays import Bool, Float32, Int32, Int64

Answers = TypeVar("Answers")


@dataclass(frozen=True)
class Padded:
    """A batch as a rectangle: B samples, each padded with zeros to the length of the longest, S tokens."""

    input_ids: Int64  # [B, S]
    token_type_ids: Int64  # [B, S]
    attention_mask: Int64  # [B, S], 1 for a token, 0 for padding


@dataclass(frozen=True)
class Batch:
    """B samples end to end, T tokens in total; sample i owns tokens `cu_seqlens[i]:cu_seqlens[i + 1]`.

    Ids are int32, as features are stored; an engine that needs another type converts them, and `padded` does.
    """

    input_ids: Int32  # [T]
    token_type_ids: Int32  # [T]
    position_ids: Int32  # [T]
    cu_seqlens: Int64  # [B + 1]

    @classmethod
    def of(cls, samples: Sequence[tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]]) -> Batch:
        """A batch of (input_ids, token_type_ids) pairs, one pair of integer arrays [length] for each sample."""
        lengths = [len(ids) for ids, _ in samples]
        return cls(
            np.concatenate([ids for ids, _ in samples]).astype(np.int32, copy=False),
            np.concatenate([types for _, types in samples]).astype(np.int32, copy=False),
            np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
            np.concatenate([[0], np.cumsum(lengths)]),
        )

    @classmethod
    def blank(cls, samples: int, length: int) -> Batch:
        """`samples` samples of `length` tokens, all with id 0: for warm-up."""
        zeros = np.zeros(length, np.int32)
        return cls.of([(zeros, zeros)] * samples)

    def __len__(self) -> int:
        return len(self.cu_seqlens) - 1

    @property
    def tokens(self) -> int:
        """T, the tokens of all samples."""
        return len(self.input_ids)

    @property
    def lengths(self) -> Int64:
        """Tokens of each sample, int64 [B]."""
        return np.diff(self.cu_seqlens)

    @property
    def max_length(self) -> int:
        """Tokens of the longest sample."""
        return int(self.lengths.max())

    @property
    def rows(self) -> Int64:
        """The index of the sample that each token belongs to, int64 [T]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def padded(self) -> Padded:
        """The same samples as a rectangle, int64, which graphs take."""
        is_token = self._is_token()
        ids, types = (np.zeros(is_token.shape, np.int64) for _ in range(2))
        ids[is_token], types[is_token] = self.input_ids, self.token_type_ids
        return Padded(ids, types, is_token.astype(np.int64))

    def pack(self, padded: npt.NDArray[np.float32]) -> Float32:
        """Outputs for the padded view, [B, S, ...], without the padding, float32 [T, ...]."""
        is_token = self._is_token()
        rows = np.compress(is_token.ravel(), padded.reshape(is_token.size, *padded.shape[2:]), axis=0)
        return np.ascontiguousarray(rows, dtype=np.float32)

    def _is_token(self) -> Bool:
        """The rectangle's tokens, row after row as in the batch, bool [B, S]; False for padding."""
        is_token: Bool = np.arange(self.max_length) < self.lengths[:, None]
        return is_token


@dataclass(frozen=True)
class Options:
    """The settings that every backend has."""

    precision: str = "fp32"
    threads: int = 1
    fpmath_mode: str = "strict"  # "bf16": float32 matrix products may be computed in bfloat16 (ARM's fast math)
    gpu: int = 0  # index among the GPUs that this process sees
    access: Access = NO_ACCESS  # to a server that runs the model


class Pending(NamedTuple, Generic[Answers]):
    """A batch that was enqueued."""

    is_ready: Callable[[], bool]  # True if `answers` will not block
    answers: Callable[[], Answers]  # blocks until the batch is computed; a backend returns what `infer` does


@dataclass(frozen=True)
class Accelerator:
    """A device that runs the model instead of the CPU's cores, as its driver describes it."""

    name: str
    memory_bytes: int
    capability: tuple[int, int]  # compute capability (major, minor) of an NVIDIA GPU
    pci_address: str = ""  # such as 0000:3b:00.0

    def batch_tokens(self, config: EncoderConfig) -> int:
        """Tokens of the largest batch: enough to keep the device busy, in a small part of its memory."""
        bytes_per_token = 2 * (8 * config.hidden_size + config.intermediate_size)  # activations of a layer of BERT
        return max(512, min(_MAX_BATCH_TOKENS, int(self.memory_bytes * _BATCH_SHARE / bytes_per_token)))


_BATCH_SHARE, _MAX_BATCH_TOKENS = 1 / 16, 32768


class EngineWork(NamedTuple):
    """What a loaded engine multiplies: no heads or neurons that it leaves out, no zeros that it skips."""

    product_weights: int  # weights that each token is multiplied with
    attention_channels: int  # of queries, and of keys and values, of all layers together

    @classmethod
    def of(cls, widths: Widths | None) -> Self | None:
        """That of narrow layers; None without."""
        return cls(widths.product_weights, widths.attention_channels) if widths else None


class Backend(ABC):
    """One inference engine: `load` is called once, then `infer` any number of times from one thread, then `close`.

    A backend of this package has a row of `backends.BACKENDS`, which its class reads; one of another package brings its
    row (docs/design/adding-a-backend.md). This is such a module, complete; it scores every token by its word embedding
    alone. Run it as `python -m sut --backend my_backend:EmbeddingBackend --scenario Server`.

        from backends.base import Backend, Batch
        from backends.bert.checkpoints import read_tensors
        from backends.bert.model import Model
        from backends.entry import Entry
        from foundation.arrays import Float32

        class EmbeddingBackend(Backend):
            name = "embedding"
            entry = Entry(target="my_backend:EmbeddingBackend")  # its row, which could list precisions
            packed = True

            def load(self, model: Model) -> None:
                tensors = read_tensors(model)  # float32, under Hugging Face's names
                embeddings, head = tensors["bert.embeddings.word_embeddings.weight"], tensors["qa_outputs.weight"]
                self.logits = embeddings @ head.T  # [vocabulary, 2]

            def infer(self, batch: Batch) -> Float32:
                return self.logits[batch.input_ids]  # [T, 2]
    """

    name: ClassVar[str]
    entry: ClassVar[Entry] = Entry(target="")  # its row of `backends.BACKENDS`; this one: fp32, weights loaded
    packed: ClassVar[bool] = False  # computes packed tokens: samples of any lengths share a batch without padding

    def __init__(self, options: Options) -> None:
        """Raises BackendError if the backend does not have the precision."""
        if options.precision not in self.entry.precisions:
            raise BackendError(
                f"expected one of {', '.join(self.entry.precisions)} as the precision of backend {self.name!r}, found "
                f"--precision {options.precision}."
            )
        self.options = options

    def runs_as_graph(self, model: Model) -> bool:
        """True if `load` gets an .onnx file that this precision runs as it is."""
        return model.is_graph and self.options.precision in self.entry.graph_precisions

    @abstractmethod
    def load(self, model: Model) -> None:
        """Load `model`, so that `infer` can be called.

        Raises:
            BackendError: the engine cannot run this model; the message says what was expected, what was found and
                what to type.
        """

    def use_threads(self, threads: int) -> None:  # noqa: B027 - most engines set their threads in `load`
        """Use `threads` threads from now on. The first call in a forked instance: `load` ran with one thread."""

    @abstractmethod
    def infer(self, batch: Batch) -> Float32:
        """The logits of the model's head, float32, in the order of the batch.

        Returns:
            [T, 2], the start and end logit of every token; or [B, 2], the logits of the two classes of every sample.
        """

    def begin(self, batch: Batch) -> Pending[Float32]:
        """Enqueue a batch and return at once, on an engine that computes asynchronously (a GPU).

        The default computes the batch when its answers are requested. Answers may be in memory that later batches
        reuse.
        """
        return Pending(lambda: True, lambda: self.infer(batch))

    def computed_tokens(self, batch: Batch) -> int:
        """Tokens that the engine computes for this batch, padding included."""
        return batch.tokens if self.packed else len(batch) * batch.max_length

    def remark(self) -> str | None:
        """What a reader of its figures should know of the loaded engine, in a line; None: nothing."""
        return None

    def work(self) -> EngineWork | None:
        """What the loaded engine multiplies; None: all that the model's geometry has."""
        return None

    def warm_up(self, shapes: Iterable[tuple[int, int]]) -> None:
        """Run blank batches of these (samples, length) shapes: nothing is then allocated or compiled in a test."""
        for samples, length in shapes:
            self.infer(Batch.blank(samples, length))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most engines hold nothing that must be released
        """Release what `load` allocated."""
