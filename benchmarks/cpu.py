"""The speed of BERT-Large on this machine, compared with other engines and with the machine's limit.

Contestants: the machine's peak at BERT's matrix products; other ways to run the same model (benchmarks/peers); every
backend and precision of this package, through LoadGen. All get samples with the data set's lengths
(benchmarks/length_matched.py) and take turns, one process at a time (benchmarks/interleave.py). Prints a table, the
ratios with their goals, one JSON line.

    python -m benchmarks.cpu                       # half an hour on 2 cores; some minutes more the first time
    python -m benchmarks.cpu --quick               # one short round: does everything run?
    python -m benchmarks.cpu --only int8 --rounds 5 --dataset dev-v1.1.json --vocab vocab.txt
    python -m benchmarks.cpu --without-amx         # as on a processor without AMX, for all contestants
    python -m benchmarks.cpu --cpu-time            # on a busy machine: engines alone, CPU time of one pinned core
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from backends.bert.checkpoints import find_model
from backends.bert.encoder import EncoderConfig
from benchmarks import cpu_report, demo_server, length_matched, one_core, sut_runs, without_amx
from benchmarks.interleave import Contestant, Reading, run_turns
from benchmarks.peers import OURS, missing, on_cores, peer_class
from benchmarks.sut_runs import BenchmarkData
from foundation import program, terminal
from qsl import feature_cache
from sut.fetch import resolve as asset_paths

# Samples of a turn, so that it lasts 10 to 30 s: fewer for fp32 (SLOW) and for padded samples (PADDED).
SAMPLES, SLOW, PADDED, QUICK = 128, 48, 12, 0.25
PRECISIONS = ("fp32", "bf16", "int8")
_PREPARE_S = 3600


class SharedInputs:
    """What all contestants share: the model, the data set's lengths, and small data sets with these lengths."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.model: str = options.model
        self.cache_dir: Path = options.cache_dir.expanduser()
        self.flags: tuple[str, ...] = ("--cpu-time",) if options.cpu_time else ()
        self._whole: Path = options.dataset or asset_paths.demo_dataset(self.cache_dir)
        self._vocab: Path = options.vocab or asset_paths.demo_model() / "vocab.txt"
        self._scale: float = options.samples / SAMPLES * (QUICK if options.quick else 1)
        self._made: dict[int, BenchmarkData] = {}
        self.tokens: dict[int, float] = {}  # number of samples of a set → its mean length

    @property
    def geometry(self) -> EncoderConfig:
        config = find_model(self.model).config
        assert config is not None
        return config

    def data(self, samples: int) -> BenchmarkData:
        """A data set of about `samples` samples, scaled by --samples and --quick."""
        count = max(10, round(samples * self._scale))  # LoadGen needs these for a 90th percentile
        if count not in self._made:
            path = self.cache_dir / f"lengths-{feature_cache.key(count, self._whole, self._vocab)}.json"
            features = length_matched.like(self._whole, self._vocab, self.cache_dir, count, path)
            self.tokens[count] = float(features.lengths.mean())
            self._made[count] = BenchmarkData(self.model, path, self._vocab, self.cache_dir, count)
        return self._made[count]


def contestants(inputs: SharedInputs, rounds: int) -> list[Contestant]:
    """All contestants, in the table's order."""
    found = [_peak_turn(inputs, name) for name in PRECISIONS]
    for name in on_cores():
        peer = peer_class(name)
        found.append(peer_turn(name, inputs.data(PADDED if peer.padded_to else _samples(peer.precision))))
    for backend, precision in sut_runs.pairs():
        data = inputs.data(_samples(precision))
        turn = sut_runs.BackendTurns(
            data, backend, precision, stream_turns=rounds if precision.startswith("int8") else 1
        )
        found.append(Contestant(f"sut {backend} {precision}", "this package, LoadGen", precision, turn))
    demo = partial(demo_server.measure, inputs.cache_dir)
    return [*found, Contestant("sut demo server", "this package, the demo model, pytorch fp32", "fp32", demo)]


def engines_alone(inputs: SharedInputs) -> list[Contestant]:
    """By the CPU time of one core: the machine's peaks, int8 peers, and this package's engine without LoadGen."""
    data = inputs.data(SLOW)
    peers = [name for name in on_cores() if (one := peer_class(name)).precision == "int8" and not one.side_by_side]
    return [
        *(_peak_turn(inputs, peer_class(name).precision) for name in OURS),
        *(peer_turn(name, data, *inputs.flags) for name in peers),
        *(peer_turn(name, data, *inputs.flags, kind="sut") for name in OURS),
    ]


def _samples(precision: str) -> int:
    return SAMPLES if precision.startswith("int8") else SLOW


def _peak_turn(inputs: SharedInputs, precision: str) -> Contestant:
    about = "matrix products alone, the best kernel of each"
    return Contestant(f"peak {precision}", about, precision, partial(_peak, inputs, precision))


def _peak(inputs: SharedInputs, precision: str) -> Reading:
    done = sut_runs.turn(["benchmarks.gemm", "--model", inputs.model, "--precision", precision, *inputs.flags])
    return {"gops": float(json.loads(done.stdout.splitlines()[-1])["gops"][precision])}


def peer_turn(name: str, data: BenchmarkData, *flags: str, kind: str = "peer") -> Contestant:
    """A peer as a contestant."""
    peer = peer_class(name)
    return Contestant(f"{kind} {name}", peer.about, peer.precision, partial(_peer, name, data, flags))


def _peer(name: str, data: BenchmarkData, flags: tuple[str, ...]) -> Reading:
    absent = missing(name)
    if absent:
        raise RuntimeError(absent)
    done = sut_runs.turn(_peer_command(name, data, *flags))
    reading: Reading = json.loads(done.stdout.splitlines()[-1])
    return reading


def _peer_command(name: str, data: BenchmarkData, *more: str) -> list[str]:
    files = ["--dataset", str(data.dataset), "--vocab", str(data.vocab), "--cache-dir", str(data.cache_dir)]
    return ["benchmarks.peers", name, "--model", data.model, *files, *more]


def prepare(inputs: SharedInputs, chosen: list[Contestant], say: Callable[[str], None]) -> None:
    """Write the exported and quantized graphs once. A peer that fails here fails again in its turn, with its error."""
    for one in chosen:
        kind, _, name = one.key.partition(" ")
        if (kind == "peer" or (inputs.flags and name in OURS)) and not missing(name):
            start_s = time.perf_counter()
            try:
                sut_runs.turn(_peer_command(name, inputs.data(SLOW), "--prepare"), _PREPARE_S)
            except RuntimeError as error:
                say(f"{one.key}: not prepared: {error}")
            else:
                say(f"{one.key}: prepared in {time.perf_counter() - start_s:.0f} s")


def select(everyone: list[Contestant], only: list[str] | None) -> list[Contestant]:
    """The contestants with one of the words in their key; all if `only` is empty."""
    return [one for one in everyone if not only or any(word in one.key for word in only)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="random:bert-large", help="random:bert-large (default), random:bert-base, random:bert-tiny")
    add("--dataset", type=Path, help="a SQuAD v1.1 file that gives the lengths (default: the embedded demo)")
    add("--vocab", type=Path, help="its vocabulary (default: the demo's)")
    add("--rounds", type=int, help="turns of each contestant (default: 3; with --quick 1)")
    add("--samples", type=int, default=SAMPLES, help=f"samples of an int8 turn (default: {SAMPLES}); others are scaled")
    add("--only", nargs="+", metavar="WORD", help="contestants with one of these words in their name")
    add("--quick", action="store_true", help="a quarter of the samples, one round")
    add("--without-amx", action="store_true", help="no contestant uses AMX (benchmarks/without_amx.py)")
    one_core.add_flag(parser)
    add("--markdown", action="store_true", help="print the tables of docs/results")
    add("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR)
    return parser


def main() -> None:
    options = _parser().parse_args()
    if options.without_amx:
        without_amx.deny()
    rounds = options.rounds or (1 if options.quick else 3)
    inputs = SharedInputs(options)
    inputs.cache_dir.mkdir(parents=True, exist_ok=True)
    everyone = engines_alone(inputs) if options.cpu_time else contestants(inputs, rounds)
    chosen = select(everyone, options.only)
    say = partial(print, file=sys.stderr, flush=True)
    prepare(inputs, chosen, say)
    start_s = time.perf_counter()

    def on_reading(number: int, one: Contestant, reading: Reading | str) -> None:
        say(
            f"{time.perf_counter() - start_s:5.0f} s  round {number + 1}  {one.key}: {cpu_report.reading_text(reading)}"
        )

    # Nearly all ratios are within a precision: their terms are measured within the same minutes.
    results = run_turns(sorted(chosen, key=lambda one: one.precision), rounds, on_reading)
    tokens = sum(inputs.tokens.values()) / len(inputs.tokens)
    without = ("AMX",) if options.without_amx else ()
    report = cpu_report.CpuReport(chosen, results, inputs.geometry, tokens, without, options.cpu_time)
    # Lines are wrapped only on a terminal.
    console = terminal.console()
    for table in report.tables():
        cpu_report.show(table, console, markdown=options.markdown)
    print(json.dumps({"model": options.model, "rounds": rounds, **report.facts()}))


if __name__ == "__main__":
    sys.exit(program.run(main))
