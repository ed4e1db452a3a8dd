"""Writes a split of the embedded data set: `python -m qsl.demo dev dev-v1.1.json`."""

from __future__ import annotations

import argparse
from pathlib import Path

from qsl import demo


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m qsl.demo", description=__doc__)
    parser.add_argument("split", choices=sorted(demo.SPLITS))
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--questions", type=int)
    parser.add_argument("--displaced", action="store_true", help="ask every question about another passage")
    options = parser.parse_args()
    demo.write(options.path, options.split, options.seed, options.questions, options.displaced)


if __name__ == "__main__":
    main()
