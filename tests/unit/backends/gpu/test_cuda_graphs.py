"""Which batches run as CUDA graphs, and in which."""

from __future__ import annotations

import pytest
from emulated_gpu import EmulatedGpu, EmulatedGpuBackend
from small_bert import random_batch

from backends.base import Options
from backends.bert.model import Model
from backends.gpu import loading
from backends.gpu.cuda_graphs import MOST_TOKENS, BatchSizes, CudaGraphs, bucket, buckets


@pytest.fixture(scope="module")
def graphs(model: Model) -> CudaGraphs:
    """For up to 160 tokens in samples of up to 40, 20 typically, as in Server."""
    gpu = EmulatedGpu()
    found = CudaGraphs(loading.on_gpu(model, "fp16", gpu), gpu)
    found.capture(BatchSizes.of([(1, 20), (4, 40), (8, 20)]))
    return found


@pytest.mark.parametrize(
    ("lengths", "tokens"),
    [
        ([1], 32),
        ([20, 12], 32),
        ([20, 13], 64),
        ([40] * 4, 160),
        ([11] * 3, 64),
        ([7] * 8, None),  # more samples than expected for so few tokens
        ([41], None),  # longer than any sample of the warm-up
        ([40] * 5, None),  # more tokens
        ([40] * 300, None),
    ],
)
def test_the_smallest_graph_that_fits_is_taken(graphs: CudaGraphs, lengths: list[int], tokens: int | None) -> None:
    found = graphs.of(random_batch(lengths))
    assert (found.tokens if found else None) == tokens


def test_buckets_are_close_where_batches_are_small_and_end_where_launches_are_hidden() -> None:
    every = list(buckets(10**6))
    assert every == sorted(set(every), reverse=True) and every[0] == MOST_TOKENS
    assert len(every) == 16 + 12 + 24
    for tokens in range(1, MOST_TOKENS + 1):
        size = bucket(tokens)
        assert size in every and size - tokens < max(32, min(tokens / 4, 256)), tokens
    assert list(buckets(100)) == [128, 96, 64, 32]


def test_a_captured_batch_is_padded_to_its_graph(model: Model) -> None:
    backend = EmulatedGpuBackend(Options("fp16"))
    backend.load(model)
    assert backend.computed_tokens(random_batch([20])) == 20
    backend.warm_up([(1, 30)])
    assert [backend.computed_tokens(random_batch(lengths)) for lengths in ([20], [20, 20])] == [32, 40]


@pytest.mark.parametrize(("shapes", "captured"), [([(85, 384), (185, 177)], 0), ([(2, 30), (2, 20)], 64)])
def test_offline_captures_none(model: Model, shapes: list[tuple[int, int]], captured: int) -> None:
    backend = EmulatedGpuBackend(Options("fp16"))
    backend.load(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "infer", lambda batch: None)  # nothing is computed
        backend.warm_up(shapes)
    assert backend._graphs.most_tokens == captured
