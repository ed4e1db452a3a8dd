"""The command of pre-training in one process: exit codes, what it leaves, and that it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForPreTraining as TheirBert

from backends.bert.architectures import require_bert
from backends.bert.config_files import read_config
from backends.errors import BackendError
from foundation.errors import UserError
from sut.errors import UsageError
from sut.processes import directory_lock
from training import pretrain
from training.loop import checkpoint_record
from training.network import model_files
from training.network.packed_bert import BertForPreTraining
from training.records import training_record
from training.shards import mapped
from training.shards.data_set import Metadata
from training.shards.instances import Instances, Row, from_rows

CONFIG = """
model = "{0}/config.json"
data_dir = "{0}"
max_seq_length = 32
train_batch_size = 6
optimizer = "adamw"
learning_rate = 0.05
max_steps = 8
eval_interval_samples = 12
target_mlm_accuracy = 0.9
device = "cpu"
"""


def instances(count: int) -> Instances:
    """Of the two masked tokens of each, one is always the same."""
    draw = np.random.default_rng(count)
    ids = draw.integers(0, 50, (count, 13)).tolist()
    return from_rows([Row(one[:12], [0] * 6 + [1] * 6, [2, 9], [5, one[12]], 1) for one in ids])


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """The command flushes them in its process, which is that of other tests, too."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "config.json").write_text(
        '{"model_type": "bert", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, '
        '"intermediate_size": 32, "max_position_embeddings": 32}',
        encoding="utf-8",
    )
    for name in ("train", "eval"):
        metadata = Metadata(max_seq_length=32, max_predictions=4, vocabulary_size=50)
        mapped.write_data_set(tmp_path / name, [instances(len(name) * 4)], metadata)
    (tmp_path / "mine.toml").write_text(CONFIG.format(tmp_path), encoding="utf-8")
    return ["--config", str(tmp_path / "mine.toml"), "--output", str(tmp_path / "run")]


def test_a_run_misses_its_target_and_keeps_it(words: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert pretrain.main(words) == 1
    assert {"mllog.txt", "run.json", "steps.csv", "checkpoints", "model"} <= {one.name for one in run.iterdir()}
    theirs = TheirBert.from_pretrained(run / "model")
    ours = model_files.read_weights(run / "model")
    assert all(torch.equal(theirs.state_dict()[name], weight) for name, weight in ours.items())
    newest = checkpoint_record.newest_first(run)[0]
    written = (newest / "checkpoint.json").stat().st_mtime_ns
    assert newest.name == "step-00000008"
    assert pretrain.main(words) == 1  # nothing is left to train
    assert (newest / "checkpoint.json").stat().st_mtime_ns == written
    for other, found in {
        "target_mlm_accuracy=0.4": "expected target_mlm_accuracy 0.9",
        "train_batch_size=12": "expected global_batch_size 6",
    }.items():
        with pytest.raises(UsageError, match=found):
            pretrain.main([*words, "--set", other])


def test_a_run_reaches_its_target_in_a_folder_that_is_its_own(words: list[str], tmp_path: Path) -> None:
    lower = [*words, "--set", "target_mlm_accuracy=0.4"]
    with (
        directory_lock.held(tmp_path / "run", "training run", "--output"),
        pytest.raises(UsageError, match="found that another training run uses it"),
    ):
        pretrain.main(lower)
    assert pretrain.main(lower) == 0


@pytest.mark.parametrize("wrong", ["data_dir=nowhere", "model=bert-tny", "vocab=nothing", "init_checkpoint=nothing"])
def test_what_does_not_fit_is_refused_before_anything_is_written(words: list[str], tmp_path: Path, wrong: str) -> None:
    with pytest.raises(UserError):
        pretrain.main([*words, "--set", wrong])
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"expected a directory at .*mine\.toml, .*found: File exists"):
        pretrain.main([*words, "--output", words[1]])


def test_weights_that_do_not_fit_are_on_record_and_no_life_of_the_run(words: list[str], tmp_path: Path) -> None:
    network = BertForPreTraining(
        replace(require_bert(read_config(tmp_path / "config.json"), "this test"), num_hidden_layers=2), 0.0
    )
    model_files.write_weights(tmp_path, network.state_dict())
    with pytest.raises(BackendError, match="expected the encoder of this geometry"):
        pretrain.main([*words, "--set", f"init_checkpoint={tmp_path}"])
    record = training_record.read(tmp_path / "run")
    assert record.status == "failed" and "expected the encoder" in str(record.reason)
    assert pretrain.main([*words, "--set", "max_steps=1"]) == 1
    assert len(training_record.read(tmp_path / "run").lives) == 1
