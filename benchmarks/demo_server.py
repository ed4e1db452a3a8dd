"""The demo model in Server: the highest rate that is valid at 130 ms p99, compared with Offline's."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import sut_runs
from sut.record import run_record

BACKEND = "pytorch"
SERVER = ("--scenario", "Server", "--find-peak", "--min-duration-s", "5")  # at the benchmark's target latency


def measure(cache_dir: Path) -> dict[str, float]:
    """Offline samples per second and Server's peak. Raises RuntimeError if this version has no --find-peak."""
    if "--find-peak" not in sut_runs.turn(["sut", "--help"]).stdout:
        raise RuntimeError("this version has no --find-peak")
    return {"samples_per_s": _value(cache_dir, "--scenario", "Offline"), "peak_qps": _value(cache_dir, *SERVER)}


def _value(cache_dir: Path, *flags: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        log_dir = Path(folder) / "run"
        sut_runs.turn(["sut", *flags, "--backend", BACKEND, "--cache-dir", str(cache_dir), "--log-dir", str(log_dir)])
        return sut_runs.value(run_record.read(log_dir))
