"""The Hopper product against the library and Triton's tiles: is every shape of it right, and where is it fastest?

    python -m benchmarks.gpu_hopper --json hopper.json

For each type (fp8, int8, fp16, bf16), each of BERT-Large's four products and several numbers of tokens. Each contestant
works in a process of its own with a time limit, so a hang or an illegal access costs that one only; all of them import
and compile at once, then each has the GPU alone. The table comes last. `--dry-run` does the same on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.gpu.hopper.gemm import SHAPES
from benchmarks.gpu_hopper_child import BASELINE_TILES, CHECKED, DTYPES, PRODUCTS, TIMED
from foundation import program

PEAK_TFLOPS = {"fp8": 1979, "int8": 1979, "fp16": 989.5, "bf16": 989.5}  # dense, H100 SXM and H200
LIBRARY = "library"
_LOGS = Path(tempfile.gettempdir()) / "gpu_hopper"
_ROOM = Path(__file__).resolve().parent.parent
Line = dict[str, Any]


@dataclass(frozen=True)
class Contestant:
    """A process that measures some variants in some types."""

    title: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    limit_s: float


@dataclass
class Child:
    """A running contestant and what it has said."""

    contestant: Contestant
    process: subprocess.Popen[bytes]
    log: Path
    lines: list[Line] = field(default_factory=list)
    end: str = ""  # why it ended, if it did not finish
    _rest: bytes = b""

    def until(self, key: str, deadline: float) -> bool:
        """Reads lines until one has `key`; False if the process ends, or time is up."""
        assert self.process.stdout is not None
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.process.stdout], [], [], left)[0]:
                break
            read = os.read(self.process.stdout.fileno(), 1 << 16)
            if not read:
                self.end = f"died: {self._why()}"
                return False
            *complete, self._rest = (self._rest + read).split(b"\n")
            found = [json.loads(line) for line in complete if line.startswith(b"{")]
            self.lines += found
            if any(key in line for line in found):
                return True
        self.end = "took too long"
        return False

    def _why(self) -> str:
        status = self.process.wait()
        said = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        return " ".join((f"signal {-status}" if status < 0 else f"exit code {status}", *said))

    def last(self) -> str:
        """The case it was at."""
        at = [line["at"] for line in self.lines if "at" in line]
        return " ".join(map(str, at[-1].values())) if at else "compiling"


def started(one: Contestant, options: argparse.Namespace) -> Child:
    checked = options.checked if one.names[0] in SHAPES else ()  # the baselines have tests of their own
    lists = {"--names": one.names, "--kinds": one.kinds, "--timed": options.timed, "--checked": checked}
    arguments = [word for flag, values in lists.items() for word in (flag, *map(str, values))]
    command = [sys.executable, "-m", "benchmarks.gpu_hopper_child", *arguments]
    log = options.logs / f"{one.title.replace(' ', '-')}.log"
    process = subprocess.Popen(
        [*command, *(["--device", "cpu"] if options.dry_run else [])],
        cwd=_ROOM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("wb"), start_new_session=True,
    )  # fmt: skip
    return Child(one, process, log)


def work(child: Child, deadline: float) -> None:
    """Let one contestant have the GPU."""
    assert child.process.stdin is not None
    if not child.end:
        start = time.monotonic()
        try:
            child.process.stdin.write(b"go\n")
            child.process.stdin.flush()
            child.until("done", min(deadline, start + child.contestant.limit_s))
        except OSError as error:
            child.end = f"died: {error}"
    if child.process.poll() is None:
        os.killpg(child.process.pid, signal.SIGKILL)
    child.process.wait()
    state = f"{child.end} at {child.last()}" if child.end else "finished"
    print(f"{child.contestant.title}: {state}", flush=True)


def contestants(options: argparse.Namespace) -> list[Contestant]:
    """A process for each shape, and two for each type's baselines, which take Triton long to compile."""
    kinds, half = tuple(options.types), len(BASELINE_TILES) // 2
    halves = {"library": (LIBRARY, *BASELINE_TILES[:half]), "Triton": BASELINE_TILES[half:]}
    baselines = [Contestant(f"{title} {kind}", names, (kind,), 15) for kind in kinds for title, names in halves.items()]
    return [Contestant(name, (name,), kinds, 20) for name in options.variants] + baselines


def measured(options: argparse.Namespace) -> list[Line]:
    """What all contestants found; those that did not finish say why."""
    start = time.monotonic()
    deadline = start + options.seconds
    children = [started(one, options) for one in contestants(options)]
    for child in children:
        child.until("ready", min(deadline, start + 70))
    print(f"imported and compiled after {time.monotonic() - start:.0f} s", flush=True)
    for child in children:
        work(child, deadline)
    lines = [line for child in children for line in child.lines if "at" not in line and "variant" in line]
    ends = [{"variant": one.contestant.title, "failed": f"{one.end} at {one.last()}"} for one in children if one.end]
    return lines + ends


def table(lines: Sequence[Line], options: argparse.Namespace) -> Iterator[str]:
    """µs of every variant; the best with its rate and its share of the peak; what is wrong."""
    titles = {name: f"v{number}" for number, name in enumerate(options.variants, 1)}
    yield "; ".join(f"{short} = {name}" for name, short in titles.items())
    yield (
        f"{'µs, cold L2':43}{'library':>8}{'Triton':>8}"
        + "".join(f"{short:>8}" for short in titles.values())
        + "  best"
    )
    times = {(one["type"], one["product"], one["tokens"], one["variant"]): one["us"] for one in lines if "us" in one}
    for kind in options.types:
        for product, (n, k) in PRODUCTS.items():
            for tokens in options.timed:
                row = {name: us for (*case, name), us in times.items() if case == [kind, product, tokens]}
                triton = min((row[name] for name in BASELINE_TILES if name in row), default=None)
                shown = [row.get(LIBRARY), triton, *(row.get(name) for name in options.variants)]
                cells = "".join(f"{us:8.1f}" if us else f"{'–':>8}" for us in shown)
                best = min(row, key=lambda name: row[name], default="")
                rate = 2e-6 * tokens * n * k / row[best] if row else 0.0
                share = f"{titles.get(best, best)} {rate:.0f} T, {rate / PEAK_TFLOPS[kind]:.0%}"
                yield f"{kind:5}{product:28}{tokens:6}    {cells}  {share}"
    yield from problems(lines)


def problems(lines: Sequence[Line]) -> Iterator[str]:
    """Host time, greatest errors, and one line for each contestant and type that is wrong or failed."""
    for name in dict.fromkeys(one["variant"] for one in lines):
        own = [one for one in lines if one["variant"] == name]
        worst = {kind: max((one["error"] for one in own if one.get("type") == kind and "error" in one), default=None)
                 for kind in DTYPES}  # fmt: skip
        host = sorted(one["host_us"] for one in own if "host_us" in one)
        errors = ", ".join(f"{kind} {value:.1e}" for kind, value in worst.items() if value is not None)
        yield f"{name}: greatest error {errors or '–'}; host {host[len(host) // 2] if host else 0:.1f} µs a call"
        wrong = [f"{one['type']} {one['product']} {one['tokens']} ({one['error']:.1e})"
                 for one in own if one.get("right") is False]  # fmt: skip
        if wrong:
            yield f"  WRONG: {'; '.join(wrong[:6])}{f' and {len(wrong) - 6} more' if len(wrong) > 6 else ''}"
        failed = dict.fromkeys(f"{one.get('type', '')} {one.get('product', '')} {one['failed']}"[:240]
                               for one in own if "failed" in one)  # fmt: skip
        yield from (f"  FAILED: {one}" for one in list(failed)[:3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--types", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--timed", nargs="+", type=int, default=list(TIMED), metavar="TOKENS")
    parser.add_argument("--checked", nargs="*", type=int, default=list(CHECKED), metavar="TOKENS", help="not timed")
    parser.add_argument("--seconds", type=float, default=145, help="for everything (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="all figures, as a file")
    parser.add_argument("--logs", type=Path, default=_LOGS, help="directory of the processes' stderr")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with the twin in place of the kernels")
    options = parser.parse_args()
    options.logs.mkdir(parents=True, exist_ok=True)
    lines = measured(options)
    if options.json:
        options.json.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    print("\n".join(table(lines, options)))


if __name__ == "__main__":
    sys.exit(program.run(main))
