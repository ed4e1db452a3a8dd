"""This package as a contestant: runs `python -m sut` in a separate process and reads run.json."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backends import BACKENDS, accelerators, check
from backends.base import Accelerator
from backends.errors import BackendError
from sut.errors import UsageError
from sut.record import run_record
from sut.record.run_record import RunRecord

GPU = "gpu"  # the backend
LIMIT_S = 900  # a turn that takes longer counts as failed
_STREAM_QUERIES = 64  # LoadGen needs as many for a valid 90th percentile
# Every sample equally often, not drawn with replacement, so that all contestants get the same tokens.
_USER_CONF = "*.*.sample_concatenate_permutation = 1\n"


@dataclass(frozen=True)
class BenchmarkData:
    """The inputs of a contestant: a model, a data set with its number of samples, a directory for caches."""

    model: str
    dataset: Path
    vocab: Path
    cache_dir: Path
    samples: int


def pairs() -> list[tuple[str, str]]:
    """(backend, precision) of every engine that runs on the machine's cores; fp32 of one that is not installed."""
    found: list[tuple[str, str]] = []
    for name, entry in BACKENDS.working().items():
        if entry.runs_model and not entry.accelerators:
            precisions = entry.precisions if _is_installed(name) else ("fp32",)  # its turn reports what is missing
            found += [(name, precision) for precision in precisions]
    return found


def installed() -> list[tuple[str, str]]:
    """`pairs`, of engines that are installed; those that need no built engine first."""
    found = [(name, precision) for name, precision in pairs() if _is_installed(name)]
    return sorted(found, key=lambda pair: BACKENDS[pair[0]].precisions[pair[1]] == "engine")


def _is_installed(name: str) -> bool:
    with suppress(BackendError):
        check(name)
        return True
    return False


def first_gpu() -> Accelerator:
    """The GPU to measure; prints an error and exits with code 2 if there is none."""
    try:
        check(GPU)
        return accelerators(GPU)[0]
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def turn(command: list[str], most_s: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
    """Run a process to its end. Raises RuntimeError with its last line if it fails."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False, timeout=most_s
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"took longer than {most_s:.0f} s") from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else f"ended with {done.returncode}")
    return done


def run(data: BenchmarkData, scenario: str, queries: int, *flags: str, most_s: float = LIMIT_S) -> RunRecord:
    """The record of one performance run, with every sample equally often. Raises RuntimeError if it is not valid."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        user_conf, log_dir = folder / "user.conf", folder / "run"
        user_conf.write_text(_USER_CONF, encoding="utf-8")
        command = [
            "sut", "--scenario", scenario, "--model", data.model, "--dataset", str(data.dataset),
            "--vocab", str(data.vocab), "--cache-dir", str(data.cache_dir), "--user-conf", str(user_conf),
            "--log-dir", str(log_dir), "--test-query-count", str(queries), *flags,
        ]  # fmt: skip
        try:
            turn(command, most_s)
        except RuntimeError as error:
            raise RuntimeError(_reasons(log_dir) or str(error)) from error
        return run_record.read(log_dir)


def scored(data: BenchmarkData, *flags: str, most_s: float = LIMIT_S) -> RunRecord:
    """The record of an accuracy run over the whole data set. Raises RuntimeError if it fails."""
    with tempfile.TemporaryDirectory() as name:
        log_dir = Path(name) / "run"
        turn([
            "sut", "--mode", "accuracy", "--target", "0", "--model", data.model, "--dataset", str(data.dataset),
            "--vocab", str(data.vocab), "--cache-dir", str(data.cache_dir), "--log-dir", str(log_dir), *flags,
        ], most_s)  # fmt: skip
        return run_record.read(log_dir)


def server_peak(data: BenchmarkData, probe_s: float, *flags: str) -> RunRecord:
    """The record of a search for the highest rate that is valid at the benchmark's target latency.

    Raises:
        RuntimeError: it failed, or found none.
    """
    with tempfile.TemporaryDirectory() as name:
        log_dir = Path(name) / "run"
        turn([
            "sut", "--scenario", "Server", "--find-peak", "--min-duration-s", f"{probe_s:g}", "--model", data.model,
            "--dataset", str(data.dataset), "--vocab", str(data.vocab), "--cache-dir", str(data.cache_dir),
            "--log-dir", str(log_dir), *flags,
        ])  # fmt: skip
        return run_record.read(log_dir)


def value(record: RunRecord) -> float:
    """LoadGen's figure, or the peak that was found. Raises RuntimeError if the run has none."""
    result = record.performance or record.peak
    if result is None or result.value is None:
        raise RuntimeError(f"{record.verdict}: no figure")
    return result.value


def p90_ms(record: RunRecord) -> float:
    """A query's 90th percentile. Raises RuntimeError if there were too few queries."""
    if record.performance is None or "90.00" not in record.performance.latency_ms:
        raise RuntimeError(f"{record.verdict}: no 90th percentile")
    return record.performance.latency_ms["90.00"]


def _reasons(log_dir: Path) -> str:
    """Why a run that ended was not valid; "" if it did not end."""
    try:
        record = run_record.read(log_dir)
    except UsageError:
        return ""
    return f"{record.verdict}: {'; '.join(record.reasons)}" if record.has_ended else ""


class BackendTurns:
    """A backend's turns at one precision; only the first `stream_turns` run SingleStream, which is slow."""

    def __init__(self, data: BenchmarkData, backend: str, precision: str, stream_turns: int) -> None:
        self._data, self._flags = data, ("--backend", backend, "--precision", precision)
        self._stream_turns = stream_turns

    def __call__(self) -> dict[str, float]:
        """Offline samples per second, and SingleStream's 90th percentile in ms, of the same samples."""
        offline = run(self._data, "Offline", self._data.samples, *self._flags)
        found: dict[str, float] = {"samples_per_s": value(offline)}
        if self._stream_turns:
            self._stream_turns -= 1
            queries = max(self._data.samples, _STREAM_QUERIES)
            found["p90_ms"] = p90_ms(run(self._data, "SingleStream", queries, *self._flags))
        return found
