"""Both of MLPerf's calibration lists, and files that are not lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsl import demo, squad
from qsl.base import DatasetError
from qsl.squad import SquadDataSet
from qsl.squad_examples import read_examples
from sut.fetch.resolve import demo_model

VOCAB = demo_model() / "vocab.txt"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("list") / "dev.json"
    demo.write(path, "dev", questions=12)
    return path


def read(dataset: Path, words: str) -> list[int]:
    path = dataset.parent / "list.txt"
    path.write_text(words, encoding="utf-8")
    return SquadDataSet(dataset, VOCAB, None).listed(path)


def test_indices_are_features(dataset: Path) -> None:
    assert read(dataset, "7 2\n3 2\n") == [2, 3, 7]


def test_ids_are_questions_with_all_their_features(dataset: Path) -> None:
    examples, features = read_examples(dataset), squad.load(dataset, VOCAB, None)
    found = read(dataset, f"{examples[5].id}\n{examples[1].id}\n")
    assert [examples[index].id for index in features.example_index[found]] == [examples[1].id, examples[5].id]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("", "found none"),
        ("3 99999", "99999"),
        ("573020f7b2c2fd14005688fa", "573020f7b2c2fd14005688fa"),
        ("-1", "-1"),
        ("9" * 5000, "999"),
    ],
)
def test_entries_that_the_data_set_lacks_are_named(dataset: Path, words: str, named: str) -> None:
    with pytest.raises(DatasetError, match=named):
        read(dataset, words)


def test_an_id_unknown_among_known_ones_is_named(dataset: Path) -> None:
    with pytest.raises(DatasetError, match="'nobody'"):
        read(dataset, f"{read_examples(dataset)[0].id} nobody")


def test_a_missing_list_is_named(dataset: Path) -> None:
    with pytest.raises(DatasetError, match="--calibration-list"):
        SquadDataSet(dataset, VOCAB, None).listed(dataset.parent / "gone.txt")
