"""What lies beside the tarball for people: the exact commands (.run), when each part began and ended (.tstamps), the
platform (.md); and the last words of `submit`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from submission.package import machine
from submission.submit import runs, workspace
from submission.submit.plan import Step
from submission.submit.request import Order
from submission.submit.workspace import Workspace


def write(order: Order, place: Workspace, steps: Sequence[Step], marks: Sequence[str]) -> None:
    """Write the three files; `marks` are what must stand beside every figure."""
    facts = {step.name: runs.facts(step, place) for step in steps}
    workspace.write(place.package(".run"), _commands(place, marks, facts))
    workspace.write(place.package(".tstamps"), _times(marks, facts))
    workspace.write(place.package(".md"), _platform(order, marks))


def _commands(place: Workspace, marks: Sequence[str], facts: Mapping[str, Mapping[str, Any]]) -> str:
    ordered = json.loads(place.order.read_text(encoding="utf-8"))["command"]
    runs_of_it = [line for name, one in facts.items() for line in (f"# {name}", str(one["command"]))]
    head = [*(f"# {mark}" for mark in marks), "# All of it", str(ordered), "# The runs that it made, one by one"]
    return "\n".join([*head, *runs_of_it]) + "\n"


def _times(marks: Sequence[str], facts: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [*(f"# {mark}" for mark in marks), "# part, start, end, seconds"]
    for name, one in facts.items():
        lines.append(f"{name.replace(' ', '-')} {one['started']} {one['ended']} {_seconds(one):.1f}")
    return "\n".join(lines) + "\n"


def _seconds(one: Mapping[str, Any]) -> float:
    return (datetime.fromisoformat(one["ended"]) - datetime.fromisoformat(one["started"])).total_seconds()


def _platform(order: Order, marks: Sequence[str]) -> str:
    head = [f"# {order.system}: the platform of {order.submitter}'s {order.benchmark}, round {order.round.name}", ""]
    warnings = [line for mark in marks for line in (f"**{mark}**", "")]
    return "\n".join([*head, *warnings, *machine.as_markdown()]) + "\n"


def show(place: Workspace, rows: Sequence[Mapping[str, Any]], marks: Sequence[str]) -> None:
    """The results, and where the package is."""
    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("scenario", "result", "", "F1"):
        table.add_column(heading, justify="right" if heading in ("result", "F1") else "left")
    for row in rows:
        result = "none" if row["Result"] is None else f"{row['Result']:.4g}"
        table.add_row(row["Scenario"], result, row["Units"], f"{row['Accuracy']:.3f}" if row["Accuracy"] else "none")
    console.print(table)
    for mark in marks:
        console.print(mark, markup=False)
    console.print(f"packed: {place.package('.tar.gz')}", soft_wrap=True, markup=False)
