"""One sample at a time: a whole forward pass captured as a CUDA graph and started with one launch.

A graph has fixed shapes, so there is one per bucket of tokens; a sample runs in the smallest graph that fits it. Tokens
beyond its end are computed and dropped: only attention mixes tokens, and it reads the true end from the device.
"""

from __future__ import annotations

import torch

from backends.base import Batch
from backends.gpu.packed_bert import GpuBert
from backends.gpu.pipeline import CapturedPass, integers, lay_out, packed
from backends.gpu.runtime import Gpu

STEP = 32  # tokens from one bucket to the next


def bucket(tokens: int) -> int:
    """The size, in tokens, of the graph in which a sample of `tokens` tokens runs."""
    return -(-tokens // STEP) * STEP


class CudaGraphs:
    """A graph for every bucket up to the longest sample of the warm-up."""

    def __init__(self, bert: GpuBert, gpu: Gpu) -> None:
        self._bert, self._gpu = bert, gpu
        self._passes: dict[int, CapturedPass] = {}

    def capture(self, longest: int) -> None:
        """Capture the graphs for samples of up to `longest` tokens; the largest first, whose memory serves the rest."""
        for tokens in range(bucket(longest), 0, -STEP):
            if tokens not in self._passes:
                self._passes[tokens] = self._captured(tokens)

    def of(self, batch: Batch) -> CapturedPass | None:
        """The captured pass for a batch; None if it is to be launched kernel by kernel."""
        return self._passes.get(bucket(batch.tokens)) if len(batch) == 1 else None

    @torch.inference_mode()
    def _captured(self, tokens: int) -> CapturedPass:
        host_ids = torch.empty(integers(tokens), dtype=torch.int32)
        used = lay_out(Batch.blank(1, tokens), host_ids)
        ids = host_ids[:used].to(self._gpu.device, copy=True)
        logits = self._gpu.empty(self._bert.rows(tokens, 1), 2)
        on_device = packed(ids, tokens, 1, tokens)
        self._gpu.launch(lambda: self._bert(on_device, logits))  # compiles the kernels, which a capture must not do
        self._gpu.synchronize()
        replay = self._gpu.capture(lambda: self._bert(on_device, logits))
        return CapturedPass(tokens=tokens, samples=1, ids=ids, logits=logits, replay=replay)
