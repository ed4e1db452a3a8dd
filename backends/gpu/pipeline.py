"""Pipelines batches through a GPU on three CUDA streams, so that copies of one batch overlap the compute of another.

    host ─ pinned ids ─▶ copy-in stream ─▶ compute stream ─▶ copy-out stream ─▶ pinned logits ─ host

`begin` enqueues a batch and returns at once; the result that it returns waits for that batch only. Copied per batch are
four rows of 32-bit integers in, and two floats per token out. A batch that has a captured pass (cuda_graphs.py) stays
on the compute stream: its copies are short, and all passes of a graph use the same memory on the device.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.base import Batch, Pending
from backends.gpu.packed_bert import DeviceBatch, GpuBert
from backends.gpu.runtime import Gpu
from foundation.arrays import Float32

IN_FLIGHT = 3  # batches: one is computed, the answers of one are copied and read, one is being written
_ALIGNED = 16  # integers: Triton compiles another kernel for addresses that are not multiples of 16 bytes


def rows(tokens: int) -> int:
    """Integers from one row of ids to the next: each row begins at a multiple of 64 bytes."""
    return -(-tokens // _ALIGNED) * _ALIGNED


def integers(tokens: int) -> int:
    """Integers of a batch of `tokens` tokens with as many samples as it can have, one per token."""
    return 3 * rows(tokens) + tokens + 1


def lay_out(batch: Batch, to: Tensor, tokens: int | None = None, samples: int | None = None) -> int:
    """Write a batch into `to`, int32 on the host; returns the number of integers written.

    With `tokens` and `samples` it is laid out like a batch of that size: tokens of id 0, which are part of no sample,
    and empty samples follow it.
    """
    size, ends, numbers = tokens or batch.tokens, samples or len(batch), to.numpy()
    row_size = rows(size)
    for row, ids in enumerate((batch.input_ids, batch.token_type_ids, batch.position_ids)):
        start = row * row_size
        numbers[start : start + batch.tokens] = ids
        numbers[start + batch.tokens : start + size] = 0
    start, end = 3 * row_size, 3 * row_size + ends + 1
    numbers[start : start + len(batch) + 1] = batch.cu_seqlens
    numbers[start + len(batch) + 1 : end] = batch.tokens
    return end


def packed(numbers: Tensor, tokens: int, samples: int, longest: int) -> DeviceBatch:
    """The batch as views of what `lay_out` wrote, on any device."""
    row_size = rows(tokens)
    word, kind, position = (numbers[row * row_size : row * row_size + tokens] for row in range(3))
    return DeviceBatch((word, kind, position), numbers[3 * row_size : 3 * row_size + samples + 1], longest)


@dataclass(frozen=True, kw_only=True)
class CapturedPass:
    """A forward pass of fixed shapes, started with one launch; its memory on the device is its own."""

    tokens: int
    samples: int
    longest: int  # tokens of a sample
    ids: Tensor  # what it reads, as `lay_out` wrote it
    logits: Tensor  # what it writes
    replay: Callable[[], None]


class _Slot:
    """The memory of one batch in flight."""

    def __init__(self, gpu: Gpu, tokens: int) -> None:
        self.tokens = tokens
        self.host_ids = gpu.pinned(integers(tokens), dtype=torch.int32)
        self.ids = gpu.empty(integers(tokens), dtype=torch.int32)
        self.logits = gpu.empty(tokens, 2)
        self.host_logits = gpu.pinned(tokens, 2)
        self.arrived, self.computed, self.answered = (gpu.event() for _ in range(3))


class Pipeline:
    """The pipeline of one GPU. Answers are views of pinned memory, valid until IN_FLIGHT batches later."""

    def __init__(self, bert: GpuBert, gpu: Gpu) -> None:
        self._bert, self._gpu = bert, gpu
        self._slots: list[_Slot | None] = [None] * IN_FLIGHT
        self._turn = itertools.cycle(range(IN_FLIGHT))
        self._copy_in, self._compute, self._copy_out = (gpu.stream() for _ in range(3))
        gpu.synchronize()  # these streams would not wait for the stream that copies the weights

    @torch.inference_mode()
    def begin(self, batch: Batch, captured: CapturedPass | None = None) -> Pending[Float32]:
        """Enqueue a batch, in a captured pass that it fits into if there is one; see `Backend.begin`."""
        slot = self._slot(captured.tokens if captured else batch.tokens)
        answered = self._bert.rows(batch.tokens, len(batch))
        if captured:
            self._replay(captured, batch, slot, answered)
        else:
            self._launch(batch, slot, answered)
        return Pending(slot.answered.query, lambda: _answers(slot, answered))

    def _launch(self, batch: Batch, slot: _Slot, answered: int) -> None:
        gpu, used = self._gpu, lay_out(batch, slot.host_ids)
        on_device = packed(slot.ids, batch.tokens, len(batch), batch.max_length)
        with gpu.current(self._copy_in):
            gpu.copy(slot.ids[:used], slot.host_ids[:used])
            slot.arrived.record()
        with gpu.current(self._compute):
            self._compute.wait_event(slot.arrived)
            gpu.launch(lambda: self._bert(on_device, slot.logits[:answered]))
            slot.computed.record()
        with gpu.current(self._copy_out):
            self._copy_out.wait_event(slot.computed)
            gpu.copy(slot.host_logits[:answered], slot.logits[:answered])
            slot.answered.record()

    def _replay(self, captured: CapturedPass, batch: Batch, slot: _Slot, answered: int) -> None:
        used = lay_out(batch, slot.host_ids, captured.tokens, captured.samples)
        with self._gpu.current(self._compute):
            self._gpu.copy(captured.ids, slot.host_ids[:used])
            captured.replay()
            self._gpu.copy(slot.host_logits[:answered], captured.logits[:answered])
            slot.answered.record()

    def reserve(self, tokens: int) -> None:
        """Allocate memory for batches of up to `tokens` tokens, before the clock."""
        for _ in range(IN_FLIGHT):
            self._slot(tokens)

    def _slot(self, tokens: int) -> _Slot:
        """The next slot, once its batch is answered; it is replaced if it is too small."""
        number = next(self._turn)
        slot = self._slots[number]
        if slot is not None:
            slot.answered.synchronize()
        if slot is None or slot.tokens < tokens:
            slot = self._slots[number] = _Slot(self._gpu, tokens)
        return slot


def _answers(slot: _Slot, rows: int) -> Float32:
    slot.answered.synchronize()
    found: Float32 = slot.host_logits[:rows].numpy()
    return found
