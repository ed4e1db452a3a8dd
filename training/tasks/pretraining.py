"""BERT's pre-training as a task of the loop: masked LM at masked positions, and next sentence prediction.

The instances of a step are read on each rank, since the loss is divided by the masked tokens of the whole step, and the
ranks need not ask each other. 448 samples take milliseconds, in a thread, while the step before is computed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from backends.bert.config import BertConfig
from foundation.arrays import Int64
from sut.errors import UsageError
from training.loop.dealing import rows_of_step
from training.loop.evaluation import spread
from training.loop.task import Drawn, Evaluation, Loss
from training.loop.world import World
from training.network import model_files
from training.network.packed_batch import pack_instances
from training.shards.instances import Instances, InstanceSource

ARCHITECTURE = "BertForPreTraining"  # in config.json
MODEL = "model"  # the directory of the trained model


@dataclass(frozen=True)
class DrawnInstances(Drawn):
    """A step's samples with their tokens."""

    instances: Instances


@dataclass(frozen=True, kw_only=True)
class PretrainingData:
    """Attributes: evaluation: all of it is scored; `tokens_per_batch`: in an evaluation."""

    training: InstanceSource
    evaluation: Instances
    tokens_per_batch: int
    vocabulary: Sequence[str] | None = None  # written next to the model


class Pretraining:
    """A `Task`: the network's forward pass gives (masked LM logits [M, V], next sentence logits [B, 2])."""

    def __init__(
        self, network: nn.Module, config: BertConfig, data: PretrainingData, *, seed: int, global_batch_size: int
    ) -> None:
        self.network, self.config, self.data = network, config, data
        self.seed, self.global_batch_size = seed, global_batch_size
        self._reader = ThreadPoolExecutor(1, "instances")
        self._steps: dict[int, Future[DrawnInstances]] = {}

    def draw(self, step: int) -> DrawnInstances:
        """The next rows of the epoch's order. Raises ShardError, which names the file."""
        known = self._steps
        self._steps = {one: known.get(one) or self._reader.submit(self._read, one) for one in (step, step + 1)}
        return self._steps[step].result()

    def _read(self, step: int) -> DrawnInstances:
        rows = rows_of_step(self.seed, step, self.global_batch_size, len(self.data.training))
        instances = self.data.training.take(rows)
        return DrawnInstances(rows, instances.lengths, instances)

    def loss(self, network: nn.Module, drawn: Drawn, mine: Int64, world: World) -> Loss:
        """The share of the mean over the step's masked tokens, and of the mean over its samples."""
        assert isinstance(drawn, DrawnInstances)
        start_s = time.perf_counter()
        batch = pack_instances(drawn.instances.take(mine), world.device)
        loading_s = time.perf_counter() - start_s
        masked, is_next = network(batch)
        mlm = F.cross_entropy(masked, batch.masked_ids, reduction="sum") / drawn.instances.masked_ids.size
        nsp = F.cross_entropy(is_next, batch.is_random_next, reduction="sum") / len(drawn)
        return Loss(mlm + nsp, {"mlm_loss": mlm.detach(), "nsp_loss": nsp.detach()}, loading_s)

    def evaluate(self, network: nn.Module, world: World) -> Evaluation:
        """Σ right / Σ masked over all samples, as MLPerf has it, and the same of next sentence prediction."""
        instances = self.data.evaluation

        def score(rows: Int64) -> tuple[Tensor, ...]:
            batch = pack_instances(instances.take(rows), world.device)
            masked, is_next = network(batch)
            return (*_score(masked, batch.masked_ids), *_score(is_next, batch.is_random_next))

        totals = spread(instances.lengths, self.data.tokens_per_batch, world, score)
        masked, samples = instances.masked_ids.size, len(instances)
        names = ("mlm_accuracy", "mlm_loss", "nsp_accuracy", "nsp_loss")
        counts = (masked, masked, samples, samples)
        values = {name: total / count for name, total, count in zip(names, totals, counts, strict=True)}
        return Evaluation(values, samples)

    def after_step(self, step: int, parts: Mapping[str, float]) -> None:
        """Nothing depends on it."""

    def state(self) -> dict[str, Any]:
        """What the order of samples depends on, in addition to the seed and the step."""
        return {"global_batch_size": self.global_batch_size, "training_samples": len(self.data.training)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Raises UsageError where the checkpoint's run had other samples in a step."""
        for name, value in self.state().items():
            if state.get(name) != value:
                raise UsageError(
                    f"expected a checkpoint with {name} {value}, found {state.get(name)}. "
                    "Type: another --output, or the settings with which it was written."
                )

    def write_model(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Hugging Face's form: `backends` and `transformers` load it."""
        target = folder / MODEL
        target.mkdir(exist_ok=True)
        model_files.write_config(target, self.config, ARCHITECTURE)
        model_files.write_weights(target, weights)
        if self.data.vocabulary is not None:
            model_files.write_vocabulary(target, list(self.data.vocabulary))


def _score(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """How many are right, and the sum of their losses."""
    return (logits.argmax(1) == labels).sum(), F.cross_entropy(logits.float(), labels, reduction="sum")
