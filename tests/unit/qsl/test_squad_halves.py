"""A SQuAD file in two halves: each question once, with its passage and answers, and the division is the seed's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundation.errors import USAGE, VALID
from qsl import demo
from qsl.__main__ import main
from qsl.squad_examples import read_examples
from qsl.squad_halves import write


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "dev.json"
    demo.write(path, "dev", questions=21)
    return path


def test_each_question_is_in_one_half_as_it_was(whole: Path, tmp_path: Path) -> None:
    expected = {example.id: example for example in read_examples(whole)}
    first, second = (read_examples(path) for path in write(whole, 1, tmp_path))
    assert (len(first), len(second)) == (10, 11)
    assert {example.id: example for example in (*first, *second)} == expected


def test_the_seed_decides(whole: Path, tmp_path: Path) -> None:
    paths = {(seed, name): write(whole, seed, tmp_path / name)[0] for seed, name in ((1, "a"), (1, "b"), (2, "c"))}
    one, again, other = (path.read_bytes() for path in paths.values())
    assert one == again != other


def test_the_command_names_what_it_wrote(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["halve", "--dataset", str(whole), "--output", str(tmp_path / "halves")]) == VALID
    paths = capsys.readouterr().out.split()
    assert [len(read_examples(Path(path))) for path in paths] == [10, 11]


@pytest.mark.parametrize(("content", "says"), [("{}", "data"), ('{"data": []}', "none"), (None, "found")])
def test_a_file_that_cannot_be_halved_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, says: str
) -> None:
    path = tmp_path / "dev.json"
    if content is not None:
        path.write_text(content)
    assert main(["halve", "--dataset", str(path), "--output", str(tmp_path)]) == USAGE
    assert says in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text(json.dumps({}))
    assert main(["halve", "--dataset", str(whole), "--output", str(blocked / "halves")]) == USAGE
    assert "--output" in capsys.readouterr().err
