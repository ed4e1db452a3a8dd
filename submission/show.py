"""`python -m sut show PATH`: prints the results of a package.

PATH is a tarball, a tree (the directory that holds open/ or closed/), or the output directory of `submit`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from rich.table import Table

from foundation import terminal
from foundation.foreign_text import printable
from foundation.people_numbers import count, figure, megabytes
from foundation.rules import SCENARIOS
from submission.check import archive, tree
from submission.check.checks.requirement import is_number
from submission.check.failure import RefusedError
from submission.check.tree import Tree
from submission.package import contents
from submission.package.contents import PackedResult
from submission.rules.rounds import DIVISIONS, TRIAL_MARKER
from submission.submit import workspace
from sut.errors import VALID, UsageError
from sut.settings.parser import Parser, new_parser

_SYSTEM = ("system_name", "status", "host_processor_model_name", "host_memory_capacity", "accelerator_model_name",
           "framework", "operating_system")  # fmt: skip
_SOURCE = ("starting_weights_filename", "weights_sha256", "weight_data_types", "retraining")


def main(argv: list[str]) -> int:
    """The verb `show`."""
    options = parser().read(argv)
    path = options.path
    try:
        with _root(path) as root:
            (_print_json if options.json else _print)(path, tree.read(root))
    except RefusedError as error:
        failure = error.failure
        raise UsageError(f"expected {failure.wanted} in {path}, found {failure.found}. {failure.todo}") from error
    return VALID


def parser() -> Parser:
    """The command line of `show`."""
    found = new_parser("show", (__doc__ or "").partition("\n\n")[2])
    found.add_argument("path", type=Path, metavar="PATH", help="a tarball or a directory")
    found.add_argument("--json", action="store_true", help="print JSON")
    return found


@contextmanager
def _root(path: Path) -> Iterator[Path]:
    """The directory that holds the divisions."""
    if path.is_file():
        with archive.opened(path) as root:
            yield root
        return
    found = workspace.tree_in(path)
    if found is None:
        raise UsageError(
            f"expected a package (a tarball, or {' or '.join(DIVISIONS)} in a directory), found none at {path}. "
            "Is the path right?"
        )
    yield found


def _print(path: Path, files: Tree) -> None:
    results = contents.read(files)
    console = terminal.console()
    size = sum(files.files.values())
    console.print(
        f"{path}: {count(len(results), 'result')}, {count(len(files.files), 'file')}, {megabytes(size)}", soft_wrap=True
    )
    if files.has(PurePosixPath(TRIAL_MARKER)):
        console.print("TRIAL: never submittable")
    for one in results:
        console.print()
        console.print(_table(one))


def _print_json(path: Path, files: Tree) -> None:
    print(json.dumps(content(path, files)))


def content(path: Path, files: Tree) -> dict[str, object]:
    """The results of a package as JSON values."""
    results = [_record(one) for one in contents.read(files)]
    return {"path": str(path), "trial": files.has(PurePosixPath(TRIAL_MARKER)), "results": results}


def _record(one: PackedResult) -> dict[str, object]:
    layout, rules = one.layout, SCENARIOS[one.layout.scenario]
    return {
        "scenario": layout.scenario,
        "model": layout.model,
        "benchmark": one.benchmark,
        "submitter": layout.submitter,
        "division": layout.division,
        "round": layout.round.name,
        "metric": rules.metric,
        "value": one.value,
        "unit": rules.unit,
        "validity": one.log.get("result_validity"),
        "errors": one.errors,
        "f1": one.f1,
        "exact_match": one.exact_match,
        "samples": one.samples,
        "test01": one.test01,
        "system": one.system,
        "measurements": one.measurements,
        "notes": one.marks,
    }


def _table(one: PackedResult) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(one):
        table.add_row(name, printable(value))
    return table


def _rows(one: PackedResult) -> Iterator[tuple[str, str]]:
    layout = one.layout
    is_own = one.benchmark not in (None, layout.model)
    model = f"{layout.model} for {one.benchmark}" if is_own else layout.model
    yield layout.scenario, f"{model}, {layout.submitter}, {layout.division} division, round {layout.round.name}"
    rules = SCENARIOS[layout.scenario]
    value = "no figure" if one.value is None else f"{rules.metric} {figure(one.value)} {rules.unit}"
    yield "result", f"{value}, {one.log.get('result_validity', 'no verdict')}, {one.errors} errors logged"
    yield "length", f"{_queries(one)}; minimum of {_duration(one)} {_met(one.log.get('result_min_duration_met'))}"
    scores = {"F1": one.f1, "exact match": one.exact_match}
    yield (
        "accuracy",
        ", ".join(f"{name} {score:.3f}" for name, score in scores.items() if score is not None) or "no score",
    )
    yield "samples", "unknown" if one.samples is None else f"{one.samples:,}"
    parts = ", ".join(f"{part} {'pass' if passed else 'FAIL'}" for part, passed in one.test01.items())
    yield "TEST01", parts or "not run"
    for key in _SYSTEM:
        yield key, str(one.system.get(key, "missing"))
    for key in _SOURCE:
        yield key, str(one.measurements.get(key, "missing"))
    for mark in one.marks:
        yield "note", mark


def _queries(one: PackedResult) -> str:
    samples = one.log.get("effective_samples_per_query", "unknown")
    if one.layout.scenario == "Offline":
        return f"one query of {samples} samples"
    return f"{one.log.get('result_query_count', 'unknown')} queries"


def _duration(one: PackedResult) -> str:
    asked_ms = one.log.get("effective_min_duration_ms")
    return f"{asked_ms / 1e3:g} s" if is_number(asked_ms) else "unknown length"


def _met(found: object) -> str:
    return {True: "met", False: "NOT met"}.get(bool(found), "") if found is not None else "unknown"
