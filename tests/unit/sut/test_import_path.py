"""A user's own files and directories with the names of our packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from sut.import_path import OURS

CODE = "import sut, accuracy, backends, assets; print(accuracy.__file__, backends.__file__, assets.__file__)"


def started(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python with the working directory first on its path, as in a notebook, and ours behind it."""
    code = "import sys; sys.path[:0] = ['', sys.argv.pop(1)]; exec(sys.argv.pop(1))"
    command = [sys.executable, "-I", "-c", code, str(ROOT), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_directory_of_the_users_is_no_package(tmp_path: Path) -> None:
    for name in OURS:
        (tmp_path / name).mkdir()
    done = started(tmp_path, CODE)
    assert done.stdout.split() == [str(ROOT / name / "__init__.py") for name in ("accuracy", "backends", "assets")]


@pytest.mark.parametrize("name", ["accuracy.py", "backends/__init__.py"])
def test_a_module_of_the_users_is_named_and_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine = 1\n", encoding="utf-8")
    done = started(tmp_path, CODE)
    assert done.returncode == 1
    assert f"found {path}. Rename that file or directory." in done.stderr.splitlines()[-1]
