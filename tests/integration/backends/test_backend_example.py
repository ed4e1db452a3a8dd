"""The example in the docstring of `Backend` is a module that works: as a backend, and in a whole run."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from small_bert import random_batch

from backends.base import Backend, Options
from backends.bert.model import Model

ROOT = Path(__file__).parents[3]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    text = str(Backend.__doc__)
    code = textwrap.dedent(text[text.index("        from backends.base import") :])
    path = tmp_path / "my_backend.py"
    path.write_text(code, encoding="utf-8")
    return path


def test_the_example_keeps_the_contract(script: Path, model: Model) -> None:
    backend: Backend = runpy.run_path(str(script))["EmbeddingBackend"](Options())
    backend.load(model)
    batch = random_batch([1, 17, 384])
    answers = backend.infer(batch)
    assert answers.shape == (402, 2)
    assert answers.dtype == np.float32
    order = np.argsort(batch.input_ids, kind="stable")
    same = np.diff(batch.input_ids[order]) == 0
    assert same.any()
    assert np.array_equal(same, (np.diff(answers[order], axis=0) == 0).all(axis=1))  # equal ids, equal logits


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_the_example_runs_through_loadgen(script: Path, tmp_path: Path, executor: str) -> None:
    log_dir = str(tmp_path / "log")
    flags = [
        "--backend",
        "my_backend:EmbeddingBackend",
        "--executor",
        executor,
        "--test-query-count",
        "30",
        "--log-dir",
        log_dir,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "sut", *flags],
        cwd=script.parent, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "on my_backend:EmbeddingBackend fp32" in done.stderr
    assert "VALID" in done.stdout
