"""Fine-tunes a BERT on a SQuAD v1.1 file; the weights with the best F1 on a development file are kept.

    python -m training.finetune --model DIR --train train-v1.1.json --dev dev-v1.1.json --output DIR

--model is a directory of Hugging Face's form, with or without a question answering head. The same command with
--run-dir goes on from a run's last checkpoint, to the weights of an uninterrupted one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from foundation import program
from training.tasks import squad, squad_setup
from training.tasks.recipes import command, run_dir, train_model
from training.tasks.squad import SquadTask


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return command(_train, _options(argv))


def _train(options: argparse.Namespace) -> int:
    config, vocab = squad_setup.opened(options, options.model)
    data = squad.read(options.train, options.dev, vocab)
    network = squad_setup.network(config, options.dropout, options.seed, options.model)
    task = SquadTask(network, config, data, options.seed, options.batch)
    recipe = squad_setup.recipe("finetune", options, squad_setup.steps(options, data))
    code = train_model(task, recipe, options, run_dir(options, "finetune"))
    squad_setup.write_card(options.output, "A fine-tuned BERT", task, options, {"started from": options.model.name})
    print(f"kept: F1 {task.best_f1:.2f}; {options.output}")
    return code


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.finetune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="the weights to start from")
    squad_setup.add_flags(parser, epochs=3, rate=5e-5, batch=16)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
