"""The targets of a student, their weights and their flags. It imports no PyTorch: --help and a bad flag are quick."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

from sut.errors import UsageError
from training.tasks.recipe_flags import require_least

_TARGETS = {
    "--spans": "weight of the file's answers",
    "--logits": "weight of the teacher's probabilities",
    "--states": "weight of its states",
    "--relations": "weight of the relations in its last layer's attention",
    "--temperature": "of the probabilities",
    "--relation-heads": "into which queries, keys and values are cut",
}
QAT_SAMPLES = 128


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The share of each target in the loss; one with 0 is not computed.

    Attributes:
        relation_heads: into which queries, keys and values are cut for their relations; divides both widths.
    """

    spans: float = 0.5
    logits: float = 1.0
    states: float = 0.1
    relations: float = 1.0
    temperature: float = 2.0
    relation_heads: int = 4


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
