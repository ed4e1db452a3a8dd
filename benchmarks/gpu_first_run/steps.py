"""The steps of a part: which run next to each other, until when, and what each leaves in the table.

A step is a process in a group of its own, killed with its children at its limit. What it prints to stdout belongs
to the table, what it prints to stderr to the log. A step that times the GPU runs alone; the others run in parallel.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_POLL_S = 0.05
_LINE = 200  # characters of each line that a step that failed wrote
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One process: `python -m module arguments`."""

    name: str
    words: tuple[str, ...]  # groups to which it belongs, for --only; none: it is part of every run
    module: str
    arguments: tuple[str, ...] = ()
    limit_s: float
    after: tuple[str, ...] = ()  # steps that end first, well or not, if they are part of the run
    alone: bool = False  # times the GPU
    env: Mapping[str, str] = field(default_factory=dict)
    digest: Callable[[str], str] | None = None  # stdout → one line, in place of all of it
    last_lines: int = 5  # of what it wrote, shown if it failed; not its records, which are JSON
    good_codes: tuple[int, ...] = (0,)

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", self.module, *self.arguments]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A step that ended, was killed, or never began."""

    step: Step
    code: int | None  # None: killed at its limit, or never started
    seconds: float
    out: str
    err: str

    @property
    def verdict(self) -> str:
        if self.code is None:
            return "not run" if not self.seconds else f"killed at {self.seconds:.0f} s"
        return "ok" if self.code in self.step.good_codes else f"FAILED, rc {self.code}"

    @property
    def is_good(self) -> bool:
        return self.code in self.step.good_codes

    def rows(self) -> Iterator[str]:
        """Its line of the table, and its last lines if it failed."""
        said = self.step.digest(self.out) if self.step.digest else ""
        yield f"{self.step.name:18} {self.seconds:5.0f} s  {self.verdict:12} {said}".rstrip()
        if not self.is_good:
            lines = [line for line in f"{self.out}\n{self.err}".splitlines() if line.strip() and line[0] != "{"]
            yield from (f"    {line[:_LINE]}" for line in lines[-self.step.last_lines :])


@dataclass
class _Running:
    step: Step
    process: subprocess.Popen[bytes]
    start_s: float
    files: tuple[Path, Path]

    def ended(self, code: int | None, now_s: float) -> Ended:
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in self.files)
        return Ended(step=self.step, code=code, seconds=now_s - self.start_s, out=out, err=err)


class Runner:
    """Runs steps as processes until `deadline_s` on the monotonic clock."""

    def __init__(self, work: Path, deadline_s: float, env: Mapping[str, str]) -> None:
        self._work, self._deadline_s, self._env = work, deadline_s, env
        self._running: list[_Running] = []

    def run(self, steps: Sequence[Step], report: Callable[[Ended], None]) -> None:
        """Run all steps in their order, as far as they must wait for each other; `report` gets each as it ends."""
        pending = list(steps)
        try:
            while pending or self._running:
                for ended in self._ended():
                    report(ended)
                if time.monotonic() >= self._deadline_s:
                    for step in pending:
                        report(Ended(step=step, code=None, seconds=0.0, out="", err="no time was left"))
                    pending.clear()
                self._start(pending)
                time.sleep(_POLL_S)
        finally:
            for one in self._running:
                _kill(one.process)
                report(one.ended(None, time.monotonic()))

    def _start(self, pending: list[Step]) -> None:
        for step in list(pending):
            names = {one.step.name for one in self._running} | {one.name for one in pending}
            if names & set(step.after):
                continue
            if (step.alone and self._running) or any(one.step.alone for one in self._running):
                return
            pending.remove(step)
            self._running.append(self._started(step))

    def _started(self, step: Step) -> _Running:
        out, err = (self._work / f"{step.name.replace(' ', '-')}.{kind}" for kind in ("out", "err"))
        env = {**os.environ, **self._env, **step.env}
        with out.open("w") as to_out, err.open("w") as to_err:
            process = subprocess.Popen(
                step.command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=to_out, stderr=to_err, process_group=0
            )
        return _Running(step, process, time.monotonic(), (out, err))

    def _ended(self) -> Iterator[Ended]:
        now_s = time.monotonic()
        for one in list(self._running):
            code = one.process.poll()
            is_late = now_s >= min(one.start_s + one.step.limit_s, self._deadline_s)
            if code is None and not is_late:
                continue
            self._running.remove(one)
            _kill(one.process)  # its children, too
            yield one.ended(code, now_s)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def chosen(
    steps: Iterable[Step], only: Sequence[str], precisions: Sequence[str], all_precisions: Sequence[str]
) -> list[Step]:
    """The steps with one of `only` in their groups, without precisions that are not in `precisions`."""
    without = set(all_precisions) - set(precisions)
    asked = [step for step in steps if not only or not step.words or set(only) & set(step.words)]
    return [step for step in asked if not without & set(step.words)]
