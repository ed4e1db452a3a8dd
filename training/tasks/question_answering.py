"""The embedded question answering model as a task of the loop: new passages without end, short ones first.

Passages get longer in stages, when the current length is learned: the model learns to match a name across a text within
minutes on short passages, and hardly ever on long ones. Stage and averages are the task's state; everything else
follows from the seed and the step, so an interrupted training ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from accuracy.squad import SquadScore
from backends.bert.config import BertConfig
from foundation.arrays import Int64
from qsl import demo
from qsl.demo.seeded_choice import Draw
from sut.errors import UsageError
from training.loop.task import Drawn, Evaluation, Loss
from training.loop.world import World
from training.network import model_files
from training.tasks.question_network import QuestionNetwork, exact_spans, span_loss
from training.tasks.question_samples import Sample, SampleMaker, load_tokenizer, pool
from training.tasks.question_scores import evaluate
from training.tasks.recipe_flags import BATCH
from training.tasks.recipes import Recipe, cosine

LAYERS, HIDDEN, HEADS = 4, 128, 4
STAGES = (3, 5, 8, 12, 18)  # maximum facts per passage; after the last stage the data set's own lengths
LEARNED = 0.8  # share of exact spans at which a stage ends
OWN_LENGTHS_FROM = 0.55  # share of the steps after which all stages end
POOL = 16  # steps whose samples are made at once
AVERAGE = 0.998
MARK_WEIGHT = 0.5
RATE, WARMUP_STEPS, DECAY_FROM, LAST_SHARE = 1.5e-3, 200, 0.5, 0.01
EVALUATE_EVERY = 25_000
SCORED_SEED, SCORED_QUESTIONS = 3, 400  # neither trained on nor in the dev split
POOL_SEEDS, SEED_DISTANCE = 1000, 10_000_000  # random streams other than the train split's


@dataclass(frozen=True)
class DrawnQuestions(Drawn):
    """Attributes: samples: of the step."""

    samples: tuple[Sample, ...]


@dataclass
class Curriculum:
    """The stage, and the running share of exact spans that ends it."""

    max_steps: int
    stage: int = 0
    exact: float = 0.0

    def record(self, step: int, exact: float) -> None:
        """After a step of which this share of spans was exactly right."""
        self.exact += max(0.01, 1 / step) * (exact - self.exact)
        if self.stage < len(STAGES) and (self.exact > LEARNED or step > OWN_LENGTHS_FROM * self.max_steps):
            self.stage, self.exact = self.stage + 1, 0.0


def fact_count(stage: int, draw: Draw) -> int:
    """The number of facts of the next passage."""
    if stage == len(STAGES):
        return demo.fact_count(draw)
    return draw.between(max(2, STAGES[stage] // 3), STAGES[stage])


def configure(entries: list[str]) -> BertConfig:
    """The model's geometry."""
    return BertConfig(
        vocab_size=len(entries),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
    )


def recipe(max_steps: int) -> Recipe:
    """AdamW: warm-up, a plateau, then half a cosine."""
    start = DECAY_FROM * max_steps

    def share(step: int) -> float:
        decayed = cosine((step - start) / max(1.0, max_steps - start))
        return min(1.0, step / WARMUP_STEPS) * (LAST_SHARE + (1 - LAST_SHARE) * decayed)

    return Recipe(
        name="question_answering",
        batch=BATCH,
        max_steps=max_steps,
        rate=RATE,
        warmup_steps=WARMUP_STEPS,
        share=share,
        precision="bf16",
        evaluate_every=EVALUATE_EVERY,
    )


class QuestionTask:
    """Trains on passages of the generator; what is scored and kept is a moving average of the weights.

    Args:
        folder: for the files that evaluations read.
        questions: of an evaluation.
    """

    def __init__(
        self, entries: list[str], folder: Path, seed: int, max_steps: int, questions: int = SCORED_QUESTIONS
    ) -> None:
        self.entries, self.folder, self.seed, self.questions = entries, folder, seed, questions
        self.config = configure(entries)
        torch.manual_seed(seed)
        self.network: nn.Module = QuestionNetwork(self.config)
        self.curriculum = Curriculum(max_steps)
        self.averaged = {name: one.detach().clone() for name, one in self.network.named_parameters()}
        self._maker = SampleMaker(load_tokenizer(entries), Draw(0))
        self._pool_number, self._pool_stage = -1, 0
        self._pool: list[Sample] = []

    def start_from(self, folder: Path) -> None:
        """Take the weights of an embedded model; those of the marks stay as they are. Raises UsageError."""
        if not (folder / model_files.WEIGHTS).is_file():
            raise UsageError(
                f"expected {model_files.WEIGHTS} in {folder}, found none. Type: --output, and its directory."
            )
        self.network.load_state_dict(model_files.read_weights(folder), strict=False)
        self.averaged = {name: one.detach().clone() for name, one in self.network.named_parameters()}

    def draw(self, step: int) -> DrawnQuestions:
        """The next samples of the pool; a new pool is made at the stage of its first step."""
        number, place = divmod(step - 1, POOL)
        if number != self._pool_number:
            self._pool_number, self._pool_stage, self._pool = number, self.curriculum.stage, []
        self._pool = self._pool or self._make_pool()
        samples = tuple(self._pool[place * BATCH : (place + 1) * BATCH])
        return DrawnQuestions(np.arange(BATCH), np.array([one.length for one in samples], np.int32), samples)

    def _make_pool(self) -> list[Sample]:
        self._maker.draw = demo.stream("train", POOL_SEEDS + self.seed * SEED_DISTANCE + self._pool_number)
        return pool(self._maker, lambda draw: fact_count(self._pool_stage, draw), BATCH * POOL)

    def loss(self, network: nn.Module, drawn: Drawn, mine: Int64, world: World) -> Loss:
        """Spans over the step's samples, marks over its passages' tokens."""
        assert isinstance(drawn, DrawnQuestions)
        batch = self._maker.batch([drawn.samples[one] for one in mine], world.device)
        logits, marks = network(batch)
        spans = span_loss(logits, batch) / len(drawn)
        tokens = sum(len(one.passage) + 1 for one in drawn.samples)
        marked = F.binary_cross_entropy_with_logits(marks, batch.marks, reduction="sum") / tokens
        exact = exact_spans(logits, batch) / len(drawn)
        return Loss(spans + MARK_WEIGHT * marked, {"spans": spans.detach(), "marks": marked.detach(), "exact": exact})

    def evaluate(self, network: nn.Module, world: World) -> Evaluation:
        """F1 and exact match in percent, of the averaged weights."""
        dataset = self.folder / f"scored-{world.rank}.json"
        if not dataset.exists():
            demo.write(dataset, "dev", SCORED_SEED, self.questions)
        score = self.score(dataset, world)
        return Evaluation({"f1": score.f1, "exact_match": score.exact_match}, self.questions)

    def score(self, dataset: Path, world: World) -> SquadScore:
        """The averaged weights' score on a SQuAD v1.1 file."""
        vocab = self.folder / f"{world.rank}-{model_files.VOCABULARY}"
        vocab.write_text("\n".join(self.entries) + "\n", encoding="utf-8")
        with torch.autocast(world.device.type, enabled=False):  # as the kept model runs
            return evaluate(lambda batch: functional_call(self.network, self.averaged, batch)[0], dataset, vocab, world)

    @torch.no_grad()
    def after_step(self, step: int, parts: Mapping[str, float]) -> None:
        """Moves the averages and the stage on."""
        current = {name: one.detach() for name, one in self.network.named_parameters()}
        self.averaged = {name: one.to(current[name].device) for name, one in self.averaged.items()}
        keep = min(AVERAGE, (step - 1) / (step + 9))
        torch._foreach_lerp_(list(self.averaged.values()), list(current.values()), 1 - keep)
        self.curriculum.record(step, parts["exact"])

    def state(self) -> dict[str, Any]:
        """The stage, of the curriculum and of the pool in use, and the averaged weights."""
        return {
            "stage": self.curriculum.stage,
            "exact": self.curriculum.exact,
            "pool_number": self._pool_number,
            "pool_stage": self._pool_stage,
            **{f"averaged.{name}": one for name, one in self.averaged.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; the pool in use is made again."""
        self.curriculum.stage, self.curriculum.exact = state["stage"], state["exact"]
        self._pool_number, self._pool_stage, self._pool = state["pool_number"], state["pool_stage"], []
        self.averaged = {name: state[f"averaged.{name}"] for name in self.averaged}

    def write_model(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """An embedded model's three files, of the averaged weights."""
        kept = {name: self.averaged[name] for name in weights if not name.startswith("marks.")}
        model_files.write_model(folder, self.config, self.entries, kept)
