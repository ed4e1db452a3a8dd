"""The folder of a trained model, on a disk that fills."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import full_disk

from foundation import atomic_write
from sut.errors import RunFailedError
from training.loop import run_folder


def test_a_model_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with (
        full_disk(10),
        pytest.raises(RunFailedError, match=r"expected to write the model to .*, found: File too large. The run's"),
        run_folder.filled(tmp_path),
    ):
        atomic_write.write_text(tmp_path / "README.md", "long" * 10)
    assert not list(tmp_path.iterdir())
