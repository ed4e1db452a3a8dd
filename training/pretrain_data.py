"""Makes pre-training data. The generated passages of the demo as a text, one sentence a line:

python -m training.pretrain_data demo passages.txt --passages 4000
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from foundation import atomic_write, program
from foundation.errors import VALID, UserError
from foundation.people_numbers import count
from qsl import demo
from training.text import generated
from training.text.errors import TextError

PROGRAM = "python -m training.pretrain_data"
PASSAGES, MOST_PASSAGES = 4000, 1 << 20


def main(words: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    try:
        return write_demo(words[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def write_demo(words: Sequence[str]) -> int:
    """`demo FILE`: the generated passages as a text."""
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} demo", description=generated.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--passages", type=int, default=PASSAGES, help=f"default: {PASSAGES:,}")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--split", choices=sorted(demo.SPLITS), default="train", help="default: train")
    given = parser.parse_args(words)
    if not 1 <= given.passages <= MOST_PASSAGES:
        raise TextError(
            f"expected --passages from 1 to {MOST_PASSAGES:,}, found {given.passages}. Type: --passages {PASSAGES}"
        )
    try:
        atomic_write.write_text(given.file, generated.text(given.split, given.seed, given.passages))
    except OSError as error:
        raise TextError(f"expected to write {given.file}, found: {error}. Type another path.") from error
    print(f"{given.file}: {count(given.passages, 'passage')}")
    return VALID


if __name__ == "__main__":
    sys.exit(program.run(lambda: main(sys.argv[1:])))
