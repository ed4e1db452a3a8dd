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

import torch

from foundation import program
from qsl import demo
from qsl.wordpiece import WordPiece
from training.loop.world import ALONE
from training.network import model_files
from training.tasks.question_answering import BATCH, QuestionTask
from training.tasks.recipe_flags import add_flags, command, require_least, run_dir
from training.tasks.recipes import Recipe, cosine, train_model
from training.text import vocabulary

QUESTIONS = 262_144
RATE, WARMUP_STEPS, DECAY_FROM, LAST_SHARE = 1.5e-3, 200, 0.5, 0.01
EVALUATE_EVERY = 25_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return command(_train, _options(argv))


def _train(options: argparse.Namespace) -> int:
    """Train, and score the kept weights on the dev split."""
    require_least(options, {"questions": BATCH})
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        given = options.output / model_files.VOCABULARY if options.resume else options.vocab
        entries = WordPiece(given).tokens if given else _learned()
        steps = options.questions // BATCH
        task = QuestionTask(entries, Path(temporary), options.seed, steps)
        if options.resume:
            task.start_from(options.output)
        code = train_model(task, recipe(steps), options, run_dir(options, "demo"))
        if code == 0:
            _score(task, Path(temporary))
    return code


def recipe(max_steps: int) -> Recipe:
    """AdamW: warm-up, a plateau, then half a cosine."""
    start = DECAY_FROM * max_steps

    def share(step: int) -> float:
        decayed = cosine((step - start) / max(1.0, max_steps - start))
        return min(1.0, step / WARMUP_STEPS) * (LAST_SHARE + (1 - LAST_SHARE) * decayed)

    return Recipe(
        name="question_answering",
        batch=BATCH,
        max_steps=max_steps,
        rate=RATE,
        warmup_steps=WARMUP_STEPS,
        share=share,
        precision="bf16",
        evaluate_every=EVALUATE_EVERY,
    )


def _learned() -> list[str]:
    return vocabulary.learn(vocabulary.texts_of(demo.generate("train")))


def _score(task: QuestionTask, folder: Path) -> None:
    dev = folder / "dev.json"
    demo.write(dev, "dev")
    score = task.score(dev, ALONE)
    print(f"kept: dev exact {score.exact_match:.2f}, F1 {score.f1:.2f} on {demo.SPLITS['dev']:,} questions")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.demo", description=__doc__)
    add_flags(parser, "demo")
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="to train on (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="start from the weights under --output")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
