"""The parts of Hopper's attention that need no GPU: its shared memory, how queries are divided, when it is chosen."""

from __future__ import annotations

import pytest
import torch

from backends.gpu.hopper import attention, nvrtc
from backends.gpu.hopper.attention_source import BLOCK, CONSUMERS, THREADS, pairs, shared_memory, source
from backends.gpu.hopper.source import E4M3, F16, S8
from backends.gpu.kernels import TWIN


@pytest.mark.parametrize(("result", "width"), [(F16, 1024), (S8, 1024), (E4M3, 768), (S8, 4096)])
def test_keys_and_values_of_a_sample_fit_in_shared_memory(result: int, width: int) -> None:
    """Of 512 tokens, next to the multipliers; phases of the places are kept in a word."""
    assert 8 <= pairs(result, width) <= 32
    assert shared_memory(result, width) <= 227 * 1024


def test_registers_of_all_threads_fit() -> None:
    """A launch gives each thread the same number, a multiple of 8, which warpgroups then divide."""
    words = dict(line.split()[1:3] for line in source(F16, F16, 64).splitlines() if line.startswith("#define "))
    producer, consumer = int(words["PRODUCER_REGISTERS"]), int(words["CONSUMER_REGISTERS"])
    at_launch = 65536 // THREADS // 8 * 8
    assert producer + CONSUMERS * consumer <= at_launch * THREADS // 128
    assert producer % 8 == consumer % 8 == 0


@pytest.mark.parametrize(
    ("samples", "heads", "longest", "parts_and_size"),
    [
        (174, 16, 384, (1, 6)),  # a full batch: a head's keys are read once
        (1, 16, 384, (6, 1)),  # few heads: every block of queries has a processor
        (1, 16, 1, (1, 1)),
        (64, 16, 0, (1, 1)),
        (64, 16, 512, (1, 8)),
        (64, 16, 2000, (11, 3)),  # keys do not all fit
    ],
)
def test_division_of_queries(samples: int, heads: int, longest: int, parts_and_size: tuple[int, int]) -> None:
    parts, size = attention.division(samples, heads, longest, most_pairs=10, processors=132)
    assert (parts, size) == parts_and_size
    assert parts * size * BLOCK >= longest


def test_a_cpu_keeps_its_own() -> None:
    assert attention.chosen(TWIN.attention, 1024, 16, torch.device("cpu")) is TWIN.attention


@pytest.mark.skipif(nvrtc.library() is None, reason="NVRTC is not installed")
def test_nvrtc_compiles_it() -> None:
    found = nvrtc.library()
    assert found is not None
    assert nvrtc.compiled(found, source(F16, S8, 1024)).startswith(b"\x7fELF")
