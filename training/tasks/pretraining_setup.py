"""From a configuration to the task and the plan of a pre-training run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from backends.bert.architectures import require_bert
from backends.bert.config import RANDOM_GEOMETRIES, BertConfig
from backends.bert.config_files import read_config
from foundation.suggest import did_you_mean
from qsl import tokenizer_files
from qsl.data_file import DataFile
from sut.errors import UsageError
from training.loop.events import DataOpened, Hyperparameters
from training.loop.parallel import Parallel
from training.loop.plan import Plan, Precision
from training.loop.settings import PretrainingConfig
from training.network import model_files, weights
from training.network.initial_weights import INITIAL_WEIGHTS
from training.network.packed_bert import BertForPreTraining
from training.optimizers.lamb import Lamb, parameter_groups
from training.optimizers.schedule import Schedule
from training.shards.data_set import DataSet
from training.shards.directory import open_evaluation, open_instances
from training.shards.mapped import MappedShard
from training.tasks.pretraining import Pretraining, PretrainingData


def plan_of(config: PretrainingConfig) -> Plan:
    """How the loop trains."""
    return Plan(
        seed=config.seed,
        max_steps=config.max_steps,
        make_optimizer=partial(optimizer_of, config),
        learning_rate=schedule_of(config),
        max_tokens_per_micro_batch=config.tokens_per_micro_batch,
        precision=cast(Precision, config.precision),
        parallel=cast(Parallel, config.parallel),
        clip_norm=config.clip_norm,
        clip_before_reduction=config.clip == "before",
        target=config.target_mlm_accuracy,
        max_samples=config.max_samples,
        evaluate_every_samples=config.evaluation_samples,
        evaluate_from_samples=config.eval_start_samples or 0,
        checkpoint_every_steps=config.checkpoint_interval_steps,
        kept=config.checkpoints_kept,
    )


def schedule_of(config: PretrainingConfig) -> Schedule:
    """The learning rate of each step."""
    return Schedule(
        base=config.learning_rate,
        warmup_steps=config.warmup_steps,
        max_steps=config.max_steps,
        start_step=config.start_warmup_step,
        counted_from=config.count_from,
    )


def optimizer_of(config: PretrainingConfig, network: nn.Module) -> Optimizer:
    """LAMB or AdamW over a network's parameters."""
    groups = parameter_groups(network, config.weight_decay_rate)
    betas = (config.opt_lamb_beta_1, config.opt_lamb_beta_2)
    if config.optimizer == "lamb":
        return Lamb(groups, config.learning_rate, betas, config.opt_epsilon)
    return AdamW(groups, config.learning_rate, betas, config.opt_epsilon, fused=True)


def hyperparameters_of(config: PretrainingConfig) -> Hyperparameters:
    """What the log of MLPerf's closed division has."""
    return Hyperparameters(
        global_batch_size=config.global_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        optimizer=config.optimizer,
        learning_rate=config.learning_rate,
        beta_1=config.opt_lamb_beta_1,
        beta_2=config.opt_lamb_beta_2,
        epsilon=config.opt_epsilon,
        weight_decay=config.weight_decay_rate,
        max_steps=config.max_steps,
        warmup_steps=config.warmup_steps,
        start_warmup_step=config.start_warmup_step,
    )


@dataclass(frozen=True)
class Opened:
    """What a run reads, opened and found to fit together; only headers are read.

    Attributes:
        vocabulary: the entries with which the data was made; None where they are not known.
    """

    training: DataSet
    evaluation: DataSet
    bert: BertConfig
    vocabulary: list[str] | None


def open_inputs(config: PretrainingConfig) -> Opened:
    """Data and the model's geometry.

    Raises:
        UsageError, BackendError: the configuration names none, or they do not fit each other.
        ShardError: there are no data at that path, or they are damaged.
    """
    if config.division == "closed" and config.init_checkpoint is None:
        raise UsageError(
            "expected MLPerf's phase-1 checkpoint in the closed division, found no init_checkpoint. "
            "Type: --set init_checkpoint=FILE, or --set division=open"
        )
    training, evaluation = _open_data(config)
    bert = geometry(config, training.vocabulary_size)
    if config.max_seq_length > bert.max_position_embeddings:
        raise UsageError(
            f"expected max_seq_length up to the model's {bert.max_position_embeddings} positions, "
            f"found {config.max_seq_length}. Type: --set max_seq_length={bert.max_position_embeddings}, with data "
            "made with --max-seq-length of no more."
        )
    if config.init_checkpoint is not None:
        weights.require(config.init_checkpoint)
    return Opened(_fitting(training, bert), _fitting(evaluation, bert), bert, _vocabulary(config, training))


def _fitting(data: DataSet, bert: BertConfig) -> DataSet:
    """Data that is refused, when it is read, for ids that the model does not have."""
    if data.vocabulary_size is None:
        return replace(data, vocabulary_size=bert.vocab_size)
    if data.vocabulary_size > bert.vocab_size:
        raise UsageError(
            f"expected data made with a vocabulary of at most the model's {bert.vocab_size:,} entries, found "
            f"{data.vocabulary_size:,}. Type: vocab_size {data.vocabulary_size} in the model's config.json, or "
            "pretrain_data with the model's --vocab."
        )
    return data


def _open_data(config: PretrainingConfig) -> tuple[DataSet, DataSet]:
    training, evaluation = data_paths(config)
    found = (open_instances(training), open_instances(evaluation) if config.eval_dir else open_evaluation(evaluation))
    for data, path in zip(found, (training, evaluation), strict=True):
        if not len(data):
            raise UsageError(f"expected at least one sample in {path}, found none.")
        if data.metadata.max_seq_length > config.max_seq_length:
            raise UsageError(
                f"expected samples of at most max_seq_length {config.max_seq_length} tokens, found data made with "
                f"{data.metadata.max_seq_length}. Type: --set max_seq_length={data.metadata.max_seq_length}"
            )
    return found


def data_paths(config: PretrainingConfig) -> tuple[Path, Path]:
    """Where training and evaluation data are. Raises UsageError."""
    training, evaluation = config.train_dir or config.data_dir, config.eval_dir or config.data_dir
    if training is None or evaluation is None:
        name = "train_dir" if training is None else "eval_dir"
        raise UsageError(f"expected data_dir or {name}, found neither. Type: --set data_dir=DIR")
    return training, evaluation


def read_paths(config: PretrainingConfig) -> list[Path]:
    """All files and directories that a run reads."""
    others = (config.init_checkpoint, config.vocab)
    return [*dict.fromkeys(data_paths(config)), *(path for path in others if path is not None)]


def data_events(config: PretrainingConfig, found: Opened) -> Iterator[DataOpened]:
    """The events of opened data."""
    both = (found.training, found.evaluation)
    for use, path, data in zip(("training", "evaluation"), data_paths(config), both, strict=True):
        yield DataOpened(use=use, path=path, samples=len(data), sha256=_digest(data), digest_of="its shards' sha256")


def _digest(data: DataSet) -> str | None:
    """The sha256 of its shards' sha256; None where a form has none."""
    sums = [shard.entry.header.sha256 for shard in data.shards if isinstance(shard, MappedShard)]
    return hashlib.sha256("".join(sums).encode()).hexdigest() if len(sums) == len(data.shards) else None


def geometry(config: PretrainingConfig, vocabulary_size: int | None) -> BertConfig:
    """The model's geometry; a preset's vocabulary is that of the data.

    Raises:
        UsageError, BackendError: there is no such model.
    """
    if config.model in RANDOM_GEOMETRIES:
        preset = RANDOM_GEOMETRIES[config.model]
        return replace(preset, vocab_size=vocabulary_size or preset.vocab_size)
    if not Path(config.model).exists():
        raise UsageError(
            f"expected one of {', '.join(RANDOM_GEOMETRIES)} or a config.json as model, found {config.model}."
            f"{did_you_mean(config.model, RANDOM_GEOMETRIES)}"
        )
    return require_bert(read_config(Path(config.model)), "training")


def task_of(config: PretrainingConfig, found: Opened, say: Callable[[str], None] = lambda _: None) -> Pretraining:
    """The network with its data; `say` is called with a notice. Raises UsageError, BackendError."""
    torch.manual_seed(config.seed)
    network = BertForPreTraining(found.bert, config.dropout, checkpointed=config.activation_checkpointing)
    INITIAL_WEIGHTS[config.initial_weights](network, found.bert)
    if config.init_checkpoint is not None:
        lacking = weights.load(network, config.init_checkpoint)
        if lacking:
            say(f"note: {config.init_checkpoint} has no {', '.join(lacking)}: random weights take their place")
    if config.compile:
        network.bert.compile_layers()
    count = min(len(found.evaluation), config.num_eval_examples or len(found.evaluation))
    data = PretrainingData(
        training=found.training,
        evaluation=found.evaluation.take(np.arange(count)),
        tokens_per_batch=config.tokens_per_micro_batch,
        vocabulary=found.vocabulary,
    )
    return Pretraining(network, found.bert, data, seed=config.seed, global_batch_size=config.global_batch_size)


def _vocabulary(config: PretrainingConfig, training: DataSet) -> list[str] | None:
    """The entries with which the data was made, to be written next to the model; None where they are not known."""
    neighbour = config.data_dir / model_files.VOCABULARY if config.data_dir else None
    path = config.vocab or (neighbour if neighbour and neighbour.is_file() else None)
    if path is None:
        return None
    file = DataFile(path, tokenizer_files.KIND, "vocab")
    found = tokenizer_files.read(file).tokens
    expected = training.metadata.vocabulary_sha256
    if expected not in (None, file.sha256):
        raise UsageError(
            f"expected the vocabulary of the data, with sha256 {expected}, found {file.sha256} in {path}. "
            "Type: --set vocab=FILE with the vocabulary of the data."
        )
    return found
