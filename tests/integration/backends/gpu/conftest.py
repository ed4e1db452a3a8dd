"""What these tests need of the extra gpu: no GPU, but its packages."""

from __future__ import annotations

import importlib.util

import pytest

if any(importlib.util.find_spec(name) is None for name in ("torch", "triton")):
    pytest.skip("the extra gpu is not installed", allow_module_level=True)
