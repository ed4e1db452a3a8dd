"""Trains the embedded question answering model on generated passages and writes it to assets/demo.

Its length is in questions, not minutes, so that the same machine gives the same weights again.

    python -m training.demo --output /tmp/demo
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from accuracy.squad import SquadScore
from foundation import program
from foundation.help_formatter import HelpFormatter
from foundation.steps import doing
from qsl import demo, tokenizer_files
from qsl.wordpiece import WordPiece
from training.tasks.recipe_flags import BATCH, add_flags, command, loading, require_least, run_dir

QUESTIONS = 262_144


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return command(_train, _options(argv))


def _train(options: argparse.Namespace) -> int:
    """Train, and score the kept weights on the dev split."""
    require_least(options, {"questions": BATCH})
    given = options.output / tokenizer_files.VOCABULARIES[0] if options.resume else options.vocab
    entries = WordPiece(given).tokens if given else _learned()
    with loading(options.threads):
        from training.loop.world import ALONE
        from training.tasks.question_answering import QuestionTask, recipe
        from training.tasks.recipes import train_model

    with tempfile.TemporaryDirectory() as temporary:
        folder, steps = Path(temporary), options.questions // BATCH
        task = QuestionTask(entries, folder, options.seed, steps)
        if options.resume:
            task.start_from(options.output)
        code = train_model(task, recipe(steps), options, run_dir(options, "demo"))
        if code == 0:
            with doing("scoring the dev split"):
                dev = folder / "dev.json"
                demo.write(dev, "dev")
                score = task.score(dev, ALONE)
            _print(score)
    return code


def _learned() -> list[str]:
    with doing("learning the vocabulary"):
        from training.text import vocabulary

        return vocabulary.learn(vocabulary.texts_of(demo.generate("train")))


def _print(score: SquadScore) -> None:
    print(f"kept: dev exact {score.exact_match:.2f}, F1 {score.f1:.2f} on {demo.SPLITS['dev']:,} questions")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.demo", description=__doc__, formatter_class=HelpFormatter)
    add_flags(parser, "demo")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="to train on (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="start from the weights under --output")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
