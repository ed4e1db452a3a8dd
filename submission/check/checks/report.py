"""What no checker refuses, and what still loses a result in MLCommons' final report: quotes in its table.

The official checker writes a result as a line of CSV, every value in quotes, and does not double quotes inside it.
A comma after one, or one at the end of a value, moves the columns that the report reads.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from submission.check.checks import documents
from submission.check.failure import Failure
from submission.check.tree import Tree
from submission.rules.layout import ResultLayout
from submission.rules.rounds import REPORTED_NOTES, REPORTED_SYSTEM_KEYS


def check(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """The texts of one result that the report cannot hold."""
    system = tree.json(layout.system_json)
    notes = ". ".join(filter(None, (str(system.get(key, "")) for key in REPORTED_NOTES)))
    values = {key: system.get(key) for key in REPORTED_SYSTEM_KEYS} | {" and ".join(REPORTED_NOTES): notes}
    yield from _lost(layout.system_json, values)
    for path in documents.measurements(tree, layout):
        yield from _lost(path, {"weight_data_types": tree.json(path).get("weight_data_types")})


def _lost(path: PurePosixPath, values: Mapping[str, Any]) -> Iterator[Failure]:
    for key, value in values.items():
        columns = next(csv.reader([f'"{value}",""']), [])
        if len(columns) != 2:
            todo = "Remove its quotation marks: MLCommons' final report would not have this result."
            yield Failure(
                str(path), "report.quotes", f"{key} = {str(value)[:100]}", "text without quotation marks", todo
            )
