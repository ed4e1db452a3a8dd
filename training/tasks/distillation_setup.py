"""What the commands that learn from a teacher share: its score, the last phase in int8, the card's lines."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from accuracy.squad import SquadScore
from backends.bert.config import BertConfig
from foundation.steps import doing
from training.loop.world import World
from training.tasks.phases import Phase
from training.tasks.quantization_aware import QuantizationAware
from training.tasks.question_scores import evaluate
from training.tasks.squad import SpanNetwork, SquadData
from training.tasks.targets import weights


def int8_phase(
    options: argparse.Namespace, network: SpanNetwork, config: BertConfig, data: SquadData, steps: int
) -> list[Phase]:
    """The last steps in int8's arithmetic, if they are asked for."""
    if not options.qat:
        return []
    first = max(1, steps - round(options.qat * steps) + 1)
    return [
        QuantizationAware(
            network,
            config,
            data.features,
            first_step=first,
            samples=options.qat_samples,
            seed=options.seed,
            rate=options.rate,
        )
    ]


def score(teacher: SpanNetwork, dev: Path, vocab: Path, here: World) -> SquadScore:
    """The teacher's own score, which is printed; processes share the file."""
    with doing(f"scoring the teacher on {dev}"):
        found = evaluate(lambda batch: teacher.eval()(batch).logits, dev, vocab, here)
    print(f"teacher: F1 {found.f1:.2f}", flush=True)
    return found


def facts(options: argparse.Namespace, teacher: Path, best: SquadScore) -> Mapping[str, str]:
    """The card's lines on the teacher, its targets and int8."""
    targets = {f"weight of {name}": f"{value:g}" for name, value in asdict(weights(options)).items()}
    int8 = {"in int8's arithmetic": f"the last {options.qat:.0%} of the steps"} if options.qat else {}
    return {"teacher": f"{teacher.name}, F1 {best.f1:.2f}", **targets, **int8}
