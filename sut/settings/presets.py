"""`--preset NAME`: a run's settings by name.

Data alone, in configs/presets.toml: a preset is where a run starts from, so whatever it sets, a flag can set too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

ABOUT, _MAY_LOSE = "about", "may_lose"
_LOSS = 1.0  # points, where a preset says nothing


@cache
def table() -> dict[str, dict[str, Any]]:
    """Every preset: its settings by name, and under "about" what it is for."""
    import tomllib
    from importlib.resources import files

    return tomllib.loads((files("configs") / "presets.toml").read_text(encoding="utf-8"))


def settings(name: str) -> dict[str, Any]:
    """What the preset of this name sets."""
    return {key: value for key, value in table()[name].items() if key not in (ABOUT, _MAY_LOSE)}


def may_lose(name: str) -> float:
    """How many points of accuracy `compare` lets the preset lose against fp32."""
    return float(table()[name].get(_MAY_LOSE, _LOSS))
