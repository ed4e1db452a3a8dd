"""Runs a part's steps, and prints one compact table at the end, also when it is ended early.

    python -m benchmarks.gpu_first_run part1                        # 5 to 6 minutes
    python -m benchmarks.gpu_first_run part2                        # up to 8 minutes
    python -m benchmarks.gpu_first_run part2 --only offline server --precisions fp8
    python -m benchmarks.gpu_first_run part1 --dry-run              # on the CPU, in seconds: does everything run?

Files in --out: the table, the log of every step, and a JSON line a step.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import sut_runs
from benchmarks.gpu_first_run import dry, part1, part2, steps
from benchmarks.gpu_first_run.part1 import PRECISIONS
from benchmarks.gpu_first_run.steps import ROOT, Ended, Step
from benchmarks.interleave import terminable
from foundation import program

PARTS: dict[str, Callable[[Path, Path], Iterator[Step]]] = {"part1": part1.steps, "part2": part2.steps}
_LIMIT_S = 480.0
_MOST_CHARACTERS = 11_500  # of the printed table; the whole of it is in its file


def main(argv: Sequence[str] | None = None) -> int:
    options = _options(argv)
    if not options.dry_run:
        sut_runs.first_gpu()
    work: Path = options.work.resolve() / ("dry" if options.dry_run else "")
    shutil.rmtree(work / "runs", ignore_errors=True)
    (work / "runs").mkdir(parents=True)
    options.out.mkdir(parents=True, exist_ok=True)
    todo = steps.chosen(PARTS[options.part](work, options.out.resolve()), options.only, options.precisions, PRECISIONS)
    report = Report(options.out, options.part)
    try:
        with terminable():
            if options.dry_run:
                dry.run(todo, report.add)
            else:
                end_s = time.monotonic() + options.limit_s
                steps.Runner(work, end_s, environment(work)).run(todo, report.add)
    except KeyboardInterrupt:
        print("ended early", flush=True)
    print(report.printed(), flush=True)
    return 0 if report.is_good else 1


class Report:
    """The steps that ended, in files as they end, and the table."""

    def __init__(self, out: Path, part: str) -> None:
        self._log, self._lines = out / f"{part}-log.txt", out / f"{part}.jsonl"
        self._table, self._ended = out / f"{part}-table.txt", list[Ended]()
        self._start_s = time.monotonic()
        for path in (self._log, self._lines):
            path.write_text("", encoding="utf-8")

    @property
    def is_good(self) -> bool:
        return all(ended.is_good for ended in self._ended)

    def add(self, ended: Ended) -> None:
        """Keep a step, and say that it ended."""
        self._ended.append(ended)
        facts = {"step": ended.step.name, "code": ended.code, "seconds": round(ended.seconds, 1), "out": ended.out}
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"\n==== {ended.step.name}: {ended.verdict}\n{ended.out}\n---- stderr\n{ended.err}\n")
        self._table.write_text(self.table() + "\n", encoding="utf-8")
        passed_s = time.monotonic() - self._start_s
        print(f"{passed_s:4.0f} s  {next(ended.rows())}", file=sys.stderr, flush=True)

    def table(self) -> str:
        """Every step's line; then what steps printed."""
        rows = [f"{time.monotonic() - self._start_s:.0f} s in all"]
        for ended in self._ended:
            rows += ended.rows()
        for ended in self._ended:
            if not ended.step.digest and ended.out.strip():
                rows += [f"-- {ended.step.name}", ended.out.strip()]
        return "\n".join(rows)

    def printed(self) -> str:
        """The table, cut for a console or a log that keeps little."""
        text = self.table()
        return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}\n… the rest is in {self._table}"


def environment(work: Path) -> dict[str, str]:
    """What steps find in addition to the caller's variables: caches outside the checkout, which may be read-only."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "TRITON_CACHE_DIR": os.environ.get("TRITON_CACHE_DIR", str(work / "triton")),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(work / "hypothesis"),
        "XDG_CACHE_HOME": str(work / "xdg"),
    }


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_first_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("part", choices=PARTS)
    add("--out", type=Path, default=Path("first-run"), help="directory of the table and the logs (default: first-run)")
    work = Path(tempfile.gettempdir()) / "gpu-first-run"
    add(
        "--work",
        type=Path,
        default=work,
        help=f"directory of caches and logs, kept for the next part (default: {work})",
    )
    add("--only", nargs="+", default=[], metavar="WORD", help="groups of steps (default: all)")
    add("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    add("--limit-s", type=float, default=_LIMIT_S, help="time for all steps (default: %(default)g)")
    add("--dry-run", action="store_true", help="on the CPU, with twins and small sizes, in this process")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
