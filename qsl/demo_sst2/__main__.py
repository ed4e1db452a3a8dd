"""Writes a split of the embedded sentiment data set: `python -m qsl.demo_sst2 dev dev.tsv`."""

from __future__ import annotations

import sys
from functools import partial

from foundation import program
from qsl import demo_sst2
from qsl.demo import write_split

if __name__ == "__main__":
    shuffled = ("--shuffled", "shuffle the labels")
    main = partial(write_split.main, "qsl.demo_sst2", __doc__, demo_sst2.SPLITS, demo_sst2.write)
    sys.exit(program.run(lambda: main(number="--sentences", control=shuffled)))
