"""Builds the tree out of finished runs: every file of the round's layout, aside, and renamed when all are there.

Nothing is run or measured here, so building again from the same runs gives the same tree.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from submission.package import accuracy_log, documents
from submission.package.weights import Weights
from submission.rules.layout import ACCURACY_TXT, Layout
from submission.rules.rounds import PERFORMANCE_FILES, TRIAL_MARKER
from submission.submit import runs, test01, workspace
from submission.submit.plan import ACCURACY, PERFORMANCE, TEST01, Step
from submission.submit.request import Order
from submission.submit.workspace import Workspace
from sut.record import detail_log

_CODE = ("sut", "backends", "qsl", "accuracy", "submission", "foundation")
_SOURCES = ("*.py", "*.h", "*.cpp")


@dataclass(frozen=True)
class Parts:
    """All that a tree is built from."""

    order: Order
    place: Workspace
    steps: Sequence[Step]  # all of them finished
    description: Mapping[str, str]  # of the system
    weights: Weights

    def of(self, scenario: str) -> dict[str, Step]:
        return {step.kind: step for step in self.steps if step.scenario == scenario}


def layout(order: Order, scenario: str) -> Layout:
    return Layout(order.round, order.division, order.submitter, order.system, order.benchmark, scenario)


def build(parts: Parts) -> Path:
    """Build the tree anew and put it in the place of an older one; returns its directory."""
    order, place = parts.order, parts.place
    root = workspace.aside(place.tree)
    shutil.rmtree(root, ignore_errors=True)
    for scenario in order.scenarios:
        _scenario(parts, root, scenario)
    where = layout(order, order.scenarios[0])
    records = [runs.record(step.folder(place)) for step in parts.steps]
    workspace.write(root / where.system_json, json.dumps(dict(parts.description), indent=2) + "\n")
    workspace.write(root / where.calibration, documents.calibration(order, records))
    _code(root / where.model_code, order)
    if order.short:
        workspace.write(root / TRIAL_MARKER, documents.trial(order))
    workspace.replace_folder(root, place.tree)
    return place.tree


def _scenario(parts: Parts, root: Path, scenario: str) -> None:
    order, place, steps = parts.order, parts.place, parts.of(scenario)
    where = layout(order, scenario)
    folders = {kind: step.folder(place) for kind, step in steps.items()}
    records = {kind: runs.record(folder) for kind, folder in folders.items()}
    commands = {kind: step.command(place) for kind, step in steps.items()}
    _copy(folders[PERFORMANCE], root / where.performance, PERFORMANCE_FILES)
    _copy(folders[ACCURACY], root / where.accuracy, PERFORMANCE_FILES)
    said = (folders[ACCURACY] / ACCURACY_TXT).read_text(encoding="utf-8")
    missing = [mark for mark in documents.marks(order, list(records.values())) if mark not in said]
    accuracy_log.pack(
        folders[ACCURACY] / detail_log.ACCURACY, "\n".join([said.rstrip(), *missing]), root / where.accuracy
    )
    if TEST01 in steps:
        _test01(folders[TEST01], root, where)
    text = documents.readme(order, place, scenario, parts.weights, records, list(steps.values()))
    workspace.write(root / where.readme, text)
    workspace.write(root / where.measurements, documents.measurements(order, parts.weights, records, commands))
    _copy(place.user_conf.parent, root / where.measurements_dir, (place.user_conf.name,))


def _test01(folder: Path, root: Path, where: Layout) -> None:
    _copy(folder, root / where.test01_performance, PERFORMANCE_FILES)
    _copy(folder, root / where.test01, (test01.VERIFY_ACCURACY, test01.VERIFY_PERFORMANCE))
    said = (folder / ACCURACY_TXT).read_text(encoding="utf-8")
    accuracy_log.pack(folder / detail_log.ACCURACY, said, root / where.test01_accuracy)
    fallback = [name for name in (test01.BASELINE, test01.COMPLIANCE) if (folder / name).is_file()]
    _copy(folder, root / where.test01_accuracy, fallback)


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    for name in names:
        workspace.write(target / name, (source / name).read_bytes())


def _code(target: Path, order: Order) -> None:
    """The sources that made the runs, from wherever they are installed."""
    workspace.write(target / "README.md", documents.code(order))
    for package in _CODE:
        folder = Path(str(importlib.import_module(package).__file__)).parent
        for source in sorted(path for pattern in _SOURCES for path in folder.rglob(pattern)):
            workspace.write(target / package / source.relative_to(folder), source.read_bytes())
