"""Whole submission trees of `tree_fixtures.py`."""

from tree_fixtures import fresh, whole

__all__ = ["fresh", "whole"]
