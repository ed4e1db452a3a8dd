"""Packages ten training runs: `python -m training.package RUN… --submitter NAME --system FILE --output DIR`."""

from __future__ import annotations

import sys

from foundation import program
from training.package.command import main

if __name__ == "__main__":
    sys.exit(program.run(main))
