"""Prints the counts and the digest of a data set's features as one line of JSON, or divides a data set in two.

python -m qsl describe --dataset dev-v1.1.json --vocab vocab.txt
python -m qsl describe --task sst2 --dataset dev.tsv --vocab vocab.txt
python -m qsl halve --dataset dev-v1.1.json --seed 1 --output halves
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from foundation import program
from foundation.errors import USAGE, VALID, UserError
from qsl import feature_cache, squad_halves
from qsl.tasks import DATA_TASKS, HELP


def describe(dataset: Path, vocab: Path, cache_dir: Path | None, task: str = "squad") -> dict[str, object]:
    """Counts and digest of a data set's features; `seconds` is the time to open or build them."""
    start_s = time.perf_counter()
    data = DATA_TASKS[task].open(dataset, vocab, cache_dir)
    features = data.features
    seconds = time.perf_counter() - start_s
    return {
        "examples": len(data.examples),
        "features": len(features),
        "tokens": features.total_tokens,
        "mean_length": round(features.total_tokens / len(features), 2),
        "sha256": features.digest(),
        "seconds": round(seconds, 3),
    }


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        if args.verb == "halve":
            print(*squad_halves.write(args.dataset, args.seed, args.output), sep="\n")
        else:
            cache = None if args.no_cache else args.cache_dir
            print(json.dumps(describe(args.dataset, args.vocab, cache, args.task)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: expected to write to {args.output}, found: {error}. Type another --output.", file=sys.stderr)
        return USAGE
    return VALID


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m qsl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    about = verbs.add_parser("describe", help="counts and digest of a data set's features")
    about.add_argument("--dataset", type=Path, required=True, help="the file of a task")
    about.add_argument(
        "--task", default="squad", help=f"the task of the file: {', '.join(DATA_TASKS.names())}{HELP} (default: squad)"
    )
    about.add_argument("--vocab", type=Path, required=True, help="a WordPiece vocabulary, one token per line")
    about.add_argument("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR)
    about.add_argument("--no-cache", action="store_true", help="build the features in memory and store nothing")
    halve = verbs.add_parser("halve", help="the questions of a SQuAD file in two files, divided by chance")
    halve.add_argument("--dataset", type=Path, required=True, help="a file of SQuAD v1.1")
    halve.add_argument("--seed", type=int, default=1, help="which division (default: %(default)s)")
    halve.add_argument("--output", type=Path, required=True, help="a directory for first.json and second.json")
    return parser


if __name__ == "__main__":
    sys.exit(program.run(main))
