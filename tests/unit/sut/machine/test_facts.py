"""The facts of a machine, on one with a damaged installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from sut.machine import facts


def test_a_distribution_with_damaged_metadata_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, lines in (("whole", "Version: 1.5\n"), ("damaged", "")):
        folder = tmp_path / f"{name}-1.5.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\n{lines}", encoding="utf-8")
    (tmp_path / "empty-1.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    found = facts.distributions.__wrapped__()
    assert found["whole"] == "1.5"
    assert "damaged" not in found and None not in found
