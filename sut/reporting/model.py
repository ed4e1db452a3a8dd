"""What a report holds, whatever it is written as: sections with tables, charts and answers.

A cell knows where run.json has its value, so that a reader, and a test, can look it up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class Cell:
    """A value as text; `path` is its JSON pointer (RFC 6901) in run.json, "" for one computed from several."""

    text: str
    path: str = ""
    value: object = None
    run: int = 0  # number of the run


@dataclass(frozen=True)
class Row:
    """A row of a table: a label and a cell for each column."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """`headings` are those of the cells; `is_long` tables are folded at first."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    is_long: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Traces and axes of plotly; a trace has `run`, the number of the run that gives it its colour."""

    title: str
    about: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    height: int = 300  # pixels
    is_wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Example:
    """An answer that scored less than 1, to look at."""

    question: str
    passage: str
    expected: tuple[str, ...]
    found: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the report."""

    name: str
    title: str
    about: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    examples: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)  # run's name → its examples
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Card:
    """One run at the top: its verdict and why, and the figures that people ask for first."""

    name: str
    what: str
    when: str
    verdict: str
    tone: Tone
    figure: Cell | None
    label: str
    unit: str
    facts: tuple[Row, ...]
    reasons: tuple[str, ...]
    notices: tuple[str, ...]
    warnings: tuple[str, ...]  # why the figure may be too low
    directory: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything on the page; `records` are the runs' run.json."""

    title: str
    cards: tuple[Card, ...]
    sections: tuple[Section, ...]
    records: tuple[Mapping[str, Any], ...]
