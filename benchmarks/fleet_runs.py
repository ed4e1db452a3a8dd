"""What a node adds to a run: whole runs of the demo on a node of this machine, and the same without one.

Node and LoadGen share the machine's cores, so a figure is what the way costs at worst. Runs on a node and runs here
take turns, so that a machine that slows down affects both.

    server    single samples of the fake backend over framed TCP, at given rates: the p99 latency, VALID or not
    latency   a sample of the fake backend in SingleStream: the p50 on a node, here, and the difference
    v2        the demo model in Offline: samples/s by KServe v2 over gRPC, here, and their ratio

    python -m benchmarks.fleet_runs --only server latency v2 --turns 3
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import sut_runs
from foundation import program
from sut.record import run_record
from sut.record.run_record import RunRecord

_FAKE = ("--backend", "fake", "--instances", "1")
_STREAM = ("--scenario", "SingleStream", "--test-query-count", "6000")
_OFFLINE = ("--scenario", "Offline", "--min-duration-s", "8")
_START_S, _POLL_S = 120.0, 0.05
_ADDRESS = re.compile(r"serving at (?:v2://)?(\S+) with")
Figures = dict[str, list[float]]  # a figure → its readings


@contextmanager
def node(folder: Path, *flags: str) -> Iterator[str]:
    """A node under way; its address."""
    words = [sys.executable, "-m", "sut", "serve", "--cache-dir", str(folder / "cache"), *flags]
    said = folder / "node.txt"
    with said.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            yield _address(process, said)
        finally:
            process.terminate()
            process.wait()


def _address(process: subprocess.Popen[bytes], said: Path) -> str:
    until_s = time.monotonic() + _START_S
    while not (found := _ADDRESS.search(said.read_text(encoding="utf-8"))):
        if process.poll() is not None or time.monotonic() > until_s:
            raise RuntimeError(f"expected a node that serves, found: {said.read_text(encoding='utf-8').strip()}")
        time.sleep(_POLL_S)
    return found[1]


def _run(folder: Path, *flags: str) -> RunRecord:
    """The record of a run, which may be invalid."""
    log_dir = Path(tempfile.mkdtemp(dir=folder)) / "run"
    words = ["sut", "--cache-dir", str(folder / "cache"), "--log-dir", str(log_dir), *flags]
    try:
        sut_runs.turn(words)
    except RuntimeError:
        if not (log_dir / "run.json").is_file():
            raise
    return run_record.read(log_dir)


def _remote(address: str) -> tuple[str, ...]:
    return ("--backend", "fake", "--executor", "remote", "--node", address)


def server(folder: Path, turns: int, rates: Sequence[int]) -> Figures:
    """LoadGen's p99 at each rate, and how many of the runs were VALID."""
    found: Figures = defaultdict(list)
    for rate in rates:
        for _ in range(turns):
            with node(folder, "--port", "0", *_FAKE) as address:
                flags = ("--scenario", "Server", "--target-qps", str(rate), "--min-duration-s", "5")
                record = _run(folder, *_remote(address), *flags)
            latency_ms = record.performance.latency_ms if record.performance else {}
            found[f"server, {rate:,} queries/s: p99, ms"].append(latency_ms.get("99.00", float("nan")))
            found[f"server, {rate:,} queries/s: VALID"].append(float(record.verdict == "VALID"))
    return found


def latency(folder: Path, turns: int) -> Figures:
    """LoadGen's p50 of single samples, with an instance in a process and in the node's own."""
    found: Figures = defaultdict(list)
    for executor in ("processes", "inline"):
        for _ in range(turns):
            with node(folder, "--port", "0", "--executor", executor, "--scenario", "SingleStream", *_FAKE) as address:
                there = _p50_ms(_run(folder, *_remote(address), *_STREAM))
            here = _p50_ms(_run(folder, "--executor", executor, *_FAKE, *_STREAM))
            found[f"latency, {executor}: p50 here, ms"].append(here)
            found[f"latency, {executor}: p50 on a node, ms"].append(there)
            found[f"latency, {executor}: added, ms"].append(there - here)
    return found


def _p50_ms(record: RunRecord) -> float:
    if record.performance is None:
        raise RuntimeError(f"{record.verdict}: no latency")
    return record.performance.latency_ms["50.00"]


def v2(folder: Path, turns: int) -> Figures:
    """LoadGen's samples/s of the demo model."""
    found: Figures = defaultdict(list)
    for _ in range(turns):
        with node(folder, "--v2-grpc-port", "0", "--scenario", "Offline") as address:
            there = sut_runs.value(_run(folder, "--backend", "v2", "--model", f"v2://{address}", *_OFFLINE))
        here = sut_runs.value(_run(folder, *_OFFLINE))
        found["v2: samples/s here"].append(here)
        found["v2: samples/s by a node"].append(there)
        found["v2: share"].append(there / here)
    return found


PARTS = ("server", "latency", "v2")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--turns", type=int, default=3, metavar="N")
    parser.add_argument("--qps", nargs="+", type=int, default=(5000, 10000), metavar="N", help="rates of `server`")
    args = parser.parse_args(argv)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in args.only:
            if part == "server":
                figures |= server(folder, args.turns, args.qps)
            else:
                figures |= {"latency": latency, "v2": v2}[part](folder, args.turns)
    table = Table("figure", "median", "lowest", "highest", box=None)
    for title, readings in figures.items():
        table.add_row(title, *(f"{one:,.4g}" for one in (statistics.median(readings), min(readings), max(readings))))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(program.run(main))
