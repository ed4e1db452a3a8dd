"""Prepares or measures one peer; `benchmarks.cpu` runs this in a separate process.

python -m benchmarks.peers onnxruntime-int8 --dataset dev-v1.1.json --vocab vocab.txt
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from backends.bert.checkpoints import find_model
from benchmarks import one_core
from benchmarks.one_core import Clock
from benchmarks.peers import ALL, peer_class
from benchmarks.peers.base import Peer, Sample, samples_of
from foundation import program
from qsl import feature_cache, squad
from sut.machine import facts as machine_facts

Input = TypeVar("Input")
_CALIBRATION = 12  # samples; with random weights their number does not matter


def nearest_rank(values: Sequence[float], share: float) -> float:
    """LoadGen's percentile: the value below which `share` of all values are."""
    return sorted(values)[min(len(values) - 1, math.floor(share * len(values)))]


def measure(peer: Peer, samples: Sequence[Sample], clock: Clock) -> dict[str, float]:
    """Samples per second; also the p90 of a sample's latency if the peer runs one sample at a time. By `clock`."""
    by_length = sorted(samples, key=lambda sample: sample.input_ids.shape[1])
    for sample in (by_length[-1], by_length[len(by_length) // 2]):
        peer.answer(sample)
    peer.answer_all(by_length[:2])
    together = type(peer).answer_all is not Peer.answer_all
    found = {"samples_per_s": len(samples) / _seconds(peer.answer_all, samples, clock)} if together else {}
    if peer.one_by_one or not together:
        seconds = [_seconds(peer.answer, sample, clock) for sample in samples]
        found = {"samples_per_s": len(samples) / sum(seconds), "p90_ms": 1e3 * nearest_rank(seconds, 0.9)} | found
    return found


def _seconds(answer: Callable[[Input], object], of: Input, clock: Clock) -> float:
    start_s = clock()
    answer(of)
    return clock() - start_s


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("name", choices=ALL)
    parser.add_argument("--model", default="random:bert-large")
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--vocab", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR)
    one_core.add_flag(parser)
    parser.add_argument("--prepare", action="store_true", help="only write the files that the peer loads")
    options = parser.parse_args()
    clock = one_core.clock(options.cpu_time)
    model = find_model(options.model)
    folder = options.cache_dir.expanduser() / "peers" / options.model.replace("/", "_").replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    features = squad.load(options.dataset, options.vocab, options.cache_dir.expanduser()).features
    peer = peer_class(options.name)()
    peer.prepare(model, folder, samples_of(features, None)[:_CALIBRATION])
    if options.prepare:
        return
    peer.load(model, folder, machine_facts.cores())
    print(json.dumps(measure(peer, samples_of(features, peer.padded_to), clock)))


if __name__ == "__main__":
    sys.exit(program.run(main))
