"""Score LoadGen's accuracy log: accuracy.txt beside it, the verdict on the screen.

python -m accuracy --log-file mlperf_log_accuracy.json --dataset dev-v1.1.json --vocab vocab.txt --target bert-99

Exit code 0: scored, and the target met if one was given; 1: target missed or samples missing; 2: unusable input.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from accuracy import report
from accuracy.log import AccuracyLogError
from accuracy.squad import Score, score_log
from accuracy.targets import TARGETS, Target, UnknownTargetError, target
from qsl import squad, store
from qsl.base import DatasetError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--log-file", type=Path, required=True, help="LoadGen's mlperf_log_accuracy.json, not truncated")
    add("--dataset", type=Path, required=True, help="the SQuAD v1.1 file that the run was made with")
    add("--vocab", type=Path, required=True, help="the WordPiece vocabulary, one token a line")
    add("--output-dir", type=Path, help="where accuracy.txt goes (default: beside the log)")
    add("--target", help=f"what F1 must reach: {', '.join(TARGETS)} or a number (default: nothing is judged)")
    add("--dtype", choices=["float32", "float16"], help="type of the logits (default: worked out from sizes)")
    add("--output-transposed", action="store_true", help="logits were logged as [2, rows], not [rows, 2]")
    add("--predictions", type=Path, metavar="FILE", help="also write {question id: text} there")
    add("--max-seq-length", type=int, default=384, help="tokens of a full feature (default: 384)")
    add("--cache-dir", type=Path, default=store.DEFAULT_CACHE_DIR, help="where features are kept")
    return parser


def _score(args: argparse.Namespace) -> Score:
    settings = squad.FeatureSettings(max_seq_length=args.max_seq_length)
    features = squad.load(args.dataset, args.vocab, args.cache_dir, settings)
    return score_log(
        args.log_file,
        args.dataset,
        args.vocab,
        features,
        max_seq_length=args.max_seq_length,
        dtype=args.dtype,
        transposed=args.output_transposed,
    )


def _report(score: Score, wanted: Target | None, args: argparse.Namespace) -> None:
    notices = report.notices_beside(args.log_file)
    report.write_accuracy(score, args.output_dir or args.log_file.parent, notices)
    if args.predictions:
        report.write_predictions(score, args.predictions)
    print(report.accuracy_line(score))
    print("\n".join([report.summary(score, wanted), *(f"note        {notice}" for notice in notices)]))


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        wanted = None if args.target is None else target(args.target)
        score = _score(args)
        _report(score, wanted, args)
    except (AccuracyLogError, DatasetError, UnknownTargetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"error: wanted to write the score, found: {error}. Check --output-dir and --predictions.", file=sys.stderr
        )
        return 2
    return 0 if report.passes(score, wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
