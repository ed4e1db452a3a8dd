"""The table of tasks: its names lead somewhere, and listing them loads nothing."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from squad_by_hand import encode, write_log

from accuracy.targets import TARGETS
from backends.bert.heads import HEADS
from qsl.data_set import DataSet
from sut import tasks
from sut.fetch.resolve import demo_model
from sut.tasks import TASKS


@pytest.mark.parametrize("name", TASKS.own)
def test_a_row_leads_to_a_data_set_that_can_be_run_and_scored(name: str, tmp_path: Path) -> None:
    task, demo = TASKS[name], TASKS[name].demo
    assert demo is not None
    path = tmp_path / f"dev{demo.suffix}"
    demo.write(path, "dev", 20)
    data = task.open(path, demo_model(name) / "vocab.txt", None)
    assert isinstance(data, DataSet) and len(data.examples) == 20
    data.check_scorable()
    assert demo.generator.is_dir() and task.head in HEADS
    assert {TARGETS[target].metric for target in (*task.targets, demo.target)} == {task.metric}


def test_the_example_of_a_task_holds(tmp_path: Path) -> None:
    answers = [(row, encode(np.array([[0.0, 1.0]]), "float32")) for row in (0, 1)]  # positive, which the first one is
    log = write_log(tmp_path / "log.json", [*answers, (2, encode(np.array([[1.0, 0.0]]), "float32"))])
    names = {"TASKS": TASKS, "folder": tmp_path, "vocab": demo_model("sst2") / "vocab.txt", "log": log}
    (example,) = doctest.DocTestFinder(recurse=False).find(tasks.Task, "Task", tasks, extraglobs=names)
    assert doctest.DocTestRunner().run(example) == doctest.TestResults(failed=0, attempted=6)


@pytest.mark.parametrize("module", ["sut.tasks", "sut.executors.instance"])
def test_neither_the_table_nor_an_instance_loads_scorers_or_readers(module: str) -> None:
    """An instance's process imports `sut.executors.instance`, and the main module of its parent."""
    code = f"import sys, sut.__main__, {module}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    unwanted = ("accuracy", "submission", "qsl.squad", "qsl.sst2", "qsl.demo", "qsl.wordpiece", "qsl.data_set")
    found = {name for name in done.stdout.split() if name.startswith(unwanted)}
    assert found == set()
    assert ("sut.tasks" in done.stdout.split()) == (module == "sut.tasks")
