"""Hopper's attention against Triton's: is it right, and where is it faster?

    python -m benchmarks.gpu_hopper_attention --json attention.json      # less than a minute

Each form works in a process of its own with a time limit, so a hang or an illegal access costs that form only; all of
them import and compile at once, then take turns on the GPU (gpu_hopper_attention_child.py). The table comes last.
`--dry-run` does the same on a CPU, with the twin in place of the kernels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_hopper import Child, Contestant, work
from benchmarks.gpu_hopper_attention_child import BATCHES, HIDDEN, HOPPER, OUTPUTS, TRITON, traffic
from foundation import program

_LIMIT_S = 20.0
_LOGS = Path(tempfile.gettempdir()) / "gpu_hopper_attention"
_ROOM = Path(__file__).resolve().parent.parent
Line = dict[str, Any]


def started(name: str, options: argparse.Namespace) -> Child:
    command = [sys.executable, "-m", "benchmarks.gpu_hopper_attention_child", name]
    log = options.logs / f"{name.replace(' ', '-')}.log"
    process = subprocess.Popen(
        [*command, *(["--device", "cpu"] if options.dry_run else [])],
        cwd=_ROOM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("wb"), start_new_session=True,
    )  # fmt: skip
    return Child(Contestant(name, (name,), tuple(OUTPUTS), _LIMIT_S), process, log)


def measured(options: argparse.Namespace) -> list[Line]:
    """What all contestants found; those that did not finish say why."""
    start = time.monotonic()
    deadline = start + options.seconds
    children = [started(name, options) for name in options.forms]
    for child in children:
        child.until("ready", min(deadline, start + 45))
    print(f"imported and compiled after {time.monotonic() - start:.0f} s", flush=True)
    for child in children:
        work(child, deadline)
    lines = [line for child in children for line in child.lines if "form" in line]
    ends = [{"form": one.contestant.title, "failed": f"{one.end} at {one.last()}"} for one in children if one.end]
    return lines + ends


def table(lines: Sequence[Line], forms: Sequence[str]) -> Iterator[str]:
    """µs of every form; the fastest one's GB/s of the traffic that cannot be avoided; what is wrong."""
    titles = {name: f"v{number}" for number, name in enumerate(forms, 1)}
    yield "; ".join(f"{short} = {name}" for name, short in titles.items())
    yield f"{f'µs, cold L2, width {HIDDEN}':34}" + "".join(f"{short:>8}" for short in titles.values()) + "  fastest"
    times = {(one["batch"], one["output"], one["form"]): one["us"] for one in lines if "us" in one}
    for batch, lengths in BATCHES.items():
        for output, dtype in OUTPUTS.items():
            row = {name: times[batch, output, name] for name in forms if (batch, output, name) in times}
            cells = "".join(f"{row[name]:8.1f}" if name in row else f"{'–':>8}" for name in forms)
            best = min(row, key=lambda name: row[name], default="")
            rate = traffic(lengths, dtype) / row[best] / 1e3 if row else 0.0
            yield f"{batch:27}{output:7}{cells}  {titles.get(best, '–')} {rate:.0f} GB/s"
    for name in forms:
        yield from problems(name, [one for one in lines if one["form"] == name])


def problems(name: str, lines: Sequence[Line]) -> Iterator[str]:
    """The greatest error of a row by type, the time of a call on the host, and each case that is wrong or failed."""
    worst: dict[str, float] = {}
    for one in lines:
        if "error" in one:
            worst[one["output"]] = max(worst.get(one["output"], 0.0), one["error"])
    errors = ", ".join(f"{output} {value:.1e}" for output, value in worst.items())
    host = "".join(f"; host {one['host_us']:.1f} µs a call" for one in lines if "host_us" in one)
    checked = [one for one in lines if "right" in one]
    yield f"{name}: {sum(one['right'] for one in checked)} of {len(checked)} right; errors {errors or '–'}{host}"
    for one in lines:
        if one.get("right") is False:
            yield f"  WRONG: {one['case']} {one['inputs']} → {one['output']}: {one['error']:.1e} {one['where']}"
        if "failed" in one:
            yield f"  FAILED: {one.get('case', '')} {one['failed'][:300]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [HOPPER, *TRITON]
    parser.add_argument("--forms", nargs="+", default=names, choices=names)
    parser.add_argument("--seconds", type=float, default=100, help="for everything (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="all figures, as a file")
    parser.add_argument("--logs", type=Path, default=_LOGS, help="directory of the processes' stderr")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with the twin in place of the kernels")
    options = parser.parse_args()
    options.logs.mkdir(parents=True, exist_ok=True)
    lines = measured(options)
    if options.json:
        options.json.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    print("\n".join(table(lines, options.forms)))


if __name__ == "__main__":
    sys.exit(program.run(main))
