"""Samples of a query sample library as batches of the packed network."""

from __future__ import annotations

import numpy as np
import torch

from backends.base import Batch
from foundation.arrays import Float32, Int64
from qsl.base import Features
from sut.executors.worker import gather
from sut.queries.batching import by_length
from training.loop.world import World
from training.network.packed_batch import PackedBatch, on

BATCH_TOKENS = 8192  # of a batch in an evaluation


def packed(features: Features, rows: Int64, device: torch.device) -> PackedBatch:
    """Samples `rows`, [B]."""
    return of_run(gather(features, rows), device)


def of_run(batch: Batch, device: torch.device) -> PackedBatch:
    """A batch as engines get it."""
    return PackedBatch(
        input_ids=on(device, batch.input_ids, np.int64),
        token_type_ids=on(device, batch.token_type_ids, np.int64),
        position_ids=on(device, batch.position_ids, np.int64),
        cu_seqlens=on(device, batch.cu_seqlens, np.int32),
        lengths=tuple(batch.lengths.tolist()),
    )


def evaluation_batches(features: Features) -> list[Int64]:
    """All samples in batches, which depend on their lengths alone: the ranks of a run share them."""
    return list(by_length(features.lengths, BATCH_TOKENS, packed=True))


def added_up(logits: Float32, world: World) -> Float32:
    """Logits of all samples, from each rank's own ones with zeros elsewhere."""
    return world.add(torch.from_numpy(logits).to(world.device)).cpu().numpy()
