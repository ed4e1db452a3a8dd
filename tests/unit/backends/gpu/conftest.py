"""Where the kernels run, as tests/conftest.py has decided."""

from __future__ import annotations

import importlib.util
import os

import pytest

if any(importlib.util.find_spec(name) is None for name in ("torch", "triton")):
    pytest.skip("the extra gpu is not installed", allow_module_level=True)

HAS_GPU = "TRITON_INTERPRET" not in os.environ


@pytest.fixture(scope="session")
def device() -> str:
    """Where tensors lie."""
    return "cuda" if HAS_GPU else "cpu"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m gpu`: all that runs on a GPU. Without one, what needs it is skipped and the rest is interpreted."""
    for item in items:
        if HAS_GPU and "device" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.gpu)
        if not HAS_GPU and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="there is no GPU"))
