"""The worker processes of one node: started with their environment and logs, watched, and ended without exception.

Each is a process group of its own: Ctrl-C reaches the agent alone, which asks the workers to end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from foundation.errors import FAILED
from training.launch.endings import Ending, Reports, of_exit
from training.launch.worker import AGENT, LOG, PIPE

_KILL_S = 5.0  # a process that waits for a device cannot even be killed


@dataclass(frozen=True)
class WorkerProcess:
    """One process of a run, on this node."""

    rank: int
    process: subprocess.Popen[bytes]
    reports: Reports
    log: Path

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger has stopped it."""
        try:
            text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        return text.rpartition(")")[2].split()[0] in ("T", "t")

    def ending(self) -> Ending:
        """How it ended; it has."""
        self.reports.read()
        code = self.process.returncode
        said = self.reports.ending
        return said if said and code >= 0 else of_exit(self.rank, self.process.pid, code, str(self.log))


@dataclass
class Workers:
    """All worker processes of this node."""

    running: list[WorkerProcess] = field(default_factory=list)

    def start(self, command: Sequence[str], rank: int, folder: Path, environment: Mapping[str, str]) -> int:
        """Start one; returns its process id. The first rank has the terminal, other ones write to `rank<N>.log`."""
        log = folder / f"rank{rank}.log"
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        own = {PIPE: str(theirs), AGENT: str(os.getpid()), LOG: str(log), "RANK": str(rank)}
        with log.open("ab") as file:
            file.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} rank {rank} starts\n".encode())
            file.flush()
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=None if rank == 0 else file,
                stderr=None if rank == 0 else file,
                pass_fds=[theirs],
                process_group=0,
            )
        os.close(theirs)
        self.running.append(WorkerProcess(rank, process, Reports(ours), log))
        return process.pid

    def read(self) -> int:
        """Take all reports; returns the newest checkpoint's step."""
        for one in self.running:
            one.reports.read()
        return max((one.reports.step for one in self.running), default=0)

    def ended(self) -> list[WorkerProcess]:
        return [one for one in self.running if one.has_ended]

    def stopped(self) -> list[Ending]:
        """Of processes that are stopped: what explains that the other ones lost them."""
        stopped = (one for one in self.running if one.is_stopped)
        return [
            Ending("fault", FAILED, f"rank {one.rank} (pid {one.process.pid}) is stopped and silent.")
            for one in stopped
        ]

    def stop(self, number: signal.Signals, patience_s: float) -> list[Ending]:
        """Send all a signal, wait, kill what is left; returns how they ended, in the order of their ranks."""
        try:
            for one in self.running:
                _send(one, number)
            until = time.monotonic() + patience_s
            while time.monotonic() < until and not all(one.has_ended for one in self.running):
                time.sleep(0.02)
        finally:
            endings = self._kill()
        return endings

    def kill(self) -> list[Ending]:
        """End all at once: a process that was stopped, too."""
        return self.stop(signal.SIGKILL, 0.0)

    def _kill(self) -> list[Ending]:
        for one in self.running:
            with suppress(ProcessLookupError):  # with the processes that it has started, such as compilers
                if not one.has_ended:
                    os.killpg(one.process.pid, signal.SIGKILL)
        endings = []
        for one in self.running:
            try:
                one.process.wait(_KILL_S)
                endings.append(one.ending())
            except subprocess.TimeoutExpired:
                print(f"note: rank {one.rank} (pid {one.process.pid}) does not end; its device hangs.", file=sys.stderr)
            one.reports.close()
        self.running = []
        return endings


def _send(one: WorkerProcess, number: signal.Signals) -> None:
    if not one.has_ended:
        with suppress(ProcessLookupError):
            os.kill(one.process.pid, number)
