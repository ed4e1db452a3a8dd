"""Score LoadGen's accuracy log: writes accuracy.txt next to it and prints the verdict.

python -m accuracy --log-file mlperf_log_accuracy.json --dataset dev-v1.1.json --vocab vocab.txt --target bert-99
python -m accuracy --task sst2 --log-file mlperf_log_accuracy.json --dataset dev.tsv --target 92.5

Exit code 0: scored, and the target met if one was given; 1: target missed or samples missing; 2: unusable input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from accuracy import report, squad, sst2
from accuracy.score import Score
from accuracy.targets import TARGETS, Target, target
from foundation import program
from foundation.errors import INVALID, USAGE, VALID, UserError
from foundation.foreign_text import printable_lines
from foundation.rules import MAX_SEQ_LENGTH
from qsl import feature_cache
from qsl.base import DatasetError
from qsl.squad import SquadDataSet, SquadFeatureSettings
from qsl.sst2 import read_labels
from qsl.tasks import DATA_TASKS, HELP


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--log-file", type=Path, required=True, help="LoadGen's mlperf_log_accuracy.json, not truncated")
    add("--task", default="squad", help=f"the run's task: {', '.join(DATA_TASKS.names())}{HELP} (default: squad)")
    add("--dataset", type=Path, required=True, help="the data set that the run used")
    add("--vocab", type=Path, help="not for sst2: the WordPiece vocabulary, one token per line")
    add("--output-dir", type=Path, help="directory of accuracy.txt (default: that of the log)")
    add("--target", help=f"the target: {', '.join(TARGETS)} or a number (default: none)")
    add("--dtype", choices=["float32", "float16"], help="type of the logits (default: inferred from the sizes)")
    add("--output-transposed", action="store_true", help="logits were logged as [2, rows], not [rows, 2]")
    add("--predictions", type=Path, metavar="FILE", help="also write the answers to FILE, as JSON")
    add(
        "--max-seq-length",
        type=_length,
        metavar="N",
        default=MAX_SEQ_LENGTH,
        help="tokens of a full feature (default: %(default)s)",
    )
    add("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR, help="directory of cached features")
    return parser


def _length(text: str) -> int:
    value = int(text) if text.isdecimal() and len(text) < 6 else 0
    if not 4 <= value <= _MOST_LENGTH:
        raise argparse.ArgumentTypeError(f"expected a number from 4 to {_MOST_LENGTH}, found {text!r}")
    return value


def _score_squad(args: argparse.Namespace) -> Score:
    settings = SquadFeatureSettings(max_seq_length=args.max_seq_length)
    data = SquadDataSet(args.dataset, _vocab(args), args.cache_dir, settings)
    return squad.score_log(args.log_file, data, dtype=args.dtype, transposed=args.output_transposed)


def _score_sst2(args: argparse.Namespace) -> Score:
    return sst2.score_log(args.log_file, read_labels(args.dataset), dtype=args.dtype)


def _score_run(args: argparse.Namespace) -> Score:
    """By the scorer of another package's task, which knows the logs of this package's runs."""
    if args.dtype or args.output_transposed:
        raise DatasetError(f"--dtype and --output-transposed are for {', '.join(_FROM_ANY_LOG)}. Remove them.")
    task = DATA_TASKS[args.task]
    score: Score = resolve_name(task.scorer)(args.log_file, task.open(args.dataset, _vocab(args), args.cache_dir))
    return score


def _vocab(args: argparse.Namespace) -> Path:
    if args.vocab is None:
        raise DatasetError("expected the vocabulary of the run's model, found none. Name it with --vocab FILE.")
    found: Path = args.vocab
    return found


_MOST_LENGTH = 1 << 16  # far above any BERT's positions
# Tasks with a scorer that also reads the logs of other systems under test.
_FROM_ANY_LOG: dict[str, Callable[[argparse.Namespace], Score]] = {"squad": _score_squad, "sst2": _score_sst2}


def _report(score: Score, goal: Target | None, args: argparse.Namespace) -> None:
    notices = report.notices_beside(args.log_file)
    report.write_accuracy(score, args.output_dir or args.log_file.parent, notices)
    if args.predictions:
        report.write_predictions(score, args.predictions)
    print(report.accuracy_line(score))
    lines = [report.summary(score, goal), *(f"note        {notice}" for notice in notices)]
    print(printable_lines("\n".join(lines)))


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        goal = None if args.target is None else target(args.target, DATA_TASKS[args.task].metric)
        score = _FROM_ANY_LOG.get(args.task, _score_run)(args)
        _report(score, goal, args)
    except UserError as error:
        print(f"error: {printable_lines(str(error))}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(
            f"error: expected to write the score, found: {error}. Check --output-dir and --predictions.",
            file=sys.stderr,
        )
        return USAGE
    return VALID if report.passes(score, goal) else INVALID


if __name__ == "__main__":
    sys.exit(program.run(main))
