"""The device of the kernels, as tests/conftest.py chose it."""

from __future__ import annotations

import importlib.util
import os

import pytest

if any(importlib.util.find_spec(name) is None for name in ("torch", "triton")):
    pytest.skip("the extra gpu is not installed", allow_module_level=True)

HAS_GPU = "TRITON_INTERPRET" not in os.environ


@pytest.fixture(scope="session")
def device() -> str:
    """The device of tensors."""
    return "cuda" if HAS_GPU else "cpu"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m gpu` selects what runs on a GPU. Without one, tests that need it are skipped and the others interpreted."""
    for item in items:
        if HAS_GPU and "device" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.gpu)
        if not HAS_GPU and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="there is no GPU"))
