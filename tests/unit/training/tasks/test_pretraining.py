"""Pre-training as a task: its loss and its scores against plain arithmetic, and what a configuration makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from backends.bert.config import BertConfig
from foundation.errors import UserError
from sut.errors import RunFailedError, UsageError
from training.loop import config as configurations
from training.loop import dealing
from training.loop.settings import PretrainingConfig
from training.loop.trainer import train
from training.loop.world import ALONE
from training.network import model_files
from training.network.packed_bert import BertForPreTraining
from training.optimizers.lamb import Lamb
from training.shards import mapped
from training.shards.data_set import Metadata
from training.shards.errors import ShardError
from training.shards.instances import Instances, Row, from_rows
from training.tasks import pretraining_setup
from training.tasks.pretraining import Pretraining, PretrainingData

BERT = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=32,
)  # fmt: skip


def drawn_instances(count: int, seed: int) -> Instances:
    draw = np.random.default_rng(seed)

    def row() -> Row:
        length = int(draw.integers(5, 30))
        first, masked = int(draw.integers(2, length - 1)), int(draw.integers(1, 4))
        positions = sorted(draw.choice(np.arange(1, length), masked, replace=False).tolist())
        ids, labels = draw.integers(0, 50, length).tolist(), draw.integers(0, 50, masked).tolist()
        return Row(ids, [0] * first + [1] * (length - first), positions, labels, int(draw.integers(0, 2)))

    return from_rows([row() for _ in range(count)])


@pytest.fixture
def task() -> Pretraining:
    torch.manual_seed(0)
    data = PretrainingData(training=drawn_instances(40, 1), evaluation=drawn_instances(17, 2), tokens_per_batch=64)
    return Pretraining(BertForPreTraining(BERT, 0.0), BERT, data, seed=5, global_batch_size=11)


def alone(task: Pretraining, instances: Instances, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A sample in a batch of its own: logits and labels of its masked tokens, and of its kind."""
    from training.network.packed_batch import pack_instances

    batch = pack_instances(instances.part(number, number + 1))
    masked, is_next = task.network.eval()(batch)
    return masked, batch.masked_ids, is_next, batch.is_random_next


def test_shares_of_the_loss_are_the_means_over_the_step(task: Pretraining) -> None:
    drawn = task.draw(3)
    shares = [
        task.loss(task.network, drawn, np.array(mine), ALONE) for mine in ([0, 7, 3], [1, 2], [4, 5, 6, 8, 9, 10])
    ]
    samples = [alone(task, drawn.instances, number) for number in range(11)]
    masked, labels, kinds, is_random = (torch.cat(parts) for parts in zip(*samples, strict=True))
    mlm, nsp = F.cross_entropy(masked, labels), F.cross_entropy(kinds, is_random)
    torch.testing.assert_close(sum(share.total for share in shares), mlm + nsp)
    torch.testing.assert_close(sum(share.parts["mlm_loss"] for share in shares), mlm.detach())
    torch.testing.assert_close(sum(share.parts["nsp_loss"] for share in shares), nsp.detach())
    assert all(share.loading_s > 0 for share in shares)


def test_accuracy_counts_masked_tokens_not_samples(task: Pretraining) -> None:
    counts = np.bincount(task.data.evaluation.masked_ids)
    with torch.no_grad():
        task.network.get_parameter("cls.predictions.bias")[counts.argmax()] += 50.0  # so that some are right
        found = task.evaluate(task.network.eval(), ALONE)
        samples = [alone(task, task.data.evaluation, number) for number in range(17)]
    masked, labels, kinds, is_random = (torch.cat(parts) for parts in zip(*samples, strict=True))
    assert found.samples == 17 and 0 < found.score < 1
    assert found.score == found.values["mlm_accuracy"] == int((masked.argmax(1) == labels).sum()) / len(labels)
    assert found.values["nsp_accuracy"] == int((kinds.argmax(1) == is_random).sum()) / 17
    assert found.values["mlm_loss"] == pytest.approx(float(F.cross_entropy(masked, labels)), rel=1e-5)
    assert found.values["nsp_loss"] == pytest.approx(float(F.cross_entropy(kinds, is_random)), rel=1e-5)


def test_the_model_has_hugging_faces_form(task: Pretraining, tmp_path: Path) -> None:
    task.write_model(tmp_path, task.network.state_dict())
    assert '"BertForPreTraining"' in (tmp_path / "model" / "config.json").read_text(encoding="utf-8")
    written = model_files.read_weights(tmp_path / "model")
    assert written.keys() == task.network.state_dict().keys()
    assert {"bert.pooler.dense.weight", "cls.predictions.bias", "cls.seq_relationship.bias"} <= written.keys()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Data, and the configuration of a model for it."""
    metadata = Metadata(max_seq_length=32, max_predictions=4, vocabulary_size=50)
    for name, count in (("train", 40), ("eval", 17)):
        mapped.write_data_set(tmp_path / name, [drawn_instances(count, count)], metadata)
    model_files.write_config(tmp_path, BERT)
    return tmp_path


def read(folder: Path, *overrides: str) -> PretrainingConfig:
    given = (f"data_dir={folder}", f"model={folder / 'config.json'}", "max_seq_length=32", *overrides)
    return configurations.read("demo", given)


def test_a_configuration_makes_the_task(folder: Path) -> None:
    found = read(folder, "num_eval_examples=9", "train_batch_size=6", "gradient_accumulation_steps=2", "seed=4")
    opened = pretraining_setup.open_inputs(found)
    task = pretraining_setup.task_of(found, opened)
    assert (len(task.data.training), len(task.data.evaluation)) == (40, 9)
    assert len(task.draw(1)) == 12 and task.config == BERT
    plan = pretraining_setup.plan_of(found)
    optimizer = plan.make_optimizer(task.network)
    assert isinstance(optimizer, Lamb)
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)
    assert len(decayed["params"]) + len(plain["params"]) == len(list(task.network.parameters()))
    again = pretraining_setup.task_of(found, opened)
    assert all(torch.equal(a, b) for a, b in zip(task.network.parameters(), again.network.parameters(), strict=True))


def test_heads_that_a_checkpoint_lacks_are_named(folder: Path, tmp_path: Path) -> None:
    whole = BertForPreTraining(BERT, 0.0).state_dict()
    start = tmp_path / "start"
    start.mkdir()
    said: list[str] = []
    for left_out in ((), ("cls.seq_relationship.bias", "cls.seq_relationship.weight")):
        model_files.write_weights(start, {name: one for name, one in whole.items() if name not in left_out})
        config = read(folder, f"init_checkpoint={start}")
        pretraining_setup.task_of(config, pretraining_setup.open_inputs(config), said.append)
    (note,) = said
    assert all(name in note for name in ("cls.seq_relationship.weight", "cls.seq_relationship.bias"))


def test_a_presets_vocabulary_is_the_datas(folder: Path) -> None:
    assert pretraining_setup.geometry(read(folder, "model=bert-tiny"), 50).vocab_size == 50
    assert pretraining_setup.geometry(read(folder, "model=bert-large"), None).vocab_size == 30522


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["max_seq_length=16"], "expected samples of at most max_seq_length 16 tokens, found data made with 32"),
        (["max_seq_length=64"], "expected max_seq_length up to the model's 32 positions, found 64"),
        (
            ["model=bert-huge"],
            "bert-tiny or a config.json as model, found bert-huge",
        ),
        (["division=closed", "eval_interval_samples=150000"], "expected MLPerf's phase-1 checkpoint in the closed"),
        (["vocab=/nothing"], "at /nothing, found: No such file"),
        (["init_checkpoint=/nothing"], "found none at /nothing"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, overrides: list[str], message: str) -> None:
    found = read(folder, *overrides)
    with pytest.raises(UserError, match=message):
        pretraining_setup.open_inputs(found)


def test_the_models_vocabulary_is_the_datas(folder: Path) -> None:
    content = "".join(f"{word}\n" for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 122))))
    (folder / "vocab.txt").write_text(content, encoding="utf-8")
    opened = pretraining_setup.open_inputs(read(folder))
    found = pretraining_setup.task_of(read(folder), opened).data.vocabulary
    assert found is not None and list(found) == content.split()
    metadata = Metadata(max_seq_length=32, max_predictions=4, vocabulary_size=50, vocabulary_sha256="0" * 64)
    mapped.write_data_set(folder / "other", [drawn_instances(9, 9)], metadata)
    with pytest.raises(UsageError, match="expected the vocabulary of the data, with sha256 0000"):
        pretraining_setup.open_inputs(read(folder, f"train_dir={folder / 'other'}"))


def test_data_with_more_words_than_the_model_are_refused(folder: Path) -> None:
    model_files.write_config(folder, replace(BERT, vocab_size=49))
    with pytest.raises(UsageError, match="of at most the model's 49 entries, found 50"):
        pretraining_setup.open_inputs(read(folder))


def test_ids_of_data_that_names_no_vocabulary_are_held_to_the_models(folder: Path) -> None:
    instances = drawn_instances(9, 9)
    mapped.write_data_set(folder / "bare", [instances], Metadata(max_seq_length=32, max_predictions=4))
    model_files.write_config(folder, replace(BERT, vocab_size=int(instances.token_ids.max())))
    bare = [f"{name}={folder / 'bare'}" for name in ("train_dir", "eval_dir")]
    found = read(folder, *bare)
    with pytest.raises(ShardError, match=r"bare.*: expected token ids from 0 to"):
        pretraining_setup.task_of(found, pretraining_setup.open_inputs(found))


def test_data_must_be_named() -> None:
    with pytest.raises(UsageError, match=r"expected data_dir or eval_dir, found neither\. Type: --set data_dir=DIR"):
        pretraining_setup.open_inputs(configurations.read("demo", ["train_dir=/a"]))


def test_a_damaged_shard_ends_the_run_at_its_step(folder: Path, tmp_path: Path) -> None:
    found = read(folder, "train_batch_size=8", "max_steps=20", "eval_interval_samples=1000")
    opened = pretraining_setup.open_inputs(found)
    task = pretraining_setup.task_of(found, opened)
    shard = next(one for one in (folder / "train").iterdir() if one.name != mapped.INDEX)
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1  # in the last instance's data
    shard.write_bytes(content)
    step = next(step for step in range(1, 6) if 39 in dealing.rows_of_step(found.seed, step, 8, 40))
    with pytest.raises(
        RunFailedError, match=f"{shard.name}: .*Steps done: {step - 1}. No checkpoint was written"
    ) as error:
        train(task, pretraining_setup.plan_of(found), tmp_path / "run")
    assert error.value.exit_code == 3
