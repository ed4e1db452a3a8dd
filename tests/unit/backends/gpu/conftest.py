"""Skips these tests without the packages of the extra gpu; they need no GPU."""

from __future__ import annotations

import importlib.util

import pytest

if any(importlib.util.find_spec(name) is None for name in ("torch", "triton")):
    pytest.skip("the extra gpu is not installed", allow_module_level=True)
