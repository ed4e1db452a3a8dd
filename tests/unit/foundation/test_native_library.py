"""Native libraries that cannot be used: one line for all of them, with the one thing to type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from paths import ROOT

_CODE = """
from foundation import native_library
print([native_library.load(f"built._{name}", {}) for name in ("amx", "avx2", "portable", "none")])
print(native_library.refused)
"""


def test_however_many_are_refused_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    for name in ("amx", "avx2", "portable"):
        (tmp_path / "built" / f"_{name}.py").write_bytes(b"\x7fELF")
    path = f"{ROOT}:{tmp_path}"
    done = subprocess.run(
        [sys.executable, "-c", _CODE], env={"PYTHONPATH": path}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    why = [f"_{name}: it is cut short" for name in ("amx", "avx2", "portable")]
    assert done.stdout.splitlines() == [str([None] * 4), str(why)]
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"native libraries cannot be used ({why[0]}), so slower code runs. Type: ")
    assert line.endswith("pip install --no-deps -e .")
