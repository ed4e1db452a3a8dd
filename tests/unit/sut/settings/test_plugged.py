"""Backends and tasks of other packages as settings: by "module:NAME", repeated as it was typed, and in help."""

from __future__ import annotations

from pathlib import Path

import pytest

from accuracy.targets import UnknownTargetError
from backends import BACKENDS
from backends.entry import Entry
from backends.errors import BackendError
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths
from sut.settings import flags
from sut.settings.parser import new_parser
from sut.settings.resolve import default_log_dir, resolve, to_flags
from sut.tasks import TASKS

ROWS = """
from backends.entry import Entry
from sut.tasks import Task
ENTRY = Entry(target="engine:Engine", title="An engine", precisions={"int4": "load"}, needs="no_such.module")
NO_TARGET, NUMBER = Entry(target=""), 3
TASK = Task(about="a", model_key="m", head="classes", metric="recall", data_set="a:B", scorer="a:c")
"""


@pytest.fixture(autouse=True)
def _rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows_of_a_test.py").write_text(ROWS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for table in (BACKENDS, TASKS):
        monkeypatch.delitem(table, "rows_of_a_test:ENTRY", raising=False)


def test_a_run_of_it_is_repeated_as_it_was_typed() -> None:
    config = resolve({"backend": "rows_of_a_test:ENTRY", "precision": "int4"})
    assert to_flags(config) == ["--backend", "rows_of_a_test:ENTRY", "--precision", "int4"]
    assert default_log_dir(config).name.endswith("-Offline-performance-ENTRY")  # a path with a colon is no path


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"backend": "rows_of_a_test:NUMBER"}, BackendError, "a backends.entry.Entry, found <class 'int'>"),
        ({"backend": "rows_of_a_test:NO_TARGET"}, BackendError, 'Write target="module:Class"'),
        (
            {"backend": "rows_of_a_test:ENTRY"},
            UsageError,
            "expected a --precision for backend .*ENTRY', found none .*Choose from int4, fp16",
        ),
        ({"task": "rows_of_a_test:NUMBER"}, UsageError, "to be a sut.tasks.Task, found <class 'int'>"),
    ],
)
def test_what_is_no_row(given: dict[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        resolve(given)


def test_a_task_without_a_demo_asks_for_a_model_and_a_data_set() -> None:
    config = resolve({"task": "rows_of_a_test:TASK", "mode": "accuracy", "target": "50"})
    for missing in (asset_paths.model_spec, asset_paths.dataset, asset_paths.calibration_dataset):
        with pytest.raises(UsageError, match="expected --model and --dataset, since --task rows_of_a_test:TASK has no"):
            missing(config)
    with pytest.raises(UnknownTargetError, match=r"expected a target \(a number from 0 to 100 for recall\)"):
        resolve({"task": "rows_of_a_test:TASK", "mode": "accuracy", "target": "much"})


def test_help_and_choices_have_what_is_installed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "acme", Entry(target="a:B", precisions={"int4": "load"}))  # as an entry point is read
    parser = new_parser("run")
    flags.add(parser, "run")
    text = " ".join(parser.format_help().split())
    assert "Installed here: acme (default" not in text  # it goes after the default
    assert "(default: onnxruntime). Installed here: acme " in text
    assert "Installed here: acme: int4" in text
    assert resolve({"backend": "Acme", "precision": "int4"}).backend == "acme"
