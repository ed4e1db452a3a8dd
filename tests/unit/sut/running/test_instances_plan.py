"""The largest batch: what was typed, else what the batch size needs, else the device's own."""

from __future__ import annotations

import pytest

from backends.base import Accelerator
from backends.bert.checkpoints import find_model, with_config
from foundation.rules import MAX_POSITIONS
from sut.errors import UsageError
from sut.running import instances_plan
from sut.settings.resolve import resolve
from sut.settings.settings import MAX_BATCH_TOKENS

GPU = Accelerator("a GPU", 80 << 30, (9, 0))


@pytest.mark.parametrize(
    ("given", "on_cpu", "on_gpu"),
    [
        ({}, MAX_BATCH_TOKENS, None),
        ({"max_batch_tokens": MAX_BATCH_TOKENS}, MAX_BATCH_TOKENS, MAX_BATCH_TOKENS),
        ({"max_batch_tokens": 700}, 700, 700),
        ({"batch_size": 3}, 3 * MAX_POSITIONS, 3 * MAX_POSITIONS),
        ({"batch_size": 3, "max_batch_tokens": 900}, 900, 900),
    ],
)
def test_what_was_given_counts_on_every_device(given: dict[str, int], on_cpu: int, on_gpu: int | None) -> None:
    model, config = with_config(find_model("random:bert-tiny")), resolve(given)
    assert model.config is not None
    assert instances_plan.plan(config, model, ()).max_batch_tokens == on_cpu
    found = instances_plan.plan(config, model, (GPU,)).max_batch_tokens
    assert found == (GPU.batch_tokens(model.config) if on_gpu is None else on_gpu)
    assert GPU.batch_tokens(model.config) > MAX_BATCH_TOKENS


@pytest.mark.parametrize("threads", [10**9, 8 * 4096])
def test_absurd_numbers_of_threads_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=r"--threads of at most \d+ .*Lower --threads"):
        instances_plan.plan(resolve({"threads": threads}), find_model("random:bert-tiny"), ())
