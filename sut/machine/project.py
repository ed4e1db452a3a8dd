"""The version and the extras of this project: from pyproject.toml in a checkout, else from the installed distribution.

The checkout comes first because the metadata of an editable installation are as old as the installation.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

NAME = "mlperf-bert-sut"
_PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
_DISTRIBUTION = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")


def version() -> str:
    """Such as 0.2.0."""
    return str(_checkout()["version"]) if _checkout() else metadata.version(NAME)


def extras() -> dict[str, tuple[str, ...]]:
    """The distributions that each extra installs, by the extra's name."""
    if _checkout():
        return {name: tuple(map(_name, lines)) for name, lines in _checkout()["optional-dependencies"].items()}
    found: dict[str, tuple[str, ...]] = {}
    for line in metadata.requires(NAME) or []:
        for extra in _EXTRA.findall(line):
            found[extra] = (*found.get(extra, ()), _name(line))
    return found


@cache
def _checkout() -> dict[str, Any]:
    """[project] of a checkout's pyproject.toml; empty for an installed package."""
    if not _PYPROJECT.is_file():
        return {}
    project: dict[str, Any] = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8")).get("project", {})
    return project if project.get("name") == NAME else {}


def _name(requirement: str) -> str:
    found = _DISTRIBUTION.match(requirement)
    assert found is not None  # pip would not have installed it
    return found[0]
