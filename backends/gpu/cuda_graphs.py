"""Whole forward passes captured as CUDA graphs: one launch instead of seven for each layer.

A small batch would be computed faster than the host launches its kernels one by one. A graph has fixed shapes, so
there is one per bucket of tokens, with as many samples as such a batch may hold; the rest are empty. Tokens beyond the
batch's end are computed and dropped: only attention mixes tokens, and it reads the true ends from the device. `of` is
the one place that decides whether a batch is replayed or launched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from backends.base import Batch
from backends.gpu.kernels import dependent
from backends.gpu.packed_bert import GpuBert
from backends.gpu.pipeline import CapturedPass, integers, lay_out, packed
from backends.gpu.runtime import Gpu

# Up to so many tokens, a bucket every so many: few tokens are computed for nothing, and a GEMM's tiles have 128 rows.
_STEPS = ((512, 32), (2048, 128), (8192, 256))
MOST_TOKENS = _STEPS[-1][0]  # of a graph: launches of a larger batch are hidden behind its predecessor's compute
_SPARE = 1.5  # samples that a graph has, relative to those of typical length


@dataclass(frozen=True)
class BatchSizes:
    """The batches that a backend is to expect, of warm-up's (samples, length) shapes."""

    most_tokens: int
    most_samples: int
    longest: int  # tokens of a sample
    typical: int

    @classmethod
    def of(cls, shapes: list[tuple[int, int]]) -> BatchSizes:
        lengths = [length for _, length in shapes]
        most_tokens = max(samples * length for samples, length in shapes)
        return cls(most_tokens, max(samples for samples, _ in shapes), max(lengths), min(lengths))


def bucket(tokens: int) -> int:
    """The size, in tokens, of the graph in which a batch of `tokens` tokens runs, at most MOST_TOKENS."""
    step = next(step for most, step in _STEPS if tokens <= most)
    return -(-tokens // step) * step


def buckets(most_tokens: int) -> Iterator[int]:
    """Every bucket of batches of up to `most_tokens` tokens, the largest first."""
    tokens = bucket(min(most_tokens, MOST_TOKENS))
    while tokens > 0:
        yield tokens
        tokens -= next(step for most, step in _STEPS if tokens <= most)


class CudaGraphs:
    """The captured passes of one GPU."""

    def __init__(self, bert: GpuBert, gpu: Gpu) -> None:
        self._bert, self._gpu = bert, gpu
        self._passes: dict[int, CapturedPass] = {}

    @property
    def most_tokens(self) -> int:
        """Tokens of the largest graph."""
        return max(self._passes, default=0)

    def capture(self, sizes: BatchSizes) -> None:
        """Capture the graphs for batches of these sizes; the largest first, whose memory serves the others."""
        for tokens in buckets(sizes.most_tokens):
            samples = min(sizes.most_samples, tokens, int(_SPARE * tokens / sizes.typical) + 1)
            self._passes[tokens] = captured(self._bert, self._gpu, tokens, samples, min(sizes.longest, tokens))

    def of(self, batch: Batch) -> CapturedPass | None:
        """The captured pass for a batch; None if it is to be launched kernel by kernel."""
        found = self._passes.get(bucket(batch.tokens)) if batch.tokens <= MOST_TOKENS else None
        fits = found is not None and len(batch) <= found.samples and batch.max_length <= found.longest
        return found if fits else None


@torch.inference_mode()
def captured(bert: GpuBert, gpu: Gpu, tokens: int, samples: int, longest: int) -> CapturedPass:
    """A pass over `tokens` tokens of at most `samples` samples of at most `longest`."""
    host_ids = torch.empty(integers(tokens), dtype=torch.int32)
    used = lay_out(Batch.blank(1, longest), host_ids, tokens, samples)
    ids = host_ids[:used].to(gpu.device, copy=True)
    logits = gpu.empty(bert.rows(tokens, samples), 2)
    on_device = packed(ids, tokens, samples, longest)
    with dependent.launches(bert.starts_early(tokens)):
        gpu.launch(lambda: bert(on_device, logits))  # compiles the kernels, as a capture must not
        gpu.synchronize()
        replay = gpu.capture(lambda: bert(on_device, logits))
    return CapturedPass(tokens=tokens, samples=samples, longest=longest, ids=ids, logits=logits, replay=replay)
