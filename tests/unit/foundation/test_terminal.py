"""Standard output and error that are closed, full, broken, or in an encoding without the character.

Each case is a process, because the descriptors are the process's; none of them imports more than the module.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

_CODE = """
import os, sys
from foundation import terminal
terminal.secure()
print("–" * 100_000)
print("also – error", file=sys.stderr)
sys.stdout.flush()
os.write(1, b"native"); os.write(2, b"native")
with open(sys.argv[1], "w") as file:
    print(file.fileno() > 2, sys.stdin is None or sys.stdin.read() == "", terminal.lost_output(), file=file)
sys.exit(5)
"""


@pytest.mark.parametrize(
    ("shell", "lost"),
    [
        ("", "None"),
        (">&-", "None"),
        ("2>&-", "None"),
        ("<&- >&- 2>&-", "None"),
        ("> /dev/full", "[Errno 28] No space left on device"),
        ("> /dev/full 2> /dev/full", "[Errno 28] No space left on device"),
        ("> >(exec true) 2> >(exec true)", "None"),
    ],
)
def test_printing_changes_nothing(tmp_path: Path, shell: str, lost: str) -> None:
    found = tmp_path / "found"
    words = ["bash", "-c", f'"$0" -c "$1" "$2" {shell}', sys.executable, _CODE, str(found)]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, env=ascii_only, check=False)
    assert (done.returncode, found.read_text()) == (5, f"True True {lost}\n")
    if not shell:
        assert done.stdout == b"\\u2013" * 100_000 + b"\nnative"
        assert done.stderr == b"also \\u2013 error\nnative"


@pytest.mark.parametrize("flag", ["-u", "-B"])
def test_a_slow_reader_of_a_descriptor_that_does_not_block_gets_all(flag: str) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    code = "from foundation import terminal; terminal.secure(); print('x' * 300_000); print('end')"
    with subprocess.Popen([sys.executable, flag, "-c", code], cwd=ROOT, stdout=writer), os.fdopen(reader, "rb") as pipe:
        os.close(writer)
        found = b"".join(iter(lambda: pipe.read(10_000), b""))
    assert found == b"x" * 300_000 + b"\nend\n"
