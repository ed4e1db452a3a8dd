"""Values of run.json by their JSON pointer, and as people read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from foundation.people_numbers import figure, gibibytes, megabytes
from sut.reporting.model import Cell, Row

MISSING = "–"


def look_up(content: Any, path: str) -> Any:
    """The value at a JSON pointer such as /result/latency_ms/99.00; None if there is none."""
    for key in path.split("/")[1:]:
        name = key.replace("~1", "/").replace("~0", "~")
        if isinstance(content, Mapping):
            content = content.get(name)
        elif isinstance(content, list | tuple) and name.isdigit() and int(name) < len(content):
            content = content[int(name)]
        else:
            return None
    return content


def pointer(*keys: object) -> str:
    """The JSON pointer of these keys."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def milliseconds(ms: float) -> str:
    """Three digits after the point below 1 ms, two below 100 ms, one above."""
    return f"{ms:,.{3 if abs(ms) < 1 else 2 if abs(ms) < 100 else 1}f} ms"


def seconds(value: float) -> str:
    """Three digits after the point below 10 s, two above."""
    return f"{value:,.{3 if abs(value) < 10 else 2}f} s"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return figure(value) if isinstance(value, float) else f"{value:,}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_plain, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    return str(value)


# How a value is written → its text. The names stand on the page, next to the values.
FORMS: dict[str, Callable[[Any], str]] = {
    "plain": _plain,
    "ms": milliseconds,
    "s": seconds,
    "s as ms": lambda value: milliseconds(1e3 * value),
    "percent": lambda value: f"{value:.3f} %",
    "interval": lambda value: f"{value[0]:.3f} to {value[1]:.3f} %",
    "share": lambda value: f"{value:.2%}",
    "rate": lambda value: f"{figure(value)} samples/s",
    "bytes": gibibytes,
    "megabytes": megabytes,
    "operations": lambda value: f"{figure(value / 1e9)} GOP",
}


def cell(content: Any, path: str, form: str = "plain", run: int = 0) -> Cell:
    """The cell of a value."""
    value = look_up(content, path)
    return Cell(MISSING) if value is None or value in ("", [], {}) else Cell(FORMS[form](value), path, value, run)


def row(contents: Sequence[Any], label: str, path: str, form: str = "plain") -> Row | None:
    """A row with a cell for each run; None if no run has the value."""
    cells = tuple(cell(content, path, form, number) for number, content in enumerate(contents))
    return Row(label, cells) if any(one.path for one in cells) else None


def rows(contents: Sequence[Any], table: Sequence[tuple[str, str, str]]) -> tuple[Row, ...]:
    """The rows of a table of (label, path, form) that some run has."""
    found = (row(contents, *one) for one in table)
    return tuple(one for one in found if one is not None)
