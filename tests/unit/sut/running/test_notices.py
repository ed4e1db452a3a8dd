"""What keeps a run from counting is said, and nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from accuracy.targets import TARGETS, Target
from backends.bert.checkpoints import find_model
from backends.bert.model import Model
from qsl import demo, demo_sst2
from qsl.data_set import DataSet
from qsl.squad import SquadDataSet
from qsl.sst2 import Sst2DataSet
from sut.fetch.resolve import demo_model
from sut.running import notices, target
from sut.settings.resolve import resolve
from sut.tasks import TASKS, Task

SQUAD, SST2 = TASKS["squad"], TASKS["sst2"]
TRAINED, RANDOM = find_model(str(demo_model())), find_model("random:bert-tiny")
OFFICIAL = {"execution_mode": "valid"}
BERT_99 = TARGETS["bert-99"]


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    demo.write(tmp_path / "dev.json", "dev", questions=4)
    return SquadDataSet(tmp_path / "dev.json", demo_model() / "vocab.txt", None)


def official(task: Task, data: DataSet) -> Task:
    """The task, were `data` the benchmark's."""
    return replace(task, dataset_sha256=data.file.sha256)


@pytest.mark.parametrize(
    ("values", "model", "judged", "found"),
    [
        (OFFICIAL, TRAINED, None, []),
        ({}, TRAINED, None, ["trial run"]),
        ({}, RANDOM, None, ["trial run", "random weights"]),
        ({**OFFICIAL, "backend": "fake"}, TRAINED, None, ["fake backend"]),
        ({**OFFICIAL, "mode": "accuracy"}, TRAINED, BERT_99, []),
        ({**OFFICIAL, "mode": "accuracy"}, TRAINED, TARGETS["demo"], ["accuracy targets"]),
        ({**OFFICIAL, "mode": "accuracy"}, TRAINED, None, ["accuracy targets"]),
        ({"mode": "accuracy"}, TRAINED, None, ["trial run"]),
    ],
)
def test_notices_on_the_benchmarks_data(
    data: DataSet, values: dict[str, object], model: Model, judged: Target | None, found: list[str]
) -> None:
    said = notices.of(resolve(values), model, official(SQUAD, data), judged, data)
    assert len(said) == len(found), said
    assert all(word in notice for word, notice in zip(found, said, strict=True))


@pytest.mark.parametrize(
    ("names", "is_said"), [({}, False), ({"0": "neg", "1": "pos"}, False), ({"0": "a", "1": "b"}, True)]
)
def test_classes_without_a_known_name_are_said(tmp_path: Path, names: dict[str, str], is_said: bool) -> None:
    folder = shutil.copytree(demo_model("sst2"), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | ({"id2label": names} if names else {})), encoding="utf-8")
    demo_sst2.write(tmp_path / "dev.tsv", "dev", 1, 3)
    data = Sst2DataSet(tmp_path / "dev.tsv", folder / "vocab.txt", None)
    said = notices.of(resolve({"task": "sst2"}), find_model(str(folder)), SST2, None, data)
    assert any("calls its classes 'a', 'b'" in notice for notice in said) == is_said


def test_other_data_and_other_tasks_are_named(data: DataSet) -> None:
    assert "data set" in notices.of(resolve(OFFICIAL), TRAINED, SQUAD, None, data)[0]
    assert notices.of(resolve(OFFICIAL), TRAINED, SST2, None, data) == ("not an MLPerf task: not submittable",)


@pytest.mark.parametrize(
    ("values", "model", "samples", "found"),
    [
        ({}, TRAINED, 1200, None),
        ({"mode": "accuracy"}, TRAINED, 1200, "demo"),
        ({"mode": "accuracy", "backend": "fake"}, TRAINED, 1200, None),
        ({"mode": "accuracy", "dataset": Path("dev.json")}, TRAINED, 1200, None),
        ({"mode": "accuracy", "dataset": Path("dev.json")}, TRAINED, SQUAD.full_size, "bert-99"),
        ({"mode": "accuracy", "dataset": Path("dev.json"), "model": "random:bert-tiny"}, RANDOM, SQUAD.full_size, None),
    ],
)
def test_the_target_where_none_was_given(
    values: dict[str, object], model: Model, samples: int, found: str | None
) -> None:
    judged = target.default(resolve(values), model, SQUAD, samples)
    assert (judged.name if judged else None) == found
