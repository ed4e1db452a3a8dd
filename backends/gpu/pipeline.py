"""Pipelines batches through a GPU on three CUDA streams, so that copies of one batch overlap the compute of another.

    host ─ pinned ids ─▶ copy-in stream ─▶ compute stream ─▶ copy-out stream ─▶ pinned logits ─ host

`begin` enqueues a batch and returns at once; the result that it returns waits for that batch only. Copied per batch are
four rows of 32-bit integers in, and two floats per token out.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from backends.base import Batch, Pending
from backends.gpu.packed_bert import DeviceBatch, GpuBert
from foundation.arrays import Float32

IN_FLIGHT = 3  # batches: one is computed, the answers of one are copied and read, one is being written
_ALIGNED = 16  # integers: Triton compiles another kernel for addresses that are not multiples of 16 bytes


def rows(tokens: int) -> int:
    """Integers from one row of ids to the next: each row begins at a multiple of 64 bytes."""
    return -(-tokens // _ALIGNED) * _ALIGNED


def integers(tokens: int) -> int:
    """Integers of a batch of `tokens` tokens with as many samples as it can have, one per token."""
    return 3 * rows(tokens) + tokens + 1


def lay_out(batch: Batch, to: Tensor) -> int:
    """Write a batch into `to`, int32 on the host; returns the number of integers written."""
    row_size, numbers = rows(batch.tokens), to.numpy()
    for row, ids in enumerate((batch.input_ids, batch.token_type_ids, batch.position_ids)):
        numbers[row * row_size : row * row_size + batch.tokens] = ids
    end = 3 * row_size + len(batch) + 1
    numbers[3 * row_size : end] = batch.cu_seqlens
    return end


def packed(numbers: Tensor, tokens: int, samples: int, longest: int) -> DeviceBatch:
    """The batch as views of what `lay_out` wrote, on any device."""
    row_size = rows(tokens)
    word, kind, position = (numbers[row * row_size : row * row_size + tokens] for row in range(3))
    return DeviceBatch((word, kind, position), numbers[3 * row_size : 3 * row_size + samples + 1], longest)


class _Slot:
    """The memory of one batch in flight."""

    def __init__(self, tokens: int, device: torch.device) -> None:
        self.tokens = tokens
        self.host_ids = torch.empty(integers(tokens), dtype=torch.int32, pin_memory=True)
        self.ids = torch.empty(integers(tokens), dtype=torch.int32, device=device)
        self.host_logits = torch.empty(tokens, 2, pin_memory=True)
        self.arrived, self.computed, self.answered = (torch.cuda.Event() for _ in range(3))  # type: ignore[no-untyped-call]


class Pipeline:
    """The pipeline of one GPU. Answers are views of pinned memory, valid until IN_FLIGHT batches later."""

    def __init__(self, bert: GpuBert, device: torch.device) -> None:
        self._bert, self._device = bert, device
        self._slots: list[_Slot | None] = [None] * IN_FLIGHT
        self._turn = itertools.cycle(range(IN_FLIGHT))
        self._copy_in, self._compute, self._copy_out = (torch.cuda.Stream(device) for _ in range(3))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)  # these streams would not wait for the stream that copies the weights

    @torch.inference_mode()
    def begin(self, batch: Batch) -> Pending[Float32]:
        """Enqueue a batch; see `Backend.begin`."""
        slot = self._slot(batch.tokens)
        used = lay_out(batch, slot.host_ids)
        with torch.cuda.stream(self._copy_in):
            slot.ids[:used].copy_(slot.host_ids[:used], non_blocking=True)
            slot.arrived.record()
        with torch.cuda.stream(self._compute):
            self._compute.wait_event(slot.arrived)
            logits = self._bert(packed(slot.ids, batch.tokens, len(batch), batch.max_length))
            slot.computed.record()
        with torch.cuda.stream(self._copy_out):
            self._copy_out.wait_event(slot.computed)
            answered = len(logits)
            slot.host_logits[:answered].copy_(logits, non_blocking=True)
            logits.record_stream(self._copy_out)  # the allocator must not reuse its memory before that
            slot.answered.record()
        return Pending(slot.answered.query, lambda: _answers(slot, answered))

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
            slot = self._slots[number] = _Slot(tokens, self._device)
        return slot


def _answers(slot: _Slot, rows: int) -> Float32:
    slot.answered.synchronize()
    found: Float32 = slot.host_logits[:rows].numpy()
    return found


def blank(tokens: int) -> Batch:
    """A batch of one sample of `tokens` tokens, all with id 0."""
    return Batch.of([(np.zeros(tokens, np.int64), np.zeros(tokens, np.int64))])
