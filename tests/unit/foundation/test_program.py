"""The frame around each command: exit codes, and that every command of ours has it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from paths import ROOT

_RUNS = re.compile(r'^if __name__ == "__main__":', re.MULTILINE)
_ANOTHER = {"benchmarks/without_amx.py"}  # becomes the command that was typed


def test_every_command_has_the_frame() -> None:
    packages = ("foundation", "qsl", "backends", "accuracy", "sut", "submission", "training", "benchmarks")
    files = (path for package in packages for path in sorted((ROOT / package).rglob("*.py")))
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    commands = {name for name, text in texts.items() if _RUNS.search(text)}
    assert {name for name in commands if "program.run(" not in texts[name]} == _ANOTHER
    assert len(commands) > 20


def test_a_command_without_an_exit_code_ends_with_0() -> None:
    code = "from foundation import program; import sys; sys.exit(program.run(lambda: None))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_reader_that_stops_reading_is_no_traceback() -> None:
    code = "from foundation import program; import sys; sys.exit(program.run(lambda: print('x' * 300_000)))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
