"""The threads of numpy's BLAS follow the instance's, for libraries of now and of later."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sut.executors import blas_threads


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = blas_threads.used()
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    yield
    blas_threads.use(before or 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_numpys_blas_uses_what_the_instance_has(threads: int) -> None:
    assert blas_threads.used() is not None  # numpy's wheels have OpenBLAS
    blas_threads.use(threads)
    assert blas_threads.used() == threads
    assert os.environ["OPENBLAS_NUM_THREADS"] == str(threads)


def test_a_process_that_is_not_the_instances_own_gets_its_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    blas_threads.use(2)
    monkeypatch.delenv("MKL_NUM_THREADS")
    with blas_threads.kept(["AN_ENGINES_VARIABLE"]):
        blas_threads.use(1)
        os.environ["AN_ENGINES_VARIABLE"] = "1"
    assert blas_threads.used() == 2 and os.environ["OPENBLAS_NUM_THREADS"] == "2"
    assert not {"MKL_NUM_THREADS", "AN_ENGINES_VARIABLE"} & set(os.environ)
