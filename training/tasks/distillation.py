"""A small question answering model taught by a large one: the teacher's answers, states and attention as its targets.

Three targets in addition to the training file's own spans:

* start and end probabilities at a temperature (Hinton et al., arXiv 1503.02531; the factor T² keeps the gradients'
  size);
* states, through a linear map where the widths differ (TinyBERT, arXiv 1909.10351);
* how queries, keys and values of the last layer relate to each other (MiniLMv2, arXiv 2012.15828).

Student and teacher read the same packed batch, so they share a vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.bert.config import BertConfig
from foundation.arrays import Int64
from sut.errors import UsageError
from training.loop.task import Drawn, Loss
from training.loop.world import World
from training.network.packed_batch import PackedBatch
from training.tasks import reduction, relations
from training.tasks.feature_batches import packed
from training.tasks.phases import Phase
from training.tasks.squad import Shapes, SpanNetwork, SquadData, SquadTask, by_sample
from training.tasks.targets import Weights

_MAPS = "maps"
_STATE_WINDOWS = 256  # by which the teacher's states are known


@dataclass(frozen=True)
class Teacher:
    """A network that is not trained, and its geometry."""

    network: SpanNetwork
    config: BertConfig


class Distillation(SquadTask):
    """Trains a student on a teacher's targets.

    Raises:
        UsageError: the two do not fit each other.
    """

    def __init__(
        self,
        student: SpanNetwork,
        config: BertConfig,
        teacher: Teacher,
        data: SquadData,
        *,
        weights: Weights,
        seed: int,
        batch: int,
        phases: Sequence[Phase] = (),
    ) -> None:
        _require_fit(config, teacher.config, weights)
        self.maps = nn.ModuleList()
        if weights.states:
            torch.manual_seed(seed)
            self.maps.extend(_map(config, teacher.config) for _ in range(config.num_hidden_layers + 1))
            student.add_module(_MAPS, self.maps)  # trained with it, not kept
        super().__init__(student, config, data, seed, batch, phases)
        self.teacher = teacher.network.eval().requires_grad_(False).to(self.device)
        self.weights = weights

    @torch.no_grad()
    def start_from_teacher(self) -> None:
        """Set the student's weights, and the maps of its states, from the teacher's."""
        assert isinstance(self.network, SpanNetwork)
        batches = self.data.first_batches(_STATE_WINDOWS, self.seed, self.device)
        kept = reduction.start(self.network, self.teacher, batches)
        for one in self.maps:
            if isinstance(one, nn.Linear):
                one.weight.copy_(kept)
                one.bias.zero_()

    def loss(self, network: nn.Module, drawn: Drawn, mine: Int64, world: World) -> Loss:
        """The weighted targets, over the step's windows; of states and relations the mean over its tokens."""
        rows = drawn.rows[mine]
        batch = packed(self.data.features, rows, world.device)
        own = network(batch)
        with torch.no_grad():
            taught = self.teacher(batch)
        share = len(batch.input_ids) / int(drawn.lengths.sum())
        parts: dict[str, Tensor] = {"spans": self.span_loss(own.logits, batch, rows) / len(drawn)}
        if self.weights.logits:
            parts["logits"] = probabilities(own.logits, taught.logits, batch, self.weights.temperature) / len(drawn)
        if self.weights.states:
            parts["states"] = self._states(own, taught) * share
        if self.weights.relations:
            parts["relations"] = self._relations(own, taught, batch) / len(drawn)
        total = sum((getattr(self.weights, name) * value for name, value in parts.items()), torch.zeros(()))
        total = total + sum(phase.unused() for phase in self.phases)
        return Loss(total, {name: value.detach() for name, value in parts.items()})

    def _states(self, own: Shapes, taught: Shapes) -> Tensor:
        """The mean square of the differences, layers of the student spread evenly over those of its teacher."""
        deepest, layers = len(taught.states) - 1, len(own.states) - 1
        terms = [
            F.mse_loss(self.maps[index](state), taught.states[index * deepest // layers])
            for index, state in enumerate(own.states)
        ]
        return torch.stack(terms).mean()

    def _relations(self, own: Shapes, taught: Shapes, batch: PackedBatch) -> Tensor:
        assert isinstance(self.network, SpanNetwork)
        pair = (self.network, own), (self.teacher, taught)
        return relations.divergence(*pair, self.weights.relation_heads, batch)

    def exported(self) -> dict[str, Tensor]:
        """The best weights without the maps."""
        return {name: one for name, one in super().exported().items() if not name.startswith(f"{_MAPS}.")}


def _map(config: BertConfig, taught_by: BertConfig) -> nn.Module:
    """From a student's state to its teacher's: linear where the widths differ."""
    if config.hidden_size == taught_by.hidden_size:
        return nn.Identity()
    return nn.Linear(config.hidden_size, taught_by.hidden_size)


def _require_fit(config: BertConfig, taught_by: BertConfig, weights: Weights) -> None:
    if config.vocab_size != taught_by.vocab_size:
        raise UsageError(
            f"expected a student with its teacher's vocabulary of {taught_by.vocab_size:,} entries, found "
            f"{config.vocab_size:,}. Type: vocab_size {taught_by.vocab_size} in its config.json."
        )
    for name, one in (("student", config), ("teacher", taught_by)):
        if weights.relations and one.hidden_size % weights.relation_heads:
            raise UsageError(
                f"expected --relation-heads that divide the {name}'s hidden size {one.hidden_size}, found "
                f"{weights.relation_heads}. Type: --relation-heads 1"
            )


def probabilities(own: Tensor, taught: Tensor, batch: PackedBatch, temperature: float) -> Tensor:
    """Kullback–Leibler divergence of starts and ends [T, 2] at a temperature, times its square, summed over samples."""
    one, other = (F.log_softmax(by_sample(each, batch) / temperature, dim=1) for each in (own, taught))
    return F.kl_div(one, other, reduction="sum", log_target=True) * temperature**2 / 2
