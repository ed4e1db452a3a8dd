"""mlperf_submission_summary: one row per result as CSV, JSON and a workbook, with the fields of the official summary.

The rows are read from the tree that is packed, so that they match the tarball.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from foundation.foreign_text import Cell, csv_text, workbook
from submission.check import tree
from submission.package import contents
from submission.package.contents import PackedResult
from submission.submit import workspace
from submission.submit.workspace import Workspace

FIELDS = (
    "Organization Availability Division SystemType SystemName Platform Model MlperfModel Scenario Result Accuracy "
    "number_of_nodes host_processor_model_name host_processors_per_node host_processor_core_count "
    "accelerator_model_name accelerators_per_node Location framework operating_system notes compliance errors version "
    "inferred has_power Units"
).split()
Row = Mapping[str, Cell]  # by field
UNITS = {"Offline": "Samples/s", "Server": "Queries/s", "SingleStream": "Latency (ms)", "MultiStream": "Latency (ms)"}
# Fields that are also keys of the system description.
_OF_THE_SYSTEM = tuple(
    name for name in FIELDS if name.islower() and name.startswith(("number", "host", "accel", "fr", "op"))
)


def write(output: Workspace, made: datetime) -> list[PackedResult]:
    """Write the three files for the tree of `output`; returns the results that are in it."""
    results = contents.read(tree.read(output.tree))
    rows = [row(one) for one in results]
    table: list[list[Cell]] = [list(FIELDS), *([one[name] for name in FIELDS] for one in rows)]
    workspace.write(output.package("_summary.csv"), csv_text(table))
    workspace.write(output.package("_summary.json"), json.dumps(rows, indent=2) + "\n")
    workspace.write(output.package("_summary.xlsx"), workbook("results", table, bold=[1], freeze="A2", made=made))
    return results


def row(one: PackedResult) -> Row:
    """The 27 fields of one result."""
    layout, system = one.layout, one.system
    notes = [*one.marks, *(str(system.get(key, "")) for key in ("hw_notes", "sw_notes"))]
    found = {name: system.get(name, "") for name in _OF_THE_SYSTEM} | {
        "Organization": layout.submitter,
        "Availability": system.get("status", ""),
        "Division": layout.division,
        "SystemType": system.get("system_type", ""),
        "SystemName": system.get("system_name", ""),
        "Platform": layout.system,
        "Model": layout.model,
        "MlperfModel": one.benchmark or "bert-99",
        "Scenario": layout.scenario,
        "Result": one.value,
        "Accuracy": one.f1,
        "Location": str(layout.scenario_dir),
        "notes": ". ".join(note for note in notes if note),
        "compliance": int(layout.division == "open" or passes(one.test01)),
        "errors": one.errors,
        "version": layout.round.name,
        "inferred": 0,
        "has_power": False,
        "Units": UNITS[layout.scenario],
    }
    return {name: found[name] for name in FIELDS}


def passes(test01: Mapping[str, bool]) -> bool:
    """Whether TEST01 passed: equal answers (or F1 instead), and the speed agreed."""
    answers = test01.get("accuracy", False) or test01.get("F1 instead", False)
    return answers and test01.get("performance", False)
