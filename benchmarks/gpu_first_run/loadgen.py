"""One scenario at one precision through LoadGen: Offline samples/s, SingleStream p90, or Server's peak.

    python -m benchmarks.gpu_first_run.loadgen Offline fp8 --work DIR

Samples have SQuAD's lengths with a mean of 177 tokens, each equally often. Offline's figure is the median of some runs.
The search for the highest rate with p99 within 130 ms begins near Offline's; if time runs out, the best so far counts.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.gpu.weights import FLOATS
from benchmarks import sut_runs
from benchmarks.gpu_first_run import dry, inputs
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_report import OFFLINE, P90, PEAK_QPS
from benchmarks.sut_runs import BenchmarkData
from foundation import program

_OFFLINE_QUERIES, _STREAM_QUERIES = 32768, 2048
_ROUNDS, _ROUNDS_S = 3, 45.0  # Offline runs, of which the median counts, unless a new one would begin later than this
_FIRST_SHARE, _PROBE_S, _SEARCH_S = 0.85, 3, 90
_PROBE = re.compile(r"^probe +\d+: +(\S+) qps .* VALID$", re.MULTILINE)


def results_of(work: Path, precision: str) -> Path:
    """Where the figures of a precision are left for the step `goals`."""
    return work / f"loadgen-{precision}.json"


@dataclass(frozen=True)
class _Sut:
    """What is run."""

    data: BenchmarkData
    flags: tuple[str, ...]  # backend, precision, engine

    @property
    def files(self) -> tuple[str, ...]:
        data = self.data
        files = ("--model", data.model, "--dataset", str(data.dataset), "--vocab", str(data.vocab))
        return (*files, "--cache-dir", str(data.cache_dir))


def main(argv: Sequence[str] | None = None) -> int:
    options = rigs.options(__doc__, argv, "scenario", "precision")
    precision, results = options.precision, results_of(options.work, options.precision)
    model = inputs.TINY if options.dry_run else f"random:{options.geometry}"
    own = () if precision in FLOATS else ("--engine", str(inputs.engine_of(options.work, model, precision)))
    sut = _Sut(inputs.data(options.work, model, inputs.SAMPLES), ("--backend", "gpu", "--precision", precision, *own))
    if options.dry_run:
        dry.check_flags([*sut.files, "--scenario", options.scenario, *sut.flags])
        return 0
    metric, measure = SCENARIOS[options.scenario]
    found = {name: value for name, value in read_results(results).items() if name != metric}
    results.write_text(json.dumps(found), encoding="utf-8")  # an earlier figure must not be taken for this one
    measure(sut, found)
    results.write_text(json.dumps(found), encoding="utf-8")
    return 0


def read_results(path: Path) -> dict[str, float]:
    """The JSON in the last line of a file; empty without it."""
    try:
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8").strip().splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return {}
    return found


def _offline(sut: _Sut, found: dict[str, float]) -> None:
    rates: list[float] = []
    start_s = time.monotonic()
    while len(rates) < _ROUNDS and time.monotonic() < start_s + _ROUNDS_S:
        rates.append(sut_runs.value(sut_runs.run(sut.data, "Offline", _OFFLINE_QUERIES, *sut.flags)))
        rigs.note(f"round {len(rates)}: {rates[-1]:.1f} samples/s")
    found[OFFLINE] = statistics.median(rates)
    print(f"{found[OFFLINE]:.0f} samples/s ({min(rates):.0f} to {max(rates):.0f} in {len(rates)} runs)", flush=True)


def _stream(sut: _Sut, found: dict[str, float]) -> None:
    record = sut_runs.run(sut.data, "SingleStream", _STREAM_QUERIES, *sut.flags, "--executor", "inline")
    found[P90] = sut_runs.p90_ms(record)
    print(f"p90 {found[P90]:.3f} ms", flush=True)


def _server(sut: _Sut, found: dict[str, float]) -> None:
    first = ("--target-qps", f"{_FIRST_SHARE * found[OFFLINE]:.0f}") if OFFLINE in found else ()
    with tempfile.TemporaryDirectory() as folder:
        said = _until([
            *(sys.executable, "-m", "sut", *sut.files, *sut.flags, "--scenario", "Server", "--find-peak", *first),
            *("--min-duration-s", str(_PROBE_S), "--log-dir", str(Path(folder) / "run")),
        ], _SEARCH_S)  # fmt: skip
    rigs.note(said)
    valid = valid_rates(said)
    if not valid:
        raise RuntimeError(f"no valid probe: {said.strip().splitlines()[-1:]}")
    found[PEAK_QPS] = max(valid)
    share = f", {found[PEAK_QPS] / found[OFFLINE]:.0%} of Offline" if OFFLINE in found else ""
    print(f"peak {found[PEAK_QPS]:.0f} queries/s of {said.count('probe ')} probes{share}", flush=True)


def valid_rates(said: str) -> list[float]:
    """The rates of the valid probes in what a search wrote."""
    return [float(qps.replace(",", "")) for qps in _PROBE.findall(said)]


SCENARIOS: dict[str, tuple[str, Callable[[_Sut, dict[str, float]], None]]] = {
    "Offline": (OFFLINE, _offline),
    "SingleStream": (P90, _stream),
    "Server": (PEAK_QPS, _server),
}


def _until(command: list[str], limit_s: float) -> str:
    """What a process wrote to stderr until it ended, or was killed at the limit."""
    try:
        return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=limit_s).stderr
    except subprocess.TimeoutExpired as error:
        said = error.stderr or b""
        return f"{said.decode(errors='replace') if isinstance(said, bytes) else said}\nkilled at {limit_s} s"


if __name__ == "__main__":
    sys.exit(program.run(main))
