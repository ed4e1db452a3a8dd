"""Saves the answers of a finished accuracy run for the replay backend, to rehearse a whole submission without a model.

python -m sut --mode accuracy --dataset demo.json --log-dir logs
python -m submission.submit.rehearsal logs answers.npz
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from accuracy.log import read_entries
from backends.replay import write_answers
from foundation import log_files, program
from qsl.base import Features
from sut.errors import USAGE, UsageError, UserError
from sut.record import run_record
from sut.tasks import TASKS


def main(argv: list[str] | None = None) -> int:
    """Store the answers of an accuracy run; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m submission.submit.rehearsal",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("log_dir", type=Path, help="the log directory of an accuracy run in fp32")
    parser.add_argument("answers", type=Path, help="the file to write, for --backend replay --model replay:FILE")
    options = parser.parse_args(argv)
    try:
        count = save_answers(options.log_dir, options.answers)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (OSError, ValueError) as error:
        print(
            f"error: expected the answers of an accuracy run in {options.log_dir} and to write them to "
            f"{options.answers}, found: {error}.",
            file=sys.stderr,
        )
        return USAGE
    print(f"{options.answers}: {count} answers")
    return 0


def save_answers(log_dir: Path, answers: Path) -> int:
    """Save the run's answers, keyed by their samples' token ids; returns their number."""
    features = _features(log_dir)
    indexes, logged = read_entries(log_dir / log_files.ACCURACY, len(features))
    pairs = zip(indexes.tolist(), logged, strict=True)
    write_answers(answers, ((features.sample(i)[0], np.frombuffer(raw, "<f4").reshape(-1, 2)) for i, raw in pairs))
    return len(logged)


def _features(log_dir: Path) -> Features:
    config = run_record.read(log_dir).config
    if config.task not in TASKS or not (config.dataset and config.vocab and config.cache_dir):
        raise UsageError(
            f"expected a run with a task, a data set and a vocabulary in {log_dir}, found none. "
            "Type the log directory of an accuracy run."
        )
    return TASKS[config.task].open(config.dataset, config.vocab, config.cache_dir).features


if __name__ == "__main__":
    sys.exit(program.run(main))
