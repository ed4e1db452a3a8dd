"""One sample at a time: a whole forward pass captured as a CUDA graph and started with one launch.

A graph has fixed shapes, so there is one per bucket of tokens; a sample runs in the smallest graph that fits it. Tokens
beyond its end are computed and dropped: only attention mixes tokens, and it reads the true end from the device.
"""

from __future__ import annotations

import torch

from backends.base import Batch, Pending
from backends.gpu.packed_bert import GpuBert
from backends.gpu.pipeline import blank, integers, lay_out, packed
from foundation.arrays import Float32

STEP = 32  # tokens from one bucket to the next


def bucket(tokens: int) -> int:
    """The size, in tokens, of the graph in which a sample of `tokens` tokens runs."""
    return -(-tokens // STEP) * STEP


class _CapturedGraph:
    """The graph of one bucket, with its own memory."""

    @torch.inference_mode()
    def __init__(self, bert: GpuBert, tokens: int, device: torch.device) -> None:
        self.tokens = tokens
        self.host_logits = torch.empty(tokens, 2, pin_memory=True)
        self._host_ids = torch.empty(integers(tokens), dtype=torch.int32, pin_memory=True)
        lay_out(blank(tokens), self._host_ids)
        self._ids = self._host_ids.to(device)
        batch = packed(self._ids, tokens, 1, tokens)
        bert(batch)  # compiles the kernels, which a capture must not do
        torch.cuda.synchronize(device)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = bert(batch)
        self.rows = len(self._logits)  # one per token, or one

    @torch.inference_mode()
    def run(self, batch: Batch) -> None:
        """Enqueue a sample in place of the bucket's blank one; rows of ids stay at the bucket's offsets."""
        numbers = self._host_ids.numpy()
        for row, values in enumerate((batch.input_ids, batch.token_type_ids, batch.position_ids)):
            numbers[row * self.tokens : row * self.tokens + batch.tokens] = values
        numbers[3 * self.tokens + 1] = batch.tokens
        self._ids.copy_(self._host_ids, non_blocking=True)
        self._graph.replay()
        self.host_logits[: self.rows].copy_(self._logits, non_blocking=True)


class CudaGraphs:
    """A graph for every bucket up to the longest sample of the warm-up."""

    def __init__(self, bert: GpuBert, device: torch.device) -> None:
        self._bert, self._device = bert, device
        self._graphs: dict[int, _CapturedGraph] = {}
        self._answered = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def capture(self, longest: int) -> None:
        """Capture the graphs for samples of up to `longest` tokens."""
        for tokens in range(STEP, bucket(longest) + 1, STEP):
            if tokens not in self._graphs:
                self._graphs[tokens] = _CapturedGraph(self._bert, tokens, self._device)

    def takes(self, batch: Batch) -> bool:
        """True if the batch is one sample and its bucket was captured."""
        return len(batch) == 1 and bucket(batch.tokens) in self._graphs

    def begin(self, batch: Batch) -> Pending[Float32]:
        """Like `Pipeline.begin`; the answers are valid until the next sample of the same bucket."""
        graph = self._graphs[bucket(batch.tokens)]
        self._answered.synchronize()
        graph.run(batch)
        self._answered.record()
        return Pending(self._answered.query, lambda: self._answers(graph, batch.tokens))

    def _answers(self, graph: _CapturedGraph, tokens: int) -> Float32:
        self._answered.synchronize()
        found: Float32 = graph.host_logits[: min(tokens, graph.rows)].numpy()
        return found
