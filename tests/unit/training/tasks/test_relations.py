"""Relations of all samples at once, as on a GPU, are those of one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backends.base import Batch
from training.loop.world import CPU
from training.tasks import relations, squad_inputs, squad_setup
from training.tasks.feature_batches import of_run


@pytest.mark.parametrize("lengths", [[5], [9, 9], [17, 1, 6]], ids=["one", "equal", "three"])
def test_all_at_once_is_one_by_one(lengths: list[int]) -> None:
    draw = np.random.default_rng(1)
    samples = [(draw.integers(0, 50, length), np.zeros(length, np.int64)) for length in lengths]
    batch = of_run(Batch.of(samples), CPU)
    student, teacher = (
        squad_setup.network(squad_inputs.geometry(name, 50), 0.0, 1, None).eval() for name in ("l1-h8-a2", "l2-h16-a2")
    )
    for one in (*student.parameters(), *teacher.parameters()):
        torch.nn.init.normal_(one, std=0.5)
    own = student(batch)
    arguments = (student, own), (teacher, teacher(batch)), 2, batch
    expected, found = relations.one_by_one(*arguments), relations.together(*arguments)
    assert expected > 0.01
    torch.testing.assert_close(found, expected)
    weight = student.bert.embeddings.word_embeddings.weight
    gradients = [torch.autograd.grad(one, weight, retain_graph=True)[0] for one in (expected, found)]
    torch.testing.assert_close(gradients[1], gradients[0])
