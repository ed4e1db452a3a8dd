"""The embedded question answering model as a task of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paths import ASSETS

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from backends.bert.torch_module import BertForQuestionAnswering  # noqa: E402
from training.loop.trainer import train  # noqa: E402
from training.loop.world import ALONE  # noqa: E402
from training.network import model_files  # noqa: E402
from training.tasks.question_answering import (  # noqa: E402
    OWN_LENGTHS_FROM,
    POOL,
    STAGES,
    Curriculum,
    QuestionTask,
    recipe,
)
from training.tasks.recipe_flags import BATCH  # noqa: E402

ENTRIES = model_files.read_vocabulary(ASSETS / "demo")
STEPS = 1000


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On matrices this small several only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def task(tmp_path: Path) -> QuestionTask:
    return QuestionTask(ENTRIES, tmp_path, seed=1, max_steps=STEPS)


def texts(task: QuestionTask, step: int) -> list[list[int]]:
    return [one.question + one.passage for one in task.draw(step).samples]


def test_a_resumed_task_draws_the_samples_of_an_uninterrupted_one(task: QuestionTask, tmp_path: Path) -> None:
    texts(task, 1)
    task.curriculum.stage = 2  # within the pool of the steps up to POOL, which keeps its stage
    expected = [texts(task, 2), texts(task, 3)]
    state = task.state()
    resumed = QuestionTask(ENTRIES, tmp_path / "resumed", seed=1, max_steps=STEPS)
    resumed.load_state(state)
    assert [texts(resumed, 2), texts(resumed, 3)] == expected
    assert texts(resumed, POOL + 1) == texts(task, POOL + 1)
    assert max(map(len, texts(resumed, POOL + 1))) > max(map(len, expected[0]))  # of the later stage


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    def trained(folder: str, steps: int) -> QuestionTask:
        task = QuestionTask(ENTRIES, tmp_path, seed=1, max_steps=STEPS, questions=2)
        plan = replace(recipe(STEPS).plan(seed=1), max_steps=steps)
        assert train(task, plan, tmp_path / folder) == "reached"
        return task

    expected = trained("uninterrupted", 3)
    trained("interrupted", 1)
    found = trained("interrupted", 3)
    for name, one in found.network.named_parameters():
        assert torch.equal(one, expected.network.get_parameter(name)), name
        assert torch.equal(found.averaged[name], expected.averaged[name]), name


def test_seeds_and_steps_have_samples_of_their_own(task: QuestionTask, tmp_path: Path) -> None:
    other = QuestionTask(ENTRIES, tmp_path / "other", seed=2, max_steps=STEPS)
    drawn = [texts(one, step) for one in (task, other) for step in (1, 2, POOL + 1)]
    assert len({str(one) for one in drawn}) == len(drawn)


def test_shares_of_a_step_add_up_to_its_loss(task: QuestionTask) -> None:
    drawn = task.draw(1)
    whole, *shares = (task.loss(task.network, drawn, rows, ALONE) for rows in (np.arange(BATCH), *_parts()))
    assert sum(float(one.total.detach()) for one in shares) == pytest.approx(float(whole.total.detach()), rel=1e-5)
    for name, value in whole.parts.items():
        assert float(sum(one.parts[name] for one in shares)) == pytest.approx(float(value), rel=1e-5)


def _parts() -> list[np.ndarray]:
    return [np.array([5]), np.arange(5), np.arange(6, BATCH)]


def test_the_kept_model_answers_as_the_averaged_network(task: QuestionTask, tmp_path: Path) -> None:
    task.after_step(1, {"exact": 0.0})
    task.write_model(tmp_path, task.network.state_dict())
    model = BertForQuestionAnswering(task.config)
    model.load_state_dict(model_files.read_weights(tmp_path))
    batch = task._maker.batch([one for one in task.draw(1).samples if not one.shift][:2], ALONE.device)
    with torch.inference_mode():
        expected = task.network(batch)[0]
        parts = (torch.split(one, list(batch.lengths)) for one in (batch.input_ids, batch.token_type_ids))
        found = [model(ids[None], types[None])[0] for ids, types in zip(*parts, strict=True)]
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=1e-5)


def test_averaged_weights_follow_the_network(task: QuestionTask) -> None:
    bias = next(name for name, _ in task.network.named_parameters() if name == "qa_outputs.bias")
    for step, value in ((1, 1.0), (2, 3.0)):
        with torch.no_grad():
            task.network.get_parameter(bias).fill_(value)
        task.after_step(step, {"exact": 0.0})
    assert task.averaged[bias].tolist() == pytest.approx([1 / 11 + 3 * 10 / 11] * 2)  # 1/11 of the older one is kept


@pytest.mark.parametrize(
    ("step", "exact", "stage"),
    [(1, 0.79, 0), (1, 0.81, 1), (STEPS, 0.0, 1), (int(OWN_LENGTHS_FROM * STEPS), 0.0, 0)],
    ids=["not yet learned", "learned", "late", "not yet late"],
)
def test_a_stage_ends_when_it_is_learned_or_late(step: int, exact: float, stage: int) -> None:
    curriculum = Curriculum(STEPS)
    curriculum.record(step, exact)
    assert curriculum.stage == stage
    assert bool(curriculum.exact) == (stage == 0 and exact > 0)  # the next stage starts at 0


def test_there_is_no_stage_after_the_own_lengths() -> None:
    curriculum = Curriculum(STEPS, stage=len(STAGES))
    curriculum.record(STEPS, 1.0)
    assert curriculum.stage == len(STAGES)
