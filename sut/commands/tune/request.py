"""The command line of a tuning, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sut.commands.sweep.grid import Axis


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments of a tuning; `values` are given flags, `toml` the settings of --config that a tuning takes."""

    axes: list[Axis]
    values: Mapping[str, Any]
    toml: Mapping[str, Any]
    target: str | None
    minutes: float
    folder: Path
    resume: bool
