"""The sentiment model as a task of the loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from paths import ASSETS

torch = pytest.importorskip("torch")

from backends.bert.torch_module import BertForSequenceClassification  # noqa: E402
from training.loop.world import ALONE  # noqa: E402
from training.network import model_files  # noqa: E402
from training.tasks.feature_batches import packed  # noqa: E402
from training.tasks.recipe_flags import BATCH  # noqa: E402
from training.tasks.sentiment import SentimentTask, split  # noqa: E402

ENTRIES = model_files.read_vocabulary(ASSETS / "demo-sst2")


@pytest.fixture
def task(tmp_path: Path) -> SentimentTask:
    model_files.write_vocabulary(tmp_path, ENTRIES)
    trained = split(tmp_path, "train", 3 * BATCH + 1)
    found = SentimentTask(ENTRIES, trained, trained, seed=1)
    found.network.eval()  # no dropout
    return found


def test_an_epoch_trains_each_sentence_once(task: SentimentTask) -> None:
    rows = np.concatenate([task.draw(step).rows for step in range(1, task.steps_per_epoch + 1)])
    assert len(set(rows.tolist())) == len(rows) == 3 * BATCH


def test_shares_of_a_step_add_up_to_its_loss(task: SentimentTask) -> None:
    drawn = task.draw(1)
    parts = (np.arange(BATCH), np.array([7]), np.arange(7), np.arange(8, BATCH))
    whole, *shares = (float(task.loss(task.network, drawn, rows, ALONE).total.detach()) for rows in parts)
    assert sum(shares) == pytest.approx(whole, rel=1e-5)


def test_the_kept_model_answers_as_the_network(task: SentimentTask, tmp_path: Path) -> None:
    task.write_model(tmp_path, task.network.state_dict())
    model = BertForSequenceClassification(task.config)
    model.load_state_dict(model_files.read_weights(tmp_path))
    features = task.trained.features
    with torch.inference_mode():
        expected = task.network(packed(features, np.arange(4), ALONE.device))
        found = [model(*(torch.from_numpy(one).long()[None] for one in features.sample(row))) for row in range(4)]
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=1e-5)
