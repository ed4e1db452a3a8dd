"""An engine that is installed and cannot be loaded is a message; a mistake in our own imports stays a defect."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backends import BACKENDS, backend_class
from backends.entry import Entry
from backends.errors import BackendError


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ImportError('libtorch_cpu.so: failed to map segment')", "ulimit -v"),
        ("raise OSError('libgomp.so.1: cannot open shared object file')", "install the engine again"),
        ("import ctypes; ctypes.CDLL(__file__)", "found OSError: .*file too short"),
        ("from ctypes import no_such_name", "found ImportError: cannot import name 'no_such_name'"),
        ("import no_such_module", "needs no_such_module, which is not installed"),
        ("from backends.base import no_such_name", None),
    ],
)
def test_an_engine_that_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str | None
) -> None:
    (tmp_path / "engine_of_a_test.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "engine_of_a_test", raising=False)
    monkeypatch.setitem(BACKENDS, "test", Entry(target="engine_of_a_test:Backend"))
    with pytest.raises(BackendError if words else ImportError, match=words):
        backend_class("test")
