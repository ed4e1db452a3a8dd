"""No library reports its use: after our own packages are imported, none of them calls home or leaves an id at home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from paths import ROOT

LIBRARIES = [name for name in ("onnxruntime", "openvino", "nncf", "torch") if find_spec(name)]
# Reports are sent by a thread or a process of the library, some only at exit.
CODE = "import backends, importlib, sys, time; [importlib.import_module(n) for n in sys.argv[1:]]; time.sleep(0.5)"
CI = {"CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS"}  # with any of these set, the libraries are silent anyway


def tracer(file: Path) -> list[str]:
    """A command line that writes the network calls of native code to `file`; empty where nothing can be traced."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "true"], capture_output=True, check=False).returncode:
        return []
    return [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmmsg", "-o", str(file)]


def test_libraries_that_report_their_use_are_silent(tmp_path: Path) -> None:
    home, trace = tmp_path / "home", tmp_path / "trace"
    home.mkdir()
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "TMPDIR": str(home), "PYTHONPATH": str(ROOT)}
    environment = {name: value for name, value in os.environ.items() if name not in CI} | places
    command = [*tracer(trace), sys.executable, "-c", CODE, *LIBRARIES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [str(path) for path in home.rglob("*")] == []
    assert not trace.exists() or "AF_INET" not in trace.read_text(encoding="utf-8")
