"""Measurements and comparisons: each is a program that prints a table, then one JSON line."""

from __future__ import annotations

from foundation import telemetry

telemetry.switch_off()  # its modules import engines directly
