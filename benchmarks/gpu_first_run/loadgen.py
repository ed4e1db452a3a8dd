"""One precision through LoadGen: Offline samples/s, SingleStream p90, and Server's peak with p99 within 130 ms.

    python -m benchmarks.gpu_first_run.loadgen fp8 --work DIR

Each figure is printed as soon as it is there. Samples have SQuAD's lengths with a mean of 177 tokens, each equally
often. The search for the peak begins near the Offline figure; if time runs out, the best rate so far counts.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from backends.gpu.weights import FLOATS
from benchmarks import sut_runs
from benchmarks.gpu_first_run import dry, inputs
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_report import OFFLINE, P90, PEAK_QPS
from benchmarks.sut_runs import BenchmarkData

_OFFLINE_QUERIES, _STREAM_QUERIES = 65536, 2048
_FIRST_SHARE, _PROBE_S, _SEARCH_S = 0.85, 3, 60
_PROBE = re.compile(r"^probe +\d+: +(\S+) qps .* VALID$", re.MULTILINE)


def results_of(work: Path, precision: str) -> Path:
    """Where the figures of a precision are left for the step `goals`."""
    return work / f"loadgen-{precision}.json"


def main(argv: Sequence[str] | None = None) -> int:
    options = rigs.options(__doc__, argv, "precision")
    work, precision, sections = options.work, options.precision, rigs.Sections()
    model = inputs.TINY if options.dry_run else f"random:{options.geometry}"
    data = inputs.data(work, model, inputs.SAMPLES)
    own = () if precision in FLOATS else ("--engine", str(inputs.engine_of(work, model, precision)))
    flags = ("--backend", "gpu", "--precision", precision, *own)
    if options.dry_run:
        for scenario in ("Offline", "Server"):
            dry.check_flags([*_files(data), "--scenario", scenario, *flags])
        return 0
    found: dict[str, float] = {}
    sections.run("Offline", lambda: _offline(data, flags, found))
    _keep(work, precision, found)
    sections.run("SingleStream", lambda: _stream(data, flags, found))
    _keep(work, precision, found)
    sections.run("Server", lambda: _server(data, flags, found))
    _keep(work, precision, found)
    return sections.code


def _files(data: BenchmarkData) -> tuple[str, ...]:
    files = ("--model", data.model, "--dataset", str(data.dataset), "--vocab", str(data.vocab))
    return (*files, "--cache-dir", str(data.cache_dir))


def _keep(work: Path, precision: str, found: Mapping[str, float]) -> None:
    results_of(work, precision).write_text(json.dumps(found), encoding="utf-8")


def _offline(data: BenchmarkData, flags: tuple[str, ...], found: dict[str, float]) -> None:
    record = sut_runs.run(data, "Offline", _OFFLINE_QUERIES, *flags)
    found[OFFLINE] = sut_runs.value(record)
    print(f"Offline {found[OFFLINE]:.0f} samples/s", flush=True)


def _stream(data: BenchmarkData, flags: tuple[str, ...], found: dict[str, float]) -> None:
    record = sut_runs.run(data, "SingleStream", _STREAM_QUERIES, *flags, "--executor", "inline")
    found[P90] = sut_runs.p90_ms(record)
    print(f"SingleStream p90 {found[P90]:.3f} ms", flush=True)


def _server(data: BenchmarkData, flags: tuple[str, ...], found: dict[str, float]) -> None:
    first = {"--target-qps": f"{_FIRST_SHARE * found[OFFLINE]:.0f}"} if OFFLINE in found else {}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "sut", *_files(data), *flags, "--scenario", "Server", "--find-peak"),
            *("--min-duration-s", str(_PROBE_S), "--log-dir", str(Path(folder) / "run")),
            *(word for pair in first.items() for word in pair),
        ]
        said = _until(command, _SEARCH_S)
    rigs.note(said)
    valid = [float(qps) for qps in _PROBE.findall(said)]
    if not valid:
        raise RuntimeError(f"no valid probe: {said.strip().splitlines()[-1:]}")
    found[PEAK_QPS] = max(valid)
    share = f", {found[PEAK_QPS] / found[OFFLINE]:.0%} of Offline" if OFFLINE in found else ""
    probes = said.count("probe ")
    print(f"Server peak {found[PEAK_QPS]:.0f} queries/s of {probes} probes{share}", flush=True)


def _until(command: list[str], limit_s: float) -> str:
    """What a process wrote to stderr until it ended, or was killed at the limit."""
    try:
        return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=limit_s).stderr
    except subprocess.TimeoutExpired as error:
        said = error.stderr or b""
        return f"{said.decode(errors='replace') if isinstance(said, bytes) else said}\nkilled at {limit_s} s"


if __name__ == "__main__":
    raise SystemExit(main())
