"""The device of the kernels, as tests/conftest.py chose it."""

from __future__ import annotations

import importlib.util
import os
from importlib.metadata import version

import pytest


def release(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version(package).split(".")[:2])


if any(importlib.util.find_spec(name) is None for name in ("torch", "triton")):
    pytest.skip("the extra gpu is not installed", allow_module_level=True)

HAS_GPU = "TRITON_INTERPRET" not in os.environ
# The interpreter of older versions makes an int of an array [1], which NumPy refuses from 2.4 on.
CAN_INTERPRET = release("triton") >= (3, 9) or release("numpy") < (2, 4)


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
        if not HAS_GPU and not CAN_INTERPRET and "device" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="Triton's interpreter needs NumPy below 2.4, or Triton 3.9"))
