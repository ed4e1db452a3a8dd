"""A question answering model as a task of the loop: a SQuAD v1.1 file's windows, those of runs, and their spans.

Each epoch has its own order of windows, so a step's windows depend on the seed and its number alone. The weights that
are kept are those with the best F1 on the development file, scored as a run's answers are; of equals the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from accuracy.log import PAD_LOGIT
from backends.bert.config import BertConfig
from backends.bert.heads import COLUMNS
from foundation.arrays import Int64
from qsl.base import DatasetError, Features
from qsl.data_file import DataFile
from qsl.squad import SquadDataSet
from qsl.squad_examples import KIND
from training.loop.dealing import rows_of_step
from training.loop.task import Drawn, Evaluation, Loss
from training.loop.world import CPU, World
from training.network import model_files
from training.network.packed_batch import PackedBatch, on
from training.network.packed_bert import PackedBert
from training.tasks import squad_spans
from training.tasks.feature_batches import packed
from training.tasks.phases import Phase
from training.tasks.question_scores import evaluate

_BEST = "best."  # in a checkpoint
_SMALL = 32  # windows of a batch


@dataclass(frozen=True, kw_only=True)
class SquadData:
    """What is trained on, and what is scored.

    Attributes:
        features: the training file's N windows; `spans`: int64 [N, 2], their labels.
        dev: the file that is scored.
    """

    features: Features
    spans: Int64
    questions: int
    dev: Path
    vocab: Path
    vocabulary: tuple[str, ...]

    def first_batches(self, windows: int, seed: int, device: torch.device = CPU) -> list[PackedBatch]:
        """Some of the windows that are trained on, in small batches."""
        count = len(self.spans)
        rows = rows_of_step(seed, 1, min(count, windows), count)
        return [packed(self.features, one, device) for one in np.array_split(rows, -(-len(rows) // _SMALL))]


def read(train: Path, dev: Path, vocab: Path) -> SquadData:
    """Read and label a training file.

    Raises:
        DatasetError: a file cannot be used, has questions without answers, or is both.
    """
    files = [DataFile(path, KIND, flag) for path, flag in ((train, "--train"), (dev, "--dev"))]
    if files[0].sha256 == files[1].sha256:
        raise DatasetError(f"expected another file to score than {train}, found the same in {dev}. Type: --dev FILE")
    trained, scored = (SquadDataSet(file, vocab, None) for file in files)
    shared = {example.id for example in trained.examples} & {example.id for example in scored.examples}
    if shared:
        raise DatasetError(
            f"expected questions in {dev} that are not trained on, found {len(shared):,} of {train}, including "
            f"{min(shared)}. Type: --dev, and a file with others."
        )
    scored.check_scorable()
    squad_spans.require_answers(trained.examples, train)
    found = trained.squad_features
    return SquadData(
        features=found.features,
        spans=squad_spans.spans(trained.examples, found, trained.vocabulary),
        questions=len(trained.examples),
        dev=dev,
        vocab=vocab,
        vocabulary=tuple(trained.vocabulary.tokens),
    )


@dataclass(frozen=True)
class Shapes:
    """What a step computes of each layer, for losses on the inside of a network."""

    logits: Tensor  # float32 [T, 2]
    states: tuple[Tensor, ...]  # [T, H], what each layer reads, and what the last one gives


class SpanNetwork(nn.Module):
    """`backends.bert.torch_module.BertForQuestionAnswering` on packed batches."""

    def __init__(self, config: BertConfig, dropout: float) -> None:
        super().__init__()
        self.bert = PackedBert(config, dropout)
        self.qa_outputs = nn.Linear(config.hidden_size, COLUMNS)

    def forward(self, batch: PackedBatch) -> Shapes:
        whole = batch.filled
        states = [self.bert.embeddings(whole.input_ids, whole.token_type_ids, whole.position_ids)]
        for layer in self.bert.encoder.layer:
            states.append(layer(states[-1], whole))
        if whole is not batch:
            states = [state[: len(batch.input_ids)] for state in states]
        return Shapes(self.qa_outputs(states[-1]).float(), tuple(states))


def by_sample(logits: Tensor, batch: PackedBatch) -> Tensor:
    """[T, 2] → [B, longest, 2], padded with a logit that no token has."""
    return batch.padded(logits, PAD_LOGIT)


class SquadTask:
    """Trains a network on spans.

    Args:
        network: with the weights to start from, on their device, and the modules of the phases.
        phases: change the network on the way; weights are kept once all are final.
    """

    def __init__(
        self,
        network: SpanNetwork,
        config: BertConfig,
        data: SquadData,
        seed: int,
        batch: int,
        phases: Sequence[Phase] = (),
    ) -> None:
        self.device = network.qa_outputs.weight.device
        self.network: nn.Module = network.to(self.device)  # the phases' tensors too
        self.config, self.data, self.seed, self.batch, self.phases = config, data, seed, batch, phases
        for phase in phases:
            phase.after_step(0)
        self.best_f1 = -1.0
        self.best = self._weights()  # all that a checkpoint may fill

    @cached_property
    def _lengths(self) -> Int64:
        return self.data.features.lengths.astype(np.int64)

    def draw(self, step: int) -> Drawn:
        """The next rows of the epoch's permutation."""
        rows = rows_of_step(self.seed, step, self.batch, len(self.data.spans))
        return Drawn(rows, self._lengths[rows].astype(np.int32))

    def loss(self, network: nn.Module, drawn: Drawn, mine: Int64, world: World) -> Loss:
        """Cross-entropy of start and end, over the step's windows."""
        rows = drawn.rows[mine]
        batch = packed(self.data.features, rows, world.device)
        spans = self.span_loss(network(batch).logits, batch, rows) / len(drawn)
        unused = sum(phase.unused() for phase in self.phases)
        return Loss(spans + unused, {"spans": spans.detach()})

    def span_loss(self, logits: Tensor, batch: PackedBatch, rows: Int64) -> Tensor:
        """The mean of starts' and ends' cross-entropy, summed over windows."""
        labels = on(logits.device, self.data.spans[rows], np.int64)
        return F.cross_entropy(by_sample(logits, batch), labels, reduction="sum") / COLUMNS

    def evaluate(self, network: nn.Module, world: World) -> Evaluation:
        """F1 and exact match in percent; keeps the weights if none before were better."""

        def logits_of(batch: PackedBatch) -> Tensor:
            return network(batch).logits  # type: ignore[no-any-return]

        with torch.autocast(world.device.type, enabled=False):  # as the kept model runs
            score = evaluate(logits_of, self.data.dev, self.data.vocab, world)
        if score.f1 >= self.best_f1 and all(phase.is_final for phase in self.phases):
            self.best_f1, self.best = score.f1, self._weights()
        return Evaluation({"f1": score.f1, "exact_match": score.exact_match}, len(score.question_f1))

    def _weights(self) -> dict[str, Tensor]:
        return {name: one.detach().clone() for name, one in self.network.state_dict().items()}

    def after_step(self, step: int, parts: Mapping[str, float]) -> None:
        """Each phase changes what it has to."""
        for phase in self.phases:
            phase.after_step(step)

    def state(self) -> dict[str, Any]:
        """The best weights so far."""
        return {"best_f1": self.best_f1, **{f"{_BEST}{name}": one for name, one in self.best.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.best_f1 = state["best_f1"]
        self.best = {name: state[f"{_BEST}{name}"] for name in self.best}
        for phase in self.phases:
            phase.resumed()

    def exported(self) -> dict[str, Tensor]:
        """The best weights as they are written."""
        kept = {name: one.cpu() for name, one in self.best.items()}
        for phase in self.phases:
            kept = phase.exported(kept)
        return kept

    def write_model(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """The best weights, in Hugging Face's form."""
        del weights  # the last ones
        model_files.write_model(folder, self.config, list(self.data.vocabulary), self.exported())
