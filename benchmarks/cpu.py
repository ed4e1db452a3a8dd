"""How fast BERT-Large runs here, beside its peers and beside the machine's limit: one sitting, one process at a time.

Contestants: the machine's own peak at BERT's matrix products; other ways to run the same model (benchmarks/peers);
every backend and precision of this package, through LoadGen. All are given samples whose lengths are the data set's
(benchmarks/length_matched.py), and take turns (benchmarks/interleave.py). Then: a table, the ratios with what they must
reach, one JSON line.

    python -m benchmarks.cpu                       # about half an hour on 2 cores, and the first time some minutes more
    python -m benchmarks.cpu --quick               # one short round: does everything run?
    python -m benchmarks.cpu --only int8 --rounds 5 --dataset dev-v1.1.json --vocab vocab.txt
    python -m benchmarks.cpu --without-amx         # what a processor without it would give, for all contestants alike
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from backends.bert.checkpoints import find_model
from backends.bert.config import BertConfig
from benchmarks import cpu_report, demo_server, length_matched, sut_runs, without_amx
from benchmarks.interleave import Contestant, Reading, hold
from benchmarks.peers import missing, on_cores, peer_class
from benchmarks.sut_runs import Place
from qsl import feature_cache
from sut.fetch import resolve as asset_paths

# Samples of a turn. Slow: fp32, and whatever is padded; a turn shall last 10 to 30 s.
SAMPLES, SLOW, PADDED, QUICK = 128, 48, 12, 0.25
PRECISIONS = ("fp32", "bf16", "int8")


class Sitting:
    """What the contestants of one sitting share: the model, the data set's lengths, and small sets made of them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.model: str = options.model
        self.cache_dir: Path = options.cache_dir.expanduser()
        self._whole: Path = options.dataset or asset_paths.demo_dataset(self.cache_dir)
        self._vocab: Path = options.vocab or asset_paths.demo_model() / "vocab.txt"
        self._scale: float = options.samples / SAMPLES * (QUICK if options.quick else 1)
        self._made: dict[int, Place] = {}
        self.tokens: dict[int, float] = {}  # mean of a set, by its samples

    @property
    def geometry(self) -> BertConfig:
        config = find_model(self.model).config
        assert config is not None
        return config

    def place(self, samples: int) -> Place:
        """A set of about so many samples, scaled by what the user asked for."""
        count = max(10, round(samples * self._scale))  # fewer make no 90th percentile
        if count not in self._made:
            path = self.cache_dir / f"lengths-{feature_cache.key(count, self._whole, self._vocab)}.json"
            features = length_matched.like(self._whole, self._vocab, self.cache_dir, count, path)
            self.tokens[count] = float(features.lengths.mean())
            self._made[count] = Place(self.model, path, self._vocab, self.cache_dir, count)
        return self._made[count]


def contestants(sitting: Sitting, rounds: int) -> list[Contestant]:
    """Every row, in the table's order."""
    found = [
        Contestant(
            f"peak {name}", "matrix products alone, the best kernel of each", name, partial(_peak, sitting, name)
        )
        for name in PRECISIONS
    ]
    for name in on_cores():
        peer = peer_class(name)
        found.append(peer_turn(name, sitting.place(PADDED if peer.padded_to else _samples(peer.precision))))
    for backend, precision in sut_runs.pairs():
        place = sitting.place(_samples(precision))
        turn = sut_runs.Turns(place, backend, precision, stream_turns=rounds if precision.startswith("int8") else 1)
        found.append(Contestant(f"sut {backend} {precision}", "this package, LoadGen", precision, turn))
    demo = partial(demo_server.measure, sitting.cache_dir)
    return [*found, Contestant("sut demo server", "this package, the demo model, pytorch fp32", "fp32", demo)]


def _samples(precision: str) -> int:
    return SAMPLES if precision.startswith("int8") else SLOW


def _peak(sitting: Sitting, precision: str) -> Reading:
    done = sut_runs.turn(["benchmarks.gemm", "--model", sitting.model, "--precision", precision])
    return {"gops": float(json.loads(done.stdout.splitlines()[-1])["gops"][precision])}


def peer_turn(name: str, place: Place) -> Contestant:
    """A peer as a contestant."""
    peer = peer_class(name)
    return Contestant(f"peer {name}", peer.about, peer.precision, partial(_peer, name, place))


def _peer(name: str, place: Place) -> Reading:
    absent = missing(name)
    if absent:
        raise RuntimeError(absent)
    done = sut_runs.turn(_peer_command(name, place))
    reading: Reading = json.loads(done.stdout.splitlines()[-1])
    return reading


def _peer_command(name: str, place: Place, *more: str) -> list[str]:
    files = ["--dataset", str(place.dataset), "--vocab", str(place.vocab), "--cache-dir", str(place.cache_dir)]
    return ["benchmarks.peers", name, "--model", place.model, *files, *more]


def prepare(sitting: Sitting, chosen: list[Contestant], tell: Callable[[str], None]) -> None:
    """What is written once: exported and quantized graphs. What fails here fails again, and is told, in its turn."""
    for name in on_cores():
        if any(one.key == f"peer {name}" for one in chosen) and not missing(name):
            start_s = time.perf_counter()
            try:
                sut_runs.turn(_peer_command(name, sitting.place(SLOW), "--prepare"))
            except RuntimeError as error:
                tell(f"peer {name}: not prepared: {error}")
            else:
                tell(f"peer {name}: prepared in {time.perf_counter() - start_s:.0f} s")


def select(everyone: list[Contestant], only: list[str] | None) -> list[Contestant]:
    """Those with one of the words in their key; all without words."""
    return [one for one in everyone if not only or any(word in one.key for word in only)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="random:bert-large", help="random:bert-large (default), random:bert-base, random:bert-tiny")
    add("--dataset", type=Path, help="a SQuAD v1.1 file whose lengths to take (default: the embedded one's)")
    add("--vocab", type=Path, help="its vocabulary (default: the demo's)")
    add("--rounds", type=int, help="turns of each contestant (default: 3; with --quick 1)")
    add("--samples", type=int, default=SAMPLES, help=f"of an int8 turn (default: {SAMPLES}); the others' follow")
    add("--only", nargs="+", metavar="WORD", help="contestants with one of these words in their name")
    add("--quick", action="store_true", help="a quarter of the samples, one round")
    add("--without-amx", action="store_true", help="nobody may use AMX (benchmarks/without_amx.py)")
    add("--markdown", action="store_true", help="print the tables of docs/results")
    add("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR)
    return parser


def main() -> None:
    options = _parser().parse_args()
    if options.without_amx:
        without_amx.deny()
    rounds = options.rounds or (1 if options.quick else 3)
    sitting = Sitting(options)
    sitting.cache_dir.mkdir(parents=True, exist_ok=True)
    chosen = select(contestants(sitting, rounds), options.only)
    tell = partial(print, file=sys.stderr, flush=True)
    prepare(sitting, chosen, tell)
    start_s = time.perf_counter()

    def told(number: int, one: Contestant, reading: Reading | str) -> None:
        tell(f"{time.perf_counter() - start_s:5.0f} s  round {number + 1}  {one.key}: {cpu_report.words(reading)}")

    results = hold(chosen, rounds, told)
    tokens = sum(sitting.tokens.values()) / len(sitting.tokens)
    without = ("AMX",) if options.without_amx else ()
    report = cpu_report.Report(chosen, results, sitting.geometry, tokens, without)
    # A file or a pipe gets whole lines; a terminal its own width.
    console = Console() if sys.stdout.isatty() else Console(width=200)
    for table in report.tables():
        cpu_report.show(table, console, markdown=options.markdown)
    print(json.dumps({"model": options.model, "rounds": rounds, **report.facts()}))


if __name__ == "__main__":
    main()
