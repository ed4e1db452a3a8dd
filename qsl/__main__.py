"""What a data set comes to as features, in one JSON line.

python -m qsl describe --dataset dev-v1.1.json --vocab vocab.txt
python -m qsl describe --task sst2 --dataset dev.tsv --vocab vocab.txt
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sized
from pathlib import Path

from qsl import feature_cache, squad, sst2
from qsl.base import DatasetError, Features


def _squad_features(dataset: Path, vocab: Path, cache_dir: Path | None) -> Features:
    return squad.load(dataset, vocab, cache_dir).features


# Of each task: how its examples are read, and its features.
_TASKS: dict[str, tuple[Callable[[Path], Sized], Callable[[Path, Path, Path | None], Features]]] = {
    "squad": (squad.read_examples, _squad_features),
    "sst2": (sst2.read_sentences, sst2.load),
}


def describe(dataset: Path, vocab: Path, cache_dir: Path | None, task: str = "squad") -> dict[str, object]:
    """Counts and digest of a data set's features; `seconds` is the time to have them at hand."""
    read_examples, load = _TASKS[task]
    start_s = time.perf_counter()
    features = load(dataset, vocab, cache_dir)
    seconds = time.perf_counter() - start_s
    return {
        "examples": len(read_examples(dataset)),
        "features": len(features),
        "tokens": features.total_tokens,
        "mean_length": round(features.total_tokens / len(features), 2),
        "sha256": features.digest(),
        "seconds": round(seconds, 3),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m qsl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["describe"])
    parser.add_argument("--dataset", type=Path, required=True, help="a file of SQuAD v1.1, or of SST-2")
    parser.add_argument("--task", choices=list(_TASKS), default="squad", help="what the file is of (default: squad)")
    parser.add_argument("--vocab", type=Path, required=True, help="a WordPiece vocabulary, one token a line")
    parser.add_argument("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR)
    parser.add_argument("--no-cache", action="store_true", help="make the features again and keep nothing")
    args = parser.parse_args(argv)
    try:
        print(json.dumps(describe(args.dataset, args.vocab, None if args.no_cache else args.cache_dir, args.task)))
    except DatasetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
