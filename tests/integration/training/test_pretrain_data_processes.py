"""Pre-training data in several processes: the same bytes as in one, one clear error, and nothing left after Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from paths import ASSETS, ROOT

from training import pretrain_data
from training.text import generated


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    text = tmp_path / "text.txt"
    text.write_text(generated.text("dev", 1, 60), encoding="utf-8")
    flags = ["--vocab", str(ASSETS / "demo" / "vocab.txt"), "--dupe-factor", "2"]
    return [sys.executable, "-m", "training.pretrain_data", *[str(text)] * 3, *flags]


def test_processes_write_the_same_bytes_and_fail_with_one_error(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, failed = (tmp_path / name for name in ("one", "two", "failed"))
    for processes, folder in enumerate((one, two), 1):
        assert pretrain_data.main([*command[3:], "--output", str(folder), "--processes", str(processes)]) == 0
    names = [path.name for path in sorted(one.iterdir())]
    assert names == [path.name for path in sorted(two.iterdir())]
    assert [(one / name).read_bytes() for name in names] == [(two / name).read_bytes() for name in names]
    capsys.readouterr()
    blank = tmp_path / "blank.txt"
    blank.write_text("\n")
    assert pretrain_data.main([str(blank), *command[3:], "--output", str(failed), "--processes", "2"]) == 2
    assert capsys.readouterr().err.removeprefix(f"{pretrain_data.SLOWER}\n") == (
        "error: expected a text (UTF-8, one sentence a line, a blank line between articles), found no sentence in "
        f"{blank}. Type another text.\n"
    )
    assert not failed.exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "at_all", "code", "message"),
    [
        (signal.SIGINT, True, 3, "\nerror: interrupted.\n"),
        (signal.SIGKILL, False, 2, "error: expected every process to end its part, found one that was killed"),
    ],
)
def test_an_interrupt_and_a_killed_process_end_all_and_leave_nothing(
    tmp_path: Path, command: list[str], number: int, at_all: bool, code: int, message: str
) -> None:
    before = set(tmp_path.iterdir())
    words = [*command, "--output", str(tmp_path / "out"), "--processes", "2", "--dupe-factor", "20000"]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        deadline = time.monotonic() + 60
        while len(children(running.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)  # into the work
        if at_all:
            os.killpg(running.pid, number)
        else:
            os.kill(children(running.pid)[0], number)
        _, error = running.communicate(timeout=60)
    assert running.returncode == code
    error = error.removeprefix(f"{pretrain_data.SLOWER}\n")
    assert error.startswith(message)
    assert len(error.splitlines()) == len(message.splitlines())
    assert set(tmp_path.iterdir()) == before
    assert not children(running.pid)


def children(session: int) -> list[int]:
    """The processes of a session that were started by multiprocessing."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if b"spawn_main" in words and os.getsid(int(folder.name)) == session:
                found.append(int(folder.name))
    return found
