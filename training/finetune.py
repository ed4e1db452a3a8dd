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
from foundation.help_formatter import HelpFormatter
from training.tasks import squad_inputs
from training.tasks.recipe_flags import command, loading, run_dir


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return command(_train, _options(argv))


def _train(options: argparse.Namespace) -> int:
    config, vocab = squad_inputs.opened(options, options.model)
    with loading(options.threads):
        from training.tasks import squad_setup
        from training.tasks.recipes import taking_part, train_model
        from training.tasks.squad import SquadTask

    with taking_part(options) as here:
        data = squad_setup.read(options, vocab)
        network = squad_setup.network(config, options.dropout, options.seed, options.model).to(here.device)
        task = SquadTask(network, config, data, options.seed, options.batch)
        recipe = squad_setup.recipe("finetune", options, squad_setup.steps(options, data))
        code = train_model(task, recipe, options, run_dir(options, "finetune"), here)
        facts = {"started from": options.model.name}
        squad_setup.write_card(options.output, "A fine-tuned BERT", task, options, facts, here)
        print(f"kept: F1 {task.best_f1:.2f}; {options.output}")
    return code


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.finetune", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="the weights to start from")
    squad_inputs.add_flags(parser, epochs=3, rate=5e-5, batch=16)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
