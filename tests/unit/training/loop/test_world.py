"""The device of each process: too few GPUs are refused by all of a machine's processes alike."""

from __future__ import annotations

import re

import pytest
import torch

from sut.errors import UsageError
from training.loop.world import ALONE, CPU, joined

TWO = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize("rank", ["0", "1"])
def test_each_process_refuses_too_few_gpus(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    words = (
        "expected a GPU for each of this machine's 2 processes, found 1. Type: --device cpu, or start no more than 1"
    )
    with (
        pytest.raises(UsageError, match=re.escape(words)),
        joined("auto", environment={**TWO, "RANK": rank, "LOCAL_RANK": rank}, typed_as="--device "),
    ):
        pass


def test_auto_is_a_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with joined("auto", environment={}) as here:
        assert here.device == CPU and here.is_first
    with pytest.raises(UsageError, match="expected a GPU, found none"), joined("cuda", environment={}):
        pass


def test_one_process_keeps_its_own_value() -> None:
    assert ALONE.of_first("runs/a") == "runs/a"
