"""Trains the embedded sentiment model on the generated train split and writes it to assets/demo-sst2.

It uses the features and the scorer of a run. The same machine gives the same weights again.

    python -m training.sst2 --output /tmp/demo-sst2
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from foundation import program
from foundation.help_formatter import HelpFormatter
from foundation.steps import doing
from qsl import demo_sst2
from qsl.wordpiece import WordPiece
from training.tasks.recipe_flags import BATCH, add_flags, command, loading, require_least, run_dir

VOCABULARY = 1100  # at most; holds every word of the generator as one token


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return command(_train, _options(argv))


def _train(options: argparse.Namespace) -> int:
    """Train, and score the kept weights on the dev split."""
    require_least(options, {"epochs": 1, "sentences": BATCH})
    entries = WordPiece(options.vocab).tokens if options.vocab else _learned()
    with loading(options.threads):
        from training.network import model_files
        from training.tasks.recipes import train_model
        from training.tasks.sentiment import SentimentTask, evaluate, recipe, split

    with doing("writing and reading the sentences"), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model_files.write_vocabulary(folder, entries)
        trained = split(folder, "train", options.sentences, shuffled=options.shuffled)
        dev = split(folder, "dev")
    task = SentimentTask(entries, trained, dev, options.seed)
    code = train_model(task, recipe(task, options.epochs), options, run_dir(options, "demo-sst2"))
    if code == 0:
        score = evaluate(task.network.eval(), dev)
        low, high = score.interval
        print(f"kept: dev accuracy {score.accuracy:.2f} ({low:.2f} to {high:.2f}) on {len(dev.labels)} sentences")
    return code


def _learned() -> list[str]:
    with doing("learning the vocabulary"):
        from training.text import vocabulary

        return vocabulary.learn((text for text, _ in demo_sst2.generate("train")), VOCABULARY)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.sst2", description=__doc__, formatter_class=HelpFormatter)
    add_flags(parser, "demo-sst2")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--sentences", type=int, help="sentences of the train split (default: all)")
    parser.add_argument(
        "--shuffled", action="store_true", help="permute the training labels: a control that must learn nothing"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
