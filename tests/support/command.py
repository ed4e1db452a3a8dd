"""Runs `python -m …` as a user does: a separate process in a separate working directory.

Every command leads a new session, so that what it started can be found again in /proc even when it is gone itself.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cores import take_all
from paths import ROOT

from qsl.squad import SquadFeatures

LOGS = ("mlperf_log_summary.txt", "mlperf_log_detail.txt", "mlperf_log_accuracy.json", "mlperf_log_trace.json")
SCENARIOS = ("Offline", "Server", "SingleStream", "MultiStream")
PATIENCE_S = 300.0  # for a busy, old machine; what is waited for takes a second or two, and an engine a minute
_ERROR = re.compile(r"^(?:python -m \w+: )?error: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit code and all that it printed."""

    code: int
    out: str
    err: str
    folder: Path  # its working directory

    @property
    def errors(self) -> list[str]:
        return _ERROR.findall(self.err)

    @property
    def runs(self) -> list[Path]:
        """Files of a run anywhere below the working directory."""
        return [path for name in ("run.json", *LOGS) for path in self.folder.rglob(name)]

    def record(self, log_dir: str = "logs") -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder / log_dir / "run.json").read_text(encoding="utf-8"))
        return record

    def detail(self, key: str, log_dir: str = "logs") -> Any:
        """The last value of a key in LoadGen's detail log."""
        lines = (self.folder / log_dir / LOGS[1]).read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line.removeprefix(":::MLLOG ")) for line in lines if line.startswith(":::MLLOG ")]
        return [entry["value"] for entry in entries if entry["key"] == key][-1]


def assert_refused(ended: Ended, *words: str, code: int = 2) -> str:
    """One message with these words, this exit code, no traceback; returns the message."""
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert len(ended.errors) == 1, ended.err
    for word in words:
        assert word in ended.errors[0]
    return ended.errors[0]


class Command(AbstractContextManager["Command"]):
    """A command under way. Leaving the block kills whatever of it is still there."""

    def __init__(self, folder: Path, module: str, args: list[str], path: tuple[Path, ...] = ()) -> None:
        self.folder = folder / "work"
        self.folder.mkdir(exist_ok=True)
        self._printed = (folder / "out.txt", folder / "err.txt")
        # `-m` puts the working directory first; our code comes from PYTHONPATH, and no setting of the tester's matters.
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
        with self._printed[0].open("wb") as out, self._printed[1].open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *args],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=lambda: _take_cores(args),  # noqa: PLW1509 - no thread runs here
            )
        self.pid = self._process.pid

    def __exit__(self, *_: object) -> None:
        for pid in (*processes(self.pid), self.pid):
            _kill(pid)
        self._process.wait()

    def end(self) -> Ended:
        """Wait for the end; fails the test when it does not come."""
        code = self._process.wait(PATIENCE_S)
        out, err = (printed.read_text(encoding="utf-8") for printed in self._printed)
        return Ended(code, out, err, self.folder)

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def interrupt(self) -> None:
        """Ctrl-C, which reaches every process of the terminal."""
        os.killpg(self.pid, signal.SIGINT)

    def wait_until(self, condition: Callable[[], Any]) -> Any:
        """What `condition` gives once it is true; fails when the command ends before that."""

        def or_the_end() -> Any:
            found = condition()
            if not found and self.is_over():
                ended = self.end()
                raise AssertionError(f"it ended with {ended.code} before its time: {ended.err}")
            return found

        return wait_until(or_the_end)

    def wait_for_run(self, log_dir: str = "logs") -> None:
        """Until LoadGen is at work: it writes its detail log once a second from the first query on."""
        detail = self.folder / log_dir / LOGS[1]
        self.wait_until(lambda: detail.is_file() and detail.stat().st_size > 0)

    def instances(self) -> list[int]:
        """Process ids of the instances that have been started, without the loader that forked them."""
        spawned = [pid for pid in processes(self.pid) if b"spawn_main" in _read(pid, "cmdline")]
        parents = {_stat(pid)[1] for pid in spawned}
        return [pid for pid in spawned if pid not in parents]

    def loaders(self) -> list[int]:
        """Process ids of the loaders that have forked instances."""
        return [_stat(pid)[1] for pid in self.instances() if _stat(pid)[1] != self.pid]

    @staticmethod
    def maps(pid: int) -> bytes:
        """Files that a process has mapped: how far its imports are."""
        return _read(pid, "maps")


Run = Callable[..., Ended]


@dataclass(frozen=True)
class Case:
    """The data set, the vocabulary that every model here is used with, and where features are kept."""

    dataset: Path
    vocab: Path
    cache: Path
    user_conf: Path
    features: SquadFeatures

    @property
    def samples(self) -> int:
        return len(self.features.features)

    @property
    def data(self) -> list[str]:
        return ["--dataset", str(self.dataset), "--vocab", str(self.vocab), "--cache-dir", str(self.cache)]

    @property
    def flags(self) -> list[str]:
        """Of a run: a flag that comes later on the line wins over these."""
        return [*self.data, "--user-conf", str(self.user_conf), "--log-dir", "logs"]


def _take_cores(args: list[str]) -> None:
    if "instances" in " ".join(args):  # several need a core each
        take_all()


def processes(session: int) -> list[int]:
    """Live processes of a session, its leader included."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_of(entry, session)]


def _is_of(entry: Path, session: int) -> bool:
    state, _, of = _stat(int(entry.name))
    return state not in ("Z", "X") and of == session


def _stat(pid: int) -> tuple[str, int, int]:
    """State, parent and session of a process; X where it is gone."""
    # pid (command) state parent group session …; the command may hold blanks and brackets.
    words = _read(pid, "stat").rpartition(b")")[2].split()
    return (words[0].decode(), int(words[1]), int(words[3])) if len(words) > 3 else ("X", 0, 0)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended
        return b""


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], Any]) -> Any:
    """What `condition` gives once it is true."""
    until_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.02)
    return found
