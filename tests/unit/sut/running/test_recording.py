"""The checksums of a run's record: what cannot be read costs its checksum, never the result of a run that is over."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.bert.model import Model
from sut.running import recording
from sut.settings.settings import RunConfig


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def terabyte(folder: Path) -> Path:
    (folder / "sparse").touch()
    os.truncate(folder / "sparse", 1 << 40)
    return folder / "sparse"


@pytest.mark.parametrize("make", [fifo, terabyte, lambda folder: folder / ("x" * 300), lambda folder: folder])
def test_what_cannot_be_read_has_no_checksum(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    (tmp_path / "user.conf").write_bytes(b"# none")
    config = RunConfig(user_conf=tmp_path / "user.conf", calibration_list=make(tmp_path))
    assert recording.checksums(config, Model("fake", None, None), {}) == {
        "user_conf": hashlib.sha256(b"# none").hexdigest()
    }


def test_a_secret_has_no_checksum(tmp_path: Path) -> None:
    """A hash of a token is a way to guess it."""
    path = tmp_path / "token"
    path.write_text("a" * 32)
    config = RunConfig(token_file=path, tls_cert=path, tls_key=path, tls_ca=path)
    assert recording.checksums(config, Model("fake", None, None), {}) == {}
