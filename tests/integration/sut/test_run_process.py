"""What a script has added to this process, a run in a process of its own does not know: said before the first run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from sut.errors import UsageError
from sut.processes import run_process

_SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from backends import BACKENDS
BACKENDS["acme"] = BACKENDS["fake"]
from sut.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_settings_that_a_run_takes_and_others() -> None:
    run_process.check(["--backend", "fake", "--threads", "2"])
    with pytest.raises(UsageError, match=r"each run takes, in a process of its own, found: unknown --backend 'acme'"):
        run_process.check(["--backend", "acme"])


def test_a_sweep_of_a_backend_that_only_a_script_knows_ends_before_its_first_run(tmp_path: Path) -> None:
    script = tmp_path / "my_backend.py"
    script.write_text(_SCRIPT)
    words = ["sweep", "--set", "threads=1 2", "--backend", "acme", "--output-dir", "out"]
    done = subprocess.run(
        [sys.executable, str(script), *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "unknown --backend 'acme'" in done.stderr
    assert not (tmp_path / "out").exists()
