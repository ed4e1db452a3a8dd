"""Writes a split of the embedded sentiment data set: `python -m qsl.demo_sst2 dev dev.tsv`."""

from __future__ import annotations

import argparse
from pathlib import Path

from qsl import demo_sst2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m qsl.demo_sst2", description=__doc__)
    parser.add_argument("split", choices=sorted(demo_sst2.SPLITS))
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sentences", type=int)
    parser.add_argument("--shuffled", action="store_true", help="shuffle the labels")
    options = parser.parse_args()
    demo_sst2.write(options.path, options.split, options.seed, options.sentences, options.shuffled)


if __name__ == "__main__":
    main()
