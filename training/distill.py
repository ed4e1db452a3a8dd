"""Teaches a small BERT a large one's answers to a SQuAD v1.1 file; the weights with the best F1 are kept.

    python -m training.distill --teacher DIR --student minilm-l12-h384 --init DIR --train train-v1.1.json \\
        --dev dev-v1.1.json --output DIR

The targets are the file's spans and the teacher's probabilities, states and attention relations; a weight of 0 leaves
one out (all of the teacher's at 0: a training without it, to compare with). The same command with --run-dir goes on
from a run's last checkpoint, to the weights of an uninterrupted one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from backends.bert.config import RANDOM_GEOMETRIES
from foundation import program
from training.tasks import squad, squad_setup
from training.tasks.distillation import Distillation, Weights
from training.tasks.question_scores import evaluate
from training.tasks.recipes import command, run_dir, train_model

_TARGETS = {
    "--spans": "weight of the file's answers",
    "--logits": "weight of the teacher's probabilities",
    "--states": "weight of its states",
    "--relations": "weight of the relations in its last layer's attention",
    "--temperature": "of the probabilities",
    "--relation-heads": "into which queries, keys and values are cut",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return command(_train, _options(argv))


def _train(options: argparse.Namespace) -> int:
    taught_by, vocab = squad_setup.opened(options, options.teacher)
    config = squad_setup.geometry(options.student, taught_by.vocab_size)
    teacher = squad_setup.network(taught_by, 0.0, options.seed, options.teacher)
    student = squad_setup.network(config, options.dropout, options.seed, options.init)
    weights = Weights(**{one.name: getattr(options, one.name) for one in fields(Weights)})
    task = Distillation(
        student,
        config,
        teacher,
        taught_by,
        squad.read(options.train, options.dev, vocab),
        weights=weights,
        seed=options.seed,
        batch=options.batch,
    )
    best = evaluate(lambda batch: teacher(batch).logits, options.dev, vocab)
    print(f"teacher: F1 {best.f1:.2f}", flush=True)
    code = train_model(task, squad_setup.recipe("distill", options, task), options, run_dir(options, "distill"))
    facts = {"teacher": f"{options.teacher.name}, F1 {best.f1:.2f}", "student": options.student}
    targets = {f"weight of {name}": f"{value:g}" for name, value in asdict(weights).items()}
    squad_setup.write_card(options.output, "A distilled BERT", task, options, facts | targets)
    share = task.best_f1 / best.f1 if best.f1 else 0.0
    print(f"kept: F1 {task.best_f1:.2f}, {share:.1%} of the teacher's; {options.output}")
    return code


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.distill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", type=Path, required=True, metavar="DIR", help="a model that answers questions")
    parser.add_argument(
        "--student", required=True, metavar="NAME", help=f"{', '.join(RANDOM_GEOMETRIES)}, or a config.json"
    )
    parser.add_argument("--init", type=Path, metavar="DIR", help="weights to start from (default: random)")
    squad_setup.add_flags(parser, epochs=3, rate=1e-4, batch=32)
    for flag, text in _TARGETS.items():
        default = getattr(Weights(), flag.removeprefix("--").replace("-", "_"))
        parser.add_argument(flag, type=type(default), default=default, help=f"{text} (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
