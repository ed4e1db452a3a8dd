"""What the commands that learn from a teacher share: its targets' flags, the last phase in int8, the card's lines."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

from accuracy.squad import SquadScore
from backends.bert.config import BertConfig
from sut.errors import UsageError
from training.tasks.distillation import Weights
from training.tasks.phases import Phase
from training.tasks.quantization_aware import QuantizationAware
from training.tasks.question_scores import evaluate
from training.tasks.recipes import require_least
from training.tasks.squad import SpanNetwork, SquadData

_TARGETS = {
    "--spans": "weight of the file's answers",
    "--logits": "weight of the teacher's probabilities",
    "--states": "weight of its states",
    "--relations": "weight of the relations in its last layer's attention",
    "--temperature": "of the probabilities",
    "--relation-heads": "into which queries, keys and values are cut",
}
QAT_SAMPLES = 128


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The targets, and quantization-aware training."""
    for flag, text in _TARGETS.items():
        default = getattr(Weights(), flag.removeprefix("--").replace("-", "_"))
        parser.add_argument(flag, type=type(default), default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--qat", type=float, default=0.0, metavar="SHARE", help="of the steps, the last ones, in int8 (default: none)"
    )
    parser.add_argument(
        "--qat-samples", type=int, default=QAT_SAMPLES, help="windows that it calibrates on (default: %(default)s)"
    )


def require_sound(options: argparse.Namespace) -> None:
    """Raise UsageError for a number that cannot be used."""
    require_least(options, {"qat_samples": 1, "relation_heads": 1})
    if not 0 <= options.qat <= 1:
        raise UsageError(f"expected --qat from 0 to 1, a share of the steps, found {options.qat:g}. Type: --qat 0.2")


def weights(options: argparse.Namespace) -> Weights:
    """The targets' weights."""
    return Weights(**{one.name: getattr(options, one.name) for one in fields(Weights)})


def int8_phase(
    options: argparse.Namespace, network: SpanNetwork, config: BertConfig, data: SquadData, steps: int
) -> list[Phase]:
    """The last steps in int8's arithmetic, if they are asked for."""
    if not options.qat:
        return []
    first = max(1, steps - round(options.qat * steps) + 1)
    return [
        QuantizationAware(
            network, config, data.features, first_step=first, samples=options.qat_samples, seed=options.seed
        )
    ]


def score(teacher: SpanNetwork, dev: Path, vocab: Path) -> SquadScore:
    """The teacher's own score, which is printed."""
    found = evaluate(lambda batch: teacher.eval()(batch).logits, dev, vocab)
    print(f"teacher: F1 {found.f1:.2f}", flush=True)
    return found


def facts(options: argparse.Namespace, teacher: Path, best: SquadScore) -> Mapping[str, str]:
    """The card's lines on the teacher, its targets and int8."""
    targets = {f"weight of {name}": f"{value:g}" for name, value in asdict(weights(options)).items()}
    int8 = {"in int8's arithmetic": f"the last {options.qat:.0%} of the steps"} if options.qat else {}
    return {"teacher": f"{teacher.name}, F1 {best.f1:.2f}", **targets, **int8}
