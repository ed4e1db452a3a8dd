"""Writes a split of the embedded data set: `python -m qsl.demo dev dev-v1.1.json`."""

from __future__ import annotations

import sys
from functools import partial

from foundation import program
from qsl import demo
from qsl.demo import write_split

if __name__ == "__main__":
    control = ("--displaced", "ask every question about another passage")
    main = partial(write_split.main, "qsl.demo", __doc__, demo.SPLITS, demo.write)
    sys.exit(program.run(lambda: main(number="--questions", control=control)))
