"""`import sut` as its users do: a script without a guard, an interactive session, Ctrl-C, and the examples."""

from __future__ import annotations

import doctest
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import processes, wait_until
from cores import take_all
from paths import ROOT

import sut
from sut.api import engines, runs, scores

ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
FLAGS = "threads=1, cache_dir='cache'"
# A session of two cells: the second is interrupted, the third still runs.
SESSION = f"""
import sut
first = sut.run(backend="fake", test_query_count=40, {FLAGS})
try:
    sut.run(backend="fake", model="fake:sleep_ms=200", scenario="SingleStream", log_dir="long", {FLAGS})
except KeyboardInterrupt:
    print("interrupted")

print(first.verdict, sut.load("long").verdict, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with directories and files of names like ours."""
    for name in ("assets", "configs", "backends"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine\n", encoding="utf-8")
    return tmp_path


def test_a_script_without_a_guard_makes_several_runs(folder: Path) -> None:
    script = folder / "notebook.py"
    script.write_bytes((ROOT / "tests" / "support" / "notebook.py").read_bytes())
    env = {**ENV, "XDG_CACHE_HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, script], cwd=folder, env=env, capture_output=True, text=True, check=False, preexec_fn=take_all
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)  # nothing else was printed
    assert found["imported"] == []
    assert found["verdicts"] == ["VALID", "INCOMPLETE", "FAILED"]
    assert found["ready"] == 2 and found["value"] > 0 and found["again"]
    assert found["f1"][0] == found["f1"][1] > 0
    mistyped, missing, failed, unknown = found["messages"]
    assert "Did you mean Offline?" in mistyped and "nowhere" in missing and "Did you mean scenario?" in unknown
    assert "told to fail at batch 1" in failed and "Its logs are in broken." in failed
    assert [text for text in found["messages"] if "\n" in text or "error:" in text] == []


def test_ctrl_c_in_a_session_ends_the_run_and_not_the_session(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-i", "-q", "-"], cwd=tmp_path, env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as session:  # fmt: skip
        assert session.stdin is not None
        session.stdin.write(SESSION)
        session.stdin.flush()
        detail = tmp_path / "long" / "mlperf_log_detail.txt"
        wait_until(lambda: detail.is_file() and detail.stat().st_size > 0)
        session.send_signal(signal.SIGINT)  # as a notebook's server does: to this process alone
        out, _ = session.communicate("print('alive')\n", timeout=60)
        assert out.split() == ["interrupted", "VALID", "FAILED", "alive"]
        wait_until(lambda: processes(session.pid) == [])


@pytest.mark.parametrize("module", [runs, scores, engines], ids=lambda module: str(module.__name__))
def test_the_examples_run(module: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("accuracy.py", "submission.py", "backends/__init__.py"):  # on the path of `python -m sut`
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('a file of the user')\n", encoding="utf-8")
    ran = doctest.testmod(module, extraglobs={"sut": sut})  # type: ignore[arg-type] # a module
    assert ran.failed == 0 and ran.attempted
