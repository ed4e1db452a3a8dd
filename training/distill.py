"""Teaches a small BERT a large one's answers to a SQuAD v1.1 file; the weights with the best F1 are kept.

    python -m training.distill --teacher DIR --student minilm-l12-h384 --init DIR --train train-v1.1.json \\
        --dev dev-v1.1.json --output DIR

The targets are the file's spans and the teacher's probabilities, states and attention relations; a weight of 0 leaves
one out (all of the teacher's at 0: a training without it, to compare with). `--init teacher` starts from the teacher's
own weights, reduced to the student's layers and widths. `--qat 0.2` trains the last fifth in int8's arithmetic. The
same command with --run-dir goes on from a run's last checkpoint, to the weights of an uninterrupted one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from backends.bert.config import RANDOM_GEOMETRIES, BertConfig
from foundation import program
from foundation.help_formatter import HelpFormatter
from foundation.steps import doing
from training.tasks import squad_inputs, targets
from training.tasks.recipe_flags import command, loading, run_dir

RANDOM, FROM_TEACHER = "random", "teacher"  # values of --init in addition to directories


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return command(_train, _options(argv))


def _train(options: argparse.Namespace) -> int:
    targets.require_sound(options)
    taught_by, vocab = squad_inputs.opened(options, options.teacher)
    config = squad_inputs.geometry(options.student, taught_by.vocab_size)
    with loading(options.threads):
        from training.tasks import distillation_setup, reduction, squad_setup
        from training.tasks.distillation import Distillation, Teacher
        from training.tasks.recipes import taking_part, train_model

    if options.init == FROM_TEACHER:
        reduction.require_smaller(config, taught_by)
    with taking_part(options) as here:
        teacher = squad_setup.network(taught_by, 0.0, options.seed, options.teacher).to(here.device)
        start = None if options.init in (RANDOM, FROM_TEACHER) else Path(options.init)
        student = squad_setup.network(config, options.dropout, options.seed, start).to(here.device)
        data = squad_setup.read(options, vocab)
        steps = squad_setup.steps(options, data)
        task = Distillation(
            student,
            config,
            Teacher(teacher, taught_by),
            data,
            weights=targets.weights(options),
            seed=options.seed,
            batch=options.batch,
            phases=distillation_setup.int8_phase(options, student, config, data, steps),
        )
        if options.init == FROM_TEACHER:
            with doing("reducing the teacher to the student"):
                task.start_from_teacher()
        best = distillation_setup.score(teacher, options.dev, vocab, here)
        print(f"student: {_share(config, taught_by):.1%} of the teacher's operations a token", flush=True)
        recipe = squad_setup.recipe("distill", options, steps)
        code = train_model(task, recipe, options, run_dir(options, "distill"), here)
        facts = {"student": options.student, "started from": options.init}
        about = distillation_setup.facts(options, options.teacher, best)
        squad_setup.write_card(options.output, "A distilled BERT", task, options, {**facts, **about}, here)
        share = task.best_f1 / best.f1 if best.f1 else 0.0
        print(f"kept: F1 {task.best_f1:.2f}, {share:.1%} of the teacher's; {options.output}")
    return code


def _share(config: BertConfig, teacher: BertConfig) -> float:
    return config.operations_per_token / teacher.operations_per_token


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.distill", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("--teacher", type=Path, required=True, metavar="DIR", help="a model that answers questions")
    parser.add_argument(
        "--student",
        required=True,
        metavar="NAME",
        help=f"{', '.join(RANDOM_GEOMETRIES)}, a config.json, or such as l4-h64-a4 (layers, width, heads)",
    )
    parser.add_argument(
        "--init",
        default=RANDOM,
        metavar="DIR",
        help=f"weights to start from; {FROM_TEACHER}: the teacher's own, reduced (default: %(default)s)",
    )
    squad_inputs.add_flags(parser, epochs=3, rate=1e-4, batch=32)
    targets.add_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
