"""Writes a split of the embedded data set: `python -m qsl.demo dev dev-v1.1.json`."""

from __future__ import annotations

from qsl import demo
from qsl.demo import write_split

if __name__ == "__main__":
    control = ("--displaced", "ask every question about another passage")
    write_split.main("qsl.demo", __doc__, demo.SPLITS, demo.write, number="--questions", control=control)
