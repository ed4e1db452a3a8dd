"""Records of runs for tests: one as the first edition wrote it, and variations of it as this one writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from sut.record import run_record
from sut.record.run_record import RunRecord

Keys = tuple[Any, ...]  # the path of a value
FIRST_EDITION = Path(__file__).with_name("first_edition_run.json")  # a trial of the demo: Offline, performance


def first_edition() -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = json.loads(FIRST_EDITION.read_text(encoding="utf-8"))
    return content


def record(**changes: Any) -> RunRecord:
    """The same run as this edition records it, with other values for some fields."""
    return replace(run_record.parse(first_edition()), record_version=run_record.VERSION, **changes)


LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)


def changed(data: st.DataObject) -> tuple[Any, Keys]:
    """The first edition's content with one value replaced or removed, and that value's path."""
    content = first_edition()
    path = data.draw(st.sampled_from(list(_paths(content))))
    if data.draw(st.booleans()):
        inner(content, path[:-1])[path[-1]] = data.draw(VALUES)
    else:
        del inner(content, path[:-1])[path[-1]]
    return json.loads(json.dumps(content)), path


def inner(content: Any, path: Keys) -> Any:
    """What lies at a path of it."""
    for key in path:
        content = content[key]
    return content


def _paths(value: Any, at: Keys = ()) -> Iterator[Keys]:
    """The path of every value inside."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*at, key)
        yield from _paths(inner, (*at, key))
