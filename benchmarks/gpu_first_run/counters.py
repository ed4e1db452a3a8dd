"""Hardware counters of a layer's kernels, by Nsight Compute where it is installed and allowed.

    python -m benchmarks.gpu_first_run.counters fp8 --work DIR --out DIR

The card's clocks stay as they are.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.gpu_first_run import once
from benchmarks.gpu_first_run import rig as rigs
from foundation import program

_LIMIT_S = 60
_KERNELS = 10  # from the embedding to the end of the first layer
_SECTIONS = ("SpeedOfLight", "LaunchStats", "Occupancy", "SchedulerStats", "WarpStateStats")
_COLUMNS = {
    "Duration": "us",
    "Compute (SM) Throughput": "SM%",
    "DRAM Throughput": "DRAM%",
    "L2 Cache Throughput": "L2%",
    "Registers Per Thread": "regs",
    "Achieved Occupancy": "occ%",
    "Issued Warp Per Scheduler": "issued",
    "Warp Cycles Per Issued Instruction": "cyc/instr",
    "SM Frequency": "clock",
}
_NAME = 34
_MICROSECONDS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "nsecond": 1e-3, "usecond": 1.0, "msecond": 1e3}


def main(argv: Sequence[str] | None = None) -> int:
    options = rigs.options(__doc__, argv, "precision", "out")
    out = Path(options.out) / f"ncu-{options.precision}.csv"
    if options.dry_run:
        return once.main([options.precision, "--work", str(options.work), "--dry-run"])
    tool = shutil.which("ncu")
    if tool is None:
        print("expected ncu, Nsight Compute's command, found none in PATH")
        return 1
    program = (sys.executable, "-m", "benchmarks.gpu_first_run.once", options.precision)
    code = _until([*_command(tool, out), *program, "--work", str(options.work), "--geometry", options.geometry])
    found = list(table(out.read_text(encoding="utf-8", errors="replace").splitlines())) if out.is_file() else []
    if len(found) > 1:
        rigs.show(f"{options.precision} counters", found)
    return code or len(found) <= 1


def _until(command: list[str]) -> int:
    """The exit code; what was profiled until the limit counts."""
    try:
        return subprocess.run(command, stdout=sys.stderr, check=False, timeout=_LIMIT_S).returncode
    except subprocess.TimeoutExpired:
        print(f"ended at its limit, {_LIMIT_S} s")
        return 1


def _command(tool: str, out: Path) -> list[str]:
    sections = [word for name in _SECTIONS for word in ("--section", name)]
    return [
        *(tool, "--clock-control", "none", "--profile-from-start", "off", "--launch-count", str(_KERNELS)),
        *(*sections, "--csv", "--page", "details", "--force-overwrite", "--log-file", str(out)),
    ]


def table(lines: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """A row for each kernel of ncu's CSV, which stands between lines of other kinds."""
    yield ("kernel", *_COLUMNS.values())
    kernels: dict[tuple[int, str], dict[str, str]] = {}
    for row in csv.DictReader(line for line in lines if line.startswith('"')):
        if (column := _COLUMNS.get(row.get("Metric Name") or "")) is not None:
            at = int(row["ID"]), row["Kernel Name"][:_NAME]
            kernels.setdefault(at, {})[column] = _value(row["Metric Value"], row["Metric Unit"])
    for (_, name), found in sorted(kernels.items()):
        yield (name, *(found.get(column, "-") for column in _COLUMNS.values()))


def _value(text: str, unit: str) -> str:
    number = text.replace(",", "")
    if unit in _MICROSECONDS:
        return f"{float(number) * _MICROSECONDS[unit]:.1f}"
    return number


if __name__ == "__main__":
    sys.exit(program.run(main))
