"""What each precision keeps of F1 on real weights: fine-tunes a pre-trained BERT on half of a SQuAD file's questions,
answers the other half in every precision, and compares the scores with fp32's, question by question.

Weights that were trained on text have outlier channels and small margins, which the embedded demo lacks. The score says
nothing about the model: it has seen a few hundred questions. Exit code 1: an int8 of this package keeps less than
--least. `make test-real-weights` brings a model; the questions are yours.

    python -m benchmarks.real_weights --model DIR --dataset dev-v1.1.json  # 15 minutes a seed, 2 cores with bfloat16
    python -m benchmarks.real_weights --model DIR --dataset dev-v1.1.json --halves first    # one model, half as long
    python -m benchmarks.real_weights --model DIR --dataset dev-v1.1.json --seeds 1 2 3 --folder runs/real-weights
    python -m benchmarks.real_weights --model DIR --dataset dev-v1.1.json --recipes qat pruned
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from rich.table import Table

from benchmarks.real_weights import answers, compared, folds
from benchmarks.real_weights.answers import Answers
from benchmarks.real_weights.compared import Kept
from benchmarks.real_weights.folds import FINE_TUNED, Fold
from foundation import cpu_info, program, terminal
from foundation.errors import INVALID, VALID, UserError
from qsl import feature_cache
from sut.machine import facts as machine_facts

Engine = tuple[str, str]  # backend and precision
Measured = tuple[str, str, str]  # how the model was made, and the engine
REFERENCE: Engine = ("pytorch", "fp32")
CALIBRATED: tuple[Engine, ...] = (("pytorch", "int8"), ("onnxruntime", "int8"))  # by this package: held to --least
OTHERS: tuple[Engine, ...] = (("pytorch", "bf16"), ("onnxruntime", "int8-dynamic"))
SLOW: Engine = ("openvino", "int8")  # NNCF returns layers to floating point one by one, until the answers are fp32's


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _options(argv)
    try:
        found = _measured(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    reference = found[FINE_TUNED, *REFERENCE]
    kept = {of: compared.kept(one, reference) for of, one in found.items()}
    _show(kept, options)
    return VALID if all(kept[FINE_TUNED, *engine].share >= options.least for engine in CALIBRATED) else INVALID


def _measured(options: argparse.Namespace) -> dict[Measured, list[Answers]]:
    """The answers of each engine that is installed, for all models, as they are trained."""
    engines = (REFERENCE, *CALIBRATED, *OTHERS, *((SLOW,) if options.openvino else ()))
    found: dict[Measured, list[Answers]] = {(FINE_TUNED, *engine): [] for engine in engines}
    found |= {(recipe, *engine): [] for recipe in options.recipes for engine in (REFERENCE, *CALIBRATED)}
    for fold in made_of(options, options.recipes):
        for of in [one for one in found if one[0] == fold.made_by]:
            _, backend, precision = of
            if one := _answers(fold, (backend, precision), options):
                found[of].append(one)
                print(f"{fold.model}: {backend} {precision}: F1 {one.score.f1:.2f}", file=sys.stderr, flush=True)
            else:
                del found[of]
    return found


def _answers(fold: Fold, engine: Engine, options: argparse.Namespace) -> Answers | None:
    try:
        return answers.of_engine(fold, *engine, options.cache_dir.expanduser(), options.threads)
    except UserError as error:
        if engine in (REFERENCE, *CALIBRATED):
            raise
        print(f"{' '.join(engine)} is left out: {error}", file=sys.stderr)
        return None


def _show(kept: dict[Measured, Kept], options: argparse.Namespace) -> None:
    table = Table("model", "backend", "precision", *compared.COLUMNS, box=None)
    for of, one in kept.items():
        table.add_row(*of, *one.row)
    terminal.console().print(table)
    engines = [[*of, asdict(one)] for of, one in kept.items()]
    models = {"seeds": options.seeds, "halves": options.halves, "fine_tuned_in": options.fine_tune_in}
    print(json.dumps(models | {"engines": engines}))


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser)
    parser.add_argument("--openvino", action="store_true", help="openvino int8, too, which may take an hour a model")
    parser.add_argument(
        "--recipes",
        nargs="+",
        choices=folds.RECIPES,
        default=(),
        help="models to make of each fine-tuned one, too (default: none)",
    )
    parser.add_argument("--least", type=float, default=99.0, help="percent of fp32's F1 (default: %(default)s)")
    return parser.parse_args(argv)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say which models are measured; `made_of` makes them."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a pre-trained BERT")
    parser.add_argument("--dataset", type=Path, required=True, metavar="FILE", help="SQuAD v1.1, with answers")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="each gives two models (default: 1)")
    parser.add_argument(
        "--halves", nargs="+", choices=folds.HALVES, default=folds.HALVES, help="to train on (default: both)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/real-weights"), help="for models and answers (default: %(default)s)"
    )
    parser.add_argument("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR)
    parser.add_argument("--threads", type=int, default=machine_facts.cores(), help="(default: all cores)")
    parser.add_argument(
        "--fine-tune-in",
        choices=("bf16", "fp32"),
        default=_fast_precision(),
        help="precision of the fine-tuning; fp32 is usually faster on a CPU without bfloat16 (default: %(default)s)",
    )


def made_of(options: argparse.Namespace, recipes: Sequence[str] = ()) -> Iterator[Fold]:
    """The models that the flags ask for, as they are trained."""
    return folds.made(
        options.model,
        options.dataset,
        options.seeds,
        options.halves,
        options.folder,
        options.threads,
        recipes,
        options.fine_tune_in,
    )


def _fast_precision() -> str:
    return "fp32" if cpu_info.multiplies_bf16() is False and not torch.cuda.is_available() else "bf16"


if __name__ == "__main__":
    sys.exit(program.run(main))
