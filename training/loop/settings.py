"""The table of a pre-training run's settings: one row for each, under FlagPerf's names where it has one.

A TOML file below configs/pretraining, another one, and `--set name=value` set them; types, choices, ranges and the
guide's table come from here. A setting that is None was not given: the run chooses, as `implied` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_type_hints

from sut.settings.setting import Setting, one_of, row_of, setting

EVALUATION_SAMPLES = "MLPerf's formula: FLOOR(0.05·(230.23·global batch + 3,000,000), 25,000)"
_MODEL = "model and data"
_RUN = "length and evaluation"
_OPTIMIZER = "optimizer"
_BATCH = "devices and batches"
_FILES = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """One run of pre-training, with paths as the user gave them."""

    # fmt: off
    model: str = setting(
        "bert-large", "bert-large, bert-base, bert-tiny, or a config.json", _MODEL, metavar="NAME",
        aliases=("bert_config_path", "bert_model"))
    data_dir: Path | None = setting(
        None, "directory with the training and the evaluation data: FlagPerf's layout, or what "
        "training.pretrain_data wrote", _MODEL, implied="train_dir and eval_dir")
    train_dir: Path | None = setting(
        None, "training data: a file or a directory in any supported form", _MODEL, implied="that of data_dir")
    eval_dir: Path | None = setting(
        None, "evaluation data", _MODEL, implied="that of data_dir")
    init_checkpoint: Path | None = setting(
        None, "weights to start from, TensorFlow's or PyTorch's", _MODEL, implied="none: random weights")
    initial_weights: str = setting(
        "bert", "random weights without init_checkpoint: bert, as published; early: sinusoid positions and equal "
        "queries and keys, with which a small model learns much sooner", _MODEL, choices=one_of("bert", "early"))
    vocab: Path | None = setting(
        None, "vocab.txt, written next to the trained model", _MODEL, implied="that of the data, if it has one")
    max_seq_length: int = setting(
        512, "longest sample", _MODEL, unit="tokens", above=0)
    dropout: float = setting(
        0.1, "of hidden states and of attention", _MODEL, least=0)
    division: str = setting(
        "open", "MLPerf's division, which the log names", _RUN, choices=one_of("closed", "open"))
    target_mlm_accuracy: float = setting(
        0.72, "masked-LM accuracy at which the run ends", _RUN, above=0)
    max_steps: int = setting(
        7100, "optimizer steps at most; the learning rate is 0 there", _RUN, above=0)
    max_samples: int | None = setting(
        None, "training samples at most, over all devices", _RUN, implied="as many as max_steps trains", above=0,
        unit="samples", aliases=("max_samples_termination",))
    eval_interval_samples: int | None = setting(
        None, "training samples between two evaluations", _RUN, implied=EVALUATION_SAMPLES, above=0, unit="samples",
        aliases=("eval_iter_samples",))
    eval_start_samples: int | None = setting(
        None, "training samples before the first evaluation after the start's", _RUN, implied="eval_interval_samples",
        least=0, unit="samples", aliases=("eval_iter_start_samples",))
    num_eval_examples: int | None = setting(
        None, "samples of an evaluation: the first of the evaluation data", _RUN, implied="all", above=0,
        unit="samples")
    seed: int = setting(
        1, "of initial weights, dropout and the order of samples", _RUN, least=0)
    optimizer: str = setting(
        "lamb", "lamb, as the reference has it, or adamw", _OPTIMIZER, choices=one_of("lamb", "adamw"))
    learning_rate: float = setting(
        3.5e-4, "at which the warm-up aims", _OPTIMIZER, above=0, aliases=("lr",))
    warmup_steps: int = setting(
        0, "steps of linear warm-up", _OPTIMIZER, least=0)
    start_warmup_step: int = setting(
        0, "step at which the warm-up starts; a negative one begins inside it", _OPTIMIZER)
    count_from: int = setting(
        0, "number of the first step in the schedule: 0 as the reference counts, 1 as NVIDIA's submissions do",
        _OPTIMIZER, least=0)
    opt_lamb_beta_1: float = setting(
        0.9, "decay of the mean of gradients", _OPTIMIZER, least=0, aliases=("beta_1",))
    opt_lamb_beta_2: float = setting(
        0.999, "decay of the mean of squared gradients", _OPTIMIZER, least=0, aliases=("beta_2",))
    opt_epsilon: float = setting(
        1e-6, "added to the root of the mean of squares", _OPTIMIZER, above=0)
    weight_decay_rate: float = setting(
        0.01, "weight decay; biases and LayerNorm have none", _OPTIMIZER, least=0, aliases=("weight_decay",))
    clip_norm: float = setting(
        1.0, "gradients with a larger global norm are scaled down to it", _OPTIMIZER, above=0)
    clip: str = setting(
        "after", "after the gradients of all devices are added up, or before, on each", _OPTIMIZER,
        choices=one_of("after", "before"))
    nodes: int = setting(
        1, "machines", _BATCH, above=0)
    devices_per_node: int = setting(
        1, "processes of each machine, one a GPU", _BATCH, above=0)
    train_batch_size: int = setting(
        56, "samples of a device in a micro-batch", _BATCH, unit="samples", above=0)
    gradient_accumulation_steps: int = setting(
        1, "micro-batches of a step. The global batch is their product with train_batch_size and all devices, also "
        "while fewer devices take part", _BATCH, above=0)
    max_tokens_per_micro_batch: int | None = setting(
        None, "tokens of a micro-batch at most: more are split", _BATCH,
        implied="train_batch_size · max_seq_length", unit="tokens", above=0)
    device: str = setting(
        "auto", "cpu, cuda, or auto: cuda where there is a GPU", _BATCH, choices=one_of("auto", "cpu", "cuda"))
    precision: str = setting(
        "fp32", "of matrix products; weights and updates are fp32", _BATCH, choices=one_of("fp32", "bf16", "fp16"))
    parallel: str = setting(
        "ddp", "ddp: each device holds the model; fsdp: they share it", _BATCH, choices=one_of("ddp", "fsdp"))
    activation_checkpointing: bool = setting(
        False, "compute activations twice to hold fewer", _BATCH)
    compile: bool = setting(
        False, "compile the network with torch.compile", _BATCH)
    timeout_s: float = setting(
        600.0, "after which a silent process counts as lost", _BATCH, unit="s", above=0)
    checkpoint_interval_steps: int | None = setting(
        None, "steps between two checkpoints; each evaluation writes one, too", _FILES,
        implied="only where the run ends or is interrupted", above=0, unit="steps", aliases=("checkpoint_steps",))
    checkpoints_kept: int = setting(
        2, "newest checkpoints that are kept, in addition to the best", _FILES, above=0)
    # fmt: on

    @property
    def devices(self) -> int:
        """Of all nodes."""
        return self.nodes * self.devices_per_node

    @property
    def global_batch_size(self) -> int:
        """Samples of an optimizer step, whatever the number of devices that take part."""
        return self.train_batch_size * self.gradient_accumulation_steps * self.devices

    @property
    def tokens_per_micro_batch(self) -> int:
        return self.max_tokens_per_micro_batch or self.train_batch_size * self.max_seq_length

    @property
    def evaluation_samples(self) -> int:
        """Between two evaluations."""
        return self.eval_interval_samples or official_interval(self.global_batch_size)


def official_interval(global_batch_size: int) -> int:
    """Samples between two evaluations (training_policies/training_rules.adoc, BERT)."""
    return int(0.05 * (230.23 * global_batch_size + 3_000_000)) // 25_000 * 25_000


def _rows() -> Mapping[str, Setting]:
    hints = get_type_hints(PretrainingConfig)
    found = (row_of(one, hints[one.name]) for one in fields(PretrainingConfig))
    return {row.name: row for row in found if row is not None}


SETTINGS = _rows()
NAMES = {name: row.name for row in SETTINGS.values() for name in (row.name, *row.aliases)}
# What a run may go on with changed: where things lie, and how the same samples are computed.
FREE = frozenset({
    "data_dir", "train_dir", "eval_dir", "init_checkpoint", "vocab",
    "nodes", "devices_per_node", "train_batch_size", "gradient_accumulation_steps", "max_tokens_per_micro_batch",
    "device", "parallel", "activation_checkpointing", "compile", "timeout_s",
    "checkpoint_interval_steps", "checkpoints_kept",
})  # fmt: skip
# FlagPerf's names that have no place here → why, or what to set in their place.
ELSEWHERE = {
    "exchange_padding": "samples are always dealt by length",
    "unpad": "nothing is ever padded",
    "unpad_fmha": "nothing is ever padded",
    "dense_seq_output": "the masked-LM head always sees masked tokens alone",
    "fused_gelu_bias": "type compile = true",
    "fused_mha": "attention is always one operation",
    "fp16": 'type precision = "fp16"',
    "loss_scale": "fp16's loss scale is always found while training",
    "eval_step": "evaluations are due by samples: type eval_interval_samples",
    "eval_batch_size": "type max_tokens_per_micro_batch",
    "warmup_proportion": "type warmup_steps",
    "log_freq": "each step is on record in steps.csv",
    "local_rank": "the launcher sets it",
    "dist_backend": "gloo on a CPU, nccl on GPUs",
    "use_ddp": 'type parallel = "ddp" or "fsdp"',
    "output_dir": "type --output DIR",
    "do_train": "training is what the command does",
    "cache_eval_data": "evaluation data is memory-mapped",
    "vendor": "the device says it",
}
