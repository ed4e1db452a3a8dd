"""The speed of BERT-Large on this machine's first GPU, compared with its limits and with transformers.

Contestants: the limits (benchmarks/gpu_limits.py); `transformers` in float16, in padded batches, eager and with
torch.compile; this package in each precision through LoadGen (Offline, the peak of Server at 130 ms, SingleStream).
Lengths are the data set's (benchmarks/length_matched.py); contestants take turns, one process at a time
(benchmarks/interleave.py). After every turn it prints a JSON line and the tables so far; the last line is the JSON of
all, also after Ctrl-C and SIGTERM.

    python -m benchmarks.gpu                       # BERT-Large, random weights
    python -m benchmarks.gpu --quick               # one short round, no Server: does everything run?
    python -m benchmarks.gpu --only fp16 --dataset dev-v1.1.json --vocab vocab.txt
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

from backends.bert.checkpoints import find_model
from benchmarks import cpu_report, gpu_report, length_matched, sut_runs
from benchmarks.cpu import peer_turn, select
from benchmarks.gpu_report import OFFLINE, P90, PEAK_QPS, RATE, SHARES
from benchmarks.interleave import Contestant, Reading, Results, run_turns
from benchmarks.sut_runs import BenchmarkData
from foundation import program, terminal
from qsl import feature_cache
from sut.fetch import resolve as asset_paths

SAMPLES, PADDED, QUICK = (
    8192,
    2048,
    0.125,
)  # of a turn; this package runs each OVER times
OVER = 8
PRECISIONS = ("fp16", "bf16", "fp8", "int8")
PEERS = ("pytorch-gpu", "pytorch-gpu compiled")
_PROBE_S = 5.0
# Minutes of a turn, guessed from what it loads, builds and runs: a limit, a peer, ours, and ours with the search.
_MINUTES, _QUICK_MINUTES = {"limit": 0.4, "peer": 1.5, "sut": 4.0}, {"limit": 0.4, "peer": 1.0, "sut": 2.0}


def contestants(model: str, data: BenchmarkData, padded: BenchmarkData, probe_s: float) -> list[Contestant]:
    """All contestants, in the table's order; without a `probe_s` none searches its Server peak."""
    limits = [
        Contestant(f"limit {name}", "measured alone", name, partial(_limit, model, name))
        for name in ("copy", *PRECISIONS)
    ]
    peers = [peer_turn(name, padded) for name in PEERS]
    ours = [
        Contestant(f"sut {name}", "this package, LoadGen", name, partial(_ours, data, name, probe_s))
        for name in PRECISIONS
    ]
    return [*limits, *peers, *ours]


def _limit(model: str, name: str) -> Reading:
    found = _json(["benchmarks.gpu_limits", "--model", model, "--only", name])
    return {RATE: next(iter(found.values()))}


def _ours(data: BenchmarkData, precision: str, probe_s: float) -> Reading:
    flags = ("--backend", "gpu", "--precision", precision)
    offline = sut_runs.run(data, "Offline", OVER * data.samples, *flags)
    stream = sut_runs.run(data, "SingleStream", data.samples, *flags, "--executor", "inline")
    parts = _json(["benchmarks.gpu_breakdown", "--model", data.model, "--precision", precision])
    return {
        OFFLINE: sut_runs.value(offline),
        P90: sut_runs.p90_ms(stream),
        **({PEAK_QPS: sut_runs.value(sut_runs.server_peak(data, probe_s, *flags))} if probe_s else {}),
        **{name: parts[name] for name in SHARES},
    }


def _json(command: list[str]) -> Reading:
    found: Reading = json.loads(sut_runs.turn(command).stdout.splitlines()[-1])
    return found


def _data(options: argparse.Namespace, cache_dir: Path, samples: int) -> tuple[BenchmarkData, float]:
    """A set of `samples` samples with the data set's lengths, and their mean length."""
    whole = options.dataset or asset_paths.demo_dataset(cache_dir)
    vocab = options.vocab or asset_paths.demo_model() / "vocab.txt"
    count = max(64, round(samples * (QUICK if options.quick else 1)))
    path = cache_dir / f"lengths-{feature_cache.key(count, whole, vocab)}.json"
    features = length_matched.like(whole, vocab, cache_dir, count, path)
    return BenchmarkData(options.model, path, vocab, cache_dir, count), float(features.lengths.mean())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="random:bert-large", help="random:bert-large (default), random:bert-base, random:bert-tiny")
    add("--dataset", type=Path, help="a SQuAD v1.1 file that gives the lengths (default: the embedded demo)")
    add("--vocab", type=Path, help="its vocabulary (default: the demo's)")
    add("--rounds", type=int, help="turns of each contestant (default: 3; with --quick 1)")
    add("--only", nargs="+", metavar="WORD", help="contestants with one of these words in their name")
    add("--quick", action="store_true", help="an eighth of the samples, one round, no search of the Server peak")
    add("--markdown", action="store_true", help="print the tables for the documentation")
    add("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR)
    return parser


def main() -> None:
    options = _parser().parse_args()
    gpu = sut_runs.first_gpu()
    config = find_model(options.model).config
    assert config is not None
    rounds = options.rounds or (1 if options.quick else 3)
    cache_dir = options.cache_dir.expanduser()
    cache_dir.mkdir(parents=True, exist_ok=True)
    data, tokens = _data(options, cache_dir, SAMPLES)
    padded, probe_s = _data(options, cache_dir, PADDED)[0], 0.0 if options.quick else _PROBE_S
    chosen, results = select(contestants(options.model, data, padded, probe_s), options.only), Results()
    report = gpu_report.GpuReport(chosen, results, config, tokens, gpu.name)
    minutes = _QUICK_MINUTES if options.quick else _MINUTES
    expected = rounds * sum(minutes[one.key.split()[0]] for one in chosen)
    print(f"{len(chosen)} contestants, {rounds} turns each: about {expected:.0f} minutes", file=sys.stderr, flush=True)
    start_s, left = time.perf_counter(), rounds * len(chosen)

    def on_reading(number: int, one: Contestant, reading: Reading | str) -> None:
        nonlocal left
        left -= 1
        reading_text = f"round {number + 1}  {one.key}: {cpu_report.reading_text(reading)}"
        print(f"{time.perf_counter() - start_s:5.0f} s  {reading_text}", file=sys.stderr, flush=True)
        print(json.dumps({"round": number + 1, "contestant": one.key, "reading": reading}), flush=True)
        if left:
            _show(report, markdown=options.markdown)

    run_turns(chosen, rounds, on_reading, results)
    _show(report, markdown=options.markdown)
    print(json.dumps({"model": options.model, "rounds": rounds, **report.facts()}), flush=True)


def _show(report: gpu_report.GpuReport, *, markdown: bool) -> None:
    """The tables of what was measured so far."""
    console = terminal.console()
    for table in report.tables():
        cpu_report.show(table, console, markdown=markdown)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(program.run(main))
