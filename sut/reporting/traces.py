"""What all charts are made of: plotly's axes and lines, and names that plotly shows literally."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

Trace = Mapping[str, Any]
_TICKS = [step * 10.0**power for power in range(-3, 6) for step in (1, 2, 5)]  # of a logarithmic axis


def names(labels: Sequence[str]) -> list[str]:
    """Labels as plotly shows them literally."""
    return [html.escape(label) for label in labels]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with its title, which has the unit."""
    return {"title": {"text": title}, **more}


def log_ticks() -> dict[str, Any]:
    """The ticks of a logarithmic axis: 1, 2, 5, 10 …"""
    return {"tickvals": _TICKS, "ticktext": [f"{one:,g}" for one in _TICKS]}


def lines(label: str, run: int, x: Sequence[float], y: Sequence[float], **more: Any) -> Trace:
    """A line in the colour of a run."""
    return {"type": "scatter", "mode": "lines", "name": label, "run": run, "x": list(x), "y": list(y), **more}
