"""transformers' BertForPreTraining in transformers' Trainer, padded: what a user of that library runs.

Without accelerate, which Trainer needs, the same model runs in the loop that Trainer has: forward, backward, clip to 1,
fused AdamW.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from contextlib import nullcontext

import torch
import transformers
from torch import Tensor

from backends.bert.config import BertConfig
from training.shards.instances import Instances, Row

PADDED_TO, RATE = 512, 1e-4
PADDED_SAMPLES = 8  # of a micro-batch: it holds 512 x 512 weights of each head and layer
HAS_TRAINER = importlib.util.find_spec("accelerate") is not None
Sample = dict[str, Tensor]


def timed_steps(config: BertConfig, instances: Instances, least_s: float, precision: str) -> list[float]:
    """Seconds of each step after the first, until they take `least_s` together."""
    model = transformers.BertForPreTraining(
        transformers.BertConfig(  # dropout 0.1, BERT's own
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
        )
    ).train()
    samples = [_sample(row) for row in instances.rows()]
    steps = _trainer_steps if HAS_TRAINER else _plain_steps
    return steps(model, samples, least_s, precision == "bf16")


def _sample(row: Row) -> Sample:
    length = len(row.input_ids)
    padding = [0] * (PADDED_TO - length)
    labels = torch.full((PADDED_TO,), -100)
    labels[row.masked_lm_positions] = torch.tensor(row.masked_lm_ids)
    return {
        "input_ids": torch.tensor(row.input_ids + padding),
        "token_type_ids": torch.tensor(row.segment_ids + padding),
        "attention_mask": torch.tensor([1] * length + padding),
        "labels": labels,
        "next_sentence_label": torch.tensor(row.is_random_next),
    }


class _Clock(transformers.TrainerCallback):
    """The time of each step; ends the training."""

    def __init__(self, least_s: float) -> None:
        self.least_s, self.start_s = least_s, 0.0
        self.seconds: list[float] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        self.start_s = time.perf_counter()

    def on_step_end(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **_: object,
    ) -> None:
        self.seconds.append(time.perf_counter() - self.start_s)
        control.should_training_stop = sum(self.seconds[1:]) >= self.least_s


def _trainer_steps(
    model: transformers.BertForPreTraining, samples: list[Sample], least_s: float, bf16: bool
) -> list[float]:
    clock = _Clock(least_s)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            max_steps=1 << 20,
            per_device_train_batch_size=min(PADDED_SAMPLES, len(samples)),
            gradient_accumulation_steps=-(-len(samples) // PADDED_SAMPLES),
            learning_rate=RATE,
            lr_scheduler_type="constant",
            optim="adamw_torch_fused",
            bf16=bf16,
            use_cpu=True,
            disable_tqdm=True,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
        )
        transformers.Trainer(model, arguments, train_dataset=samples, callbacks=[clock]).train()
    return clock.seconds[1:]


def _plain_steps(
    model: transformers.BertForPreTraining, samples: list[Sample], least_s: float, bf16: bool
) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), RATE, fused=True)
    parts = [samples[start : start + PADDED_SAMPLES] for start in range(0, len(samples), PADDED_SAMPLES)]
    batches = [{name: torch.stack([one[name] for one in part]) for name in part[0]} for part in parts]
    seconds: list[float] = []
    while sum(seconds[1:]) < least_s or len(seconds) < 2:
        start_s = time.perf_counter()
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
                loss = model(**batch).loss / len(batches)
            torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start_s)
    return seconds
