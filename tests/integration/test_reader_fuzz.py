"""Every reader of a file that somebody else may have written, on damaged content: a result or an error for a person.

The damage is drawn from a fixed seed. A new reader gets a row in tests/support: model_readers or record_readers.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import model_readers
import pytest
import record_readers
from damage import DAMAGES, Damage
from hypothesis import given, settings

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.errors import UserError
from submission.check.failure import RefusedError

EXAMPLES = 20  # of each reader
READERS = {**model_readers.READERS, **record_readers.READERS}
MADE: dict[str, tuple[Path, bytes]] = {}  # a reader's file, and its good content


@pytest.mark.parametrize("name", READERS)
def test_a_good_file_is_read(tmp_path: Path, name: str) -> None:
    READERS[name].read(READERS[name].make(tmp_path))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=EXAMPLES, derandomize=True, database=None)
@given(damage=DAMAGES)
def test_a_damaged_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str, damage: Damage) -> None:
    if name not in MADE:
        path = READERS[name].make(tmp_path_factory.mktemp("fuzz"))
        MADE[name] = (path, path.read_bytes())
    path, content = MADE[name]
    path.write_bytes(damage.of(content))
    with suppress(UserError, UnreadableError, RefusedError):
        READERS[name].read(path)


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a directory", "a loop of links"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_readers, "_PATIENCE_S", 0.001)  # where a pipe is allowed
    path = READERS[name].make(tmp_path)
    path.unlink()
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "a device" else path.name)
    with suppress(UserError, UnreadableError, RefusedError):
        READERS[name].read(path)
