"""A report as Markdown: the cards and tables, without charts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from foundation.foreign_text import printable
from sut.reporting.model import Card, Report, Section, Table

_ACTIVE = re.compile(r"([\\`*_\[\]<>|#])")


def markdown(report: Report) -> str:
    """The text, which ends in a newline."""
    lines = [f"# {_plain(report.title)}", ""]
    for card in report.cards:
        lines += [*_card(card), ""]
    for section in report.sections:
        lines += _section(section)
    return "\n".join(lines).rstrip() + "\n"


def _plain(text: str) -> str:
    """One line in which nothing is markup."""
    return _ACTIVE.sub(r"\\\1", printable(text))


def _card(card: Card) -> Iterator[str]:
    yield f"## {_plain(card.name)}: {card.verdict}"
    yield ""
    figure = f"{card.figure.text} {card.unit}".rstrip() if card.figure else "no result"
    yield f"* {_plain(card.label)}: **{figure}**" if card.figure else f"* {figure}"
    yield from (f"* {_plain(one)}" for one in (card.what, *card.reasons, *card.notices))
    yield from (f"* warning: {_plain(one)}" for one in card.warnings)
    yield from (f"* {one.label}: {_plain(one.cells[0].text)}" for one in card.facts)


def _section(section: Section) -> Iterator[str]:
    if not section.tables and not section.notes:
        return
    yield from (f"## {section.title}", "")
    for note in section.notes:
        yield from (_plain(note), "")
    for table in section.tables:
        yield from _table(table)
        yield ""


def _table(table: Table) -> Iterator[str]:
    yield _row([table.title, *table.headings])
    yield _row(["---"] * (1 + len(table.headings)), plain=False)
    for row in table.rows:
        yield _row([row.label, *(cell.text for cell in row.cells)])


def _row(texts: Sequence[str], *, plain: bool = True) -> str:
    return f"| {' | '.join(map(_plain, texts) if plain else texts)} |"
