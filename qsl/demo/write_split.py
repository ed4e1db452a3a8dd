"""The command of the embedded data sets, `python -m qsl.demo` and `python -m qsl.demo_sst2`: writes one split."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from foundation.errors import USAGE, VALID

Write = Callable[[Path, str, int, int | None, bool], None]  # path, split, seed, number (None: all), control variant


def main(
    package: str,
    description: str | None,
    splits: Collection[str],
    write: Write,
    *,
    number: str,
    control: tuple[str, str],
) -> int:
    """Parse the command line and write the split; returns the exit code.

    Args:
        number: the flag for the number of samples.
        control: the flag that writes the control variant of the data set, and its help.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=description)
    parser.add_argument("split", choices=sorted(splits))
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(number, dest="number", type=int)
    parser.add_argument(control[0], dest="control", action="store_true", help=control[1])
    given = parser.parse_args()
    try:
        write(given.path, given.split, given.seed, given.number, given.control)
    except OSError as error:
        print(f"error: expected to write {given.path}, found: {error}. Type another path.", file=sys.stderr)
        return USAGE
    return VALID
