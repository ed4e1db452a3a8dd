"""The small BERT of `small_bert.py`, written once."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_bert import SMALL, random_tensors, write_model

from backends.bert.checkpoints import find_model
from backends.bert.model import Model


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "small", SMALL, random_tensors(SMALL, 1))


@pytest.fixture(scope="session")
def model(model_dir: Path) -> Model:
    return find_model(str(model_dir))
