"""The machine's peak at BERT's matrix products (backends/pytorch_cpu/product_peak.py), as JSON in GOP/s.

python -m benchmarks.gemm --model random:bert-large
"""

from __future__ import annotations

import argparse
import json
import sys

from backends.bert.checkpoints import find_model
from backends.pytorch_cpu import product_peak
from benchmarks import one_core
from foundation import program


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gemm", description=__doc__)
    parser.add_argument("--model", default="random:bert-large")
    parser.add_argument("--precision", choices=product_peak.PRECISIONS, action="append")
    one_core.add_flag(parser)
    options = parser.parse_args()
    clock = one_core.clock(options.cpu_time)
    config = find_model(options.model).config
    assert config is not None
    found = {name: product_peak.best(name, config, clock) for name in options.precision or product_peak.PRECISIONS}
    best = {name: rate for name, (rate, _) in found.items()}
    print(json.dumps({"gops": best, "ways": {name: ways for name, (_, ways) in found.items()}}))


if __name__ == "__main__":
    sys.exit(program.run(main))
