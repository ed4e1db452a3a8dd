"""Without a GPU these tests are skipped."""

from __future__ import annotations

import importlib.util

import pytest

if importlib.util.find_spec("torch") is None:
    pytest.skip("the extra train is not installed", allow_module_level=True)

import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m gpu` selects them."""
    for item in items:
        if "training/gpu" in item.path.as_posix():
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="there is no GPU"))
