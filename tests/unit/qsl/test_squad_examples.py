"""SQuAD in every form in which it is published, and what is said of files that are in none of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from paths import ASSETS
from pyarrow import parquet

from qsl.base import DatasetError
from qsl.squad import SquadDataSet
from qsl.squad_examples import read_examples

VOCAB = ASSETS / "demo" / "vocab.txt"
RECORDS: list[dict[str, Any]] = [
    {"id": "a", "context": "The fox ran.", "question": "Who?", "answers": {"text": ["fox", "The fox"]}},
    {"id": "b", "context": "The fox ran.", "question": "What?", "answers": {"text": ["ran"]}},
    {"id": "c", "context": "An owl slept.", "question": "Who?", "answers": {"text": ["owl"]}},
]


def _listed(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "answers": [{"text": text, "answer_start": 0} for text in record["answers"]["text"]]}


def _nested(turn: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    passages = {record["context"]: [] for record in RECORDS}  # type: dict[str, list[dict[str, Any]]]
    for record in RECORDS:
        passages[record["context"]].append(turn(record))
    paragraphs = [{"context": context, "qas": qas} for context, qas in passages.items()]
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}).encode()


def _parquet() -> bytes:
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(RECORDS), sink)
    return bytes(sink.getvalue())


FORMS: dict[str, Callable[[], bytes]] = {
    "official": lambda: _nested(_listed),
    "answers as columns": lambda: _nested(dict),
    "flat": lambda: json.dumps({"data": RECORDS}).encode(),
    "a list of records": lambda: json.dumps([*map(_listed, RECORDS)]).encode(),
    "JSON lines": lambda: "\n".join(map(json.dumps, RECORDS)).encode() + b"\n",
    "parquet": _parquet,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_same_questions(tmp_path: Path, form: str) -> None:
    path = tmp_path / "dev"
    path.write_bytes(FORMS[form]())
    first, second, third = read_examples(path)
    assert (first.id, first.question, first.doc_words) == ("a", "Who?", ("The", "fox", "ran."))
    assert [one.answers for one in (first, second, third)] == [("fox", "The fox"), ("ran",), ("owl",)]
    assert first.doc_words is second.doc_words and third.doc_words == ("An", "owl", "slept.")


@pytest.mark.parametrize("answers", [[], None, {"text": []}])
def test_questions_without_answers_run_and_are_not_scored(tmp_path: Path, answers: object) -> None:
    """SQuAD v2's unanswerable questions, and test sets."""
    path = tmp_path / "v2.json"
    path.write_text(json.dumps([RECORDS[0], {**RECORDS[1], "answers": answers, "is_impossible": True}]))
    data = SquadDataSet(path, VOCAB, None)
    assert len(data.features) == 2
    with pytest.raises(DatasetError, match=r"found 1 of 2 without one \(SQuAD v2 .*--mode performance"):
        data.check_scorable()


def test_a_file_without_the_key_runs_too(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    path.write_text(json.dumps({"data": [{name: RECORDS[0][name] for name in ("id", "context", "question")}]}))
    assert read_examples(path)[0].answers == ()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "No such file"),
        (b"", "an empty file"),
        (b"<html>not found</html>", r"a web page.*--dataset FILE"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "type: git lfs pull"),
        (b"PAR1 and no more", "parquet file .* cut short"),
        (b'{"data": [', "JSON"),
        (b'{"id": "1"}\n\n{"id": "2', r"text that is not JSON .* at line 3\."),
        (b"{}", "'data'"),
        (b'{"data": [{"paragraphs": [{"qas": []}]}]}', "'context'"),
        (b'{"data": [{"context": "a", "id": "1"}]}', "'question'"),
        (b'{"data": [{"context": "a", "id": 1, "question": "b"}]}', "not all text"),
        (b'{"data": [{"context": "a", "id": "1", "question": "b", "answers": {"text": "c"}}]}', "not a list"),
        (b'{"data": []}', "found none"),
        (b"[1, 2]", "SQuAD"),
        (b"1", "SQuAD"),
    ],
)
def test_a_file_that_is_not_squad_is_named(tmp_path: Path, content: bytes | None, word: str) -> None:
    path = tmp_path / "dev.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=word):
        read_examples(path)
