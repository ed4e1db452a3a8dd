"""The questions of a SQuAD file, in every form in which it is published.

The official form nests questions in paragraphs in articles; Hugging Face's has one record per question, as JSON, as
JSON lines or in parquet, and its answers are columns. All become the same examples, so a score does not depend on the
form. Answers may be missing: such a file runs for speed and cannot be scored.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from foundation import file_kinds
from foundation.bounded_readers import UnreadableError, parse_json
from qsl import parquet
from qsl.base import DatasetError
from qsl.data_file import DataFile

# The characters at which the reference splits a passage into words; others (a no-break space) stay inside a word.
_SPACES = re.compile("[ \t\r\n\u202f]+")
_WORDS = re.compile("[^ \t\r\n\u202f]+")
T = TypeVar("T")
KIND = "a SQuAD v1.1 file"
_FORMS = "data > paragraphs > context, qas > id, question, answers > text; or one record with these keys per question"


@dataclass(frozen=True)
class Example:
    """One question. `doc_words` are the words of its passage, one tuple for all questions of the passage."""

    id: str
    question: str
    doc_words: tuple[str, ...]
    answers: tuple[str, ...]  # empty: the file has none, or the question is one of SQuAD v2 without an answer
    answer_starts: tuple[int, ...] = ()  # the word in which each answer starts; empty: the file does not say it


def read_examples(source: Path | DataFile) -> list[Example]:
    """All questions of a SQuAD file, in the file's order.

    Raises:
        DatasetError: the file is missing or not in a form of SQuAD; the message says what differs.
    """
    file = DataFile.of(source, KIND, "--dataset")
    return _whole(file, _examples)


def read_records(file: DataFile) -> list[dict[str, Any]]:
    """All questions of a SQuAD file as records that are one again: id, question, context and answers.

    Raises:
        DatasetError: as `read_examples`.
    """
    return _whole(file, _records)


def _whole(file: DataFile, read: Callable[[Any], Iterator[T]]) -> list[T]:
    """All that `read` finds in a file's content, one at least. Raises DatasetError."""
    try:
        found = list(read(_parsed(file)))
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"expected SQuAD v1.1's form in {file.path} ({_FORMS}), found another ({type(error).__name__}: {error}). "
            f"Name a file of SQuAD with --dataset FILE."
        ) from error
    if not found:
        raise DatasetError(f"expected questions in {file.path}, found none. Name another file with --dataset FILE.")
    return found


def split_words(passage: str) -> tuple[str, ...]:
    """The words of a passage, as in `Example.doc_words`."""
    return tuple(word for word in _SPACES.split(passage) if word)


def _parsed(file: DataFile) -> Any:
    """The content as JSON values; rows of parquet and of JSON lines as a list of records."""
    if parquet.is_parquet(file.content):
        columns = parquet.read(file)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    try:
        return parse_json(file.content)
    except UnreadableError as error:
        records, broken = _json_lines(file.content)
        if records and not broken:
            return records
        found = broken if records else file_kinds.of(file.content)
        raise DatasetError(
            f"expected SQuAD v1.1 JSON in {file.path}, found {error if found in (None, 'JSON') else found}. "
            f"Fetch or copy the file again, or name another with --dataset FILE."
        ) from error


def _json_lines(content: bytes) -> tuple[list[Any], str | None]:
    """One JSON value per line up to the first line that is not JSON, and what that is."""
    records = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            records += [parse_json(line)] if line.strip() else []
        except UnreadableError as error:
            return records, f"{error} at line {number}"
    return records, None


def _examples(data: Any) -> Iterator[Example]:
    passage = lru_cache(maxsize=1)(_Passage.of)  # questions about one passage follow each other and share its words
    for question, context in _questions(data):
        yield _example(question, passage(context))


def _records(data: Any) -> Iterator[dict[str, Any]]:
    for question, context in _questions(data):
        _answers(question)
        yield {**{name: question[name] for name in ("id", "question", "answers")}, "context": context}


def _questions(data: Any) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each question, in either form, and its passage."""
    records = data if isinstance(data, list) else [data] if "context" in data else data["data"]
    for record in records:
        if "paragraphs" not in record:
            yield record, record["context"]
            continue
        for paragraph in record["paragraphs"]:
            context = paragraph["context"]
            for question in paragraph["qas"]:
                yield question, context


@dataclass(frozen=True)
class _Passage:
    """A passage's words, and the character at which each starts."""

    words: tuple[str, ...]
    starts: list[int]

    @classmethod
    def of(cls, text: str) -> _Passage:
        return cls(split_words(text), [found.start() for found in _WORDS.finditer(text)])


def _example(question: Mapping[str, Any], passage: _Passage) -> Example:
    answers, starts = _answers(question), _answer_starts(question)
    if not all(isinstance(text, str) for text in (question["id"], question["question"], *answers)):
        raise TypeError(f"id, question and answers of {question['id']!r} are not all text")
    words = tuple(bisect_right(passage.starts, start) - 1 for start in starts) if len(starts) == len(answers) else ()
    return Example(question["id"], question["question"], passage.words, answers, words)


def _answers(question: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts of [{"text": …}, …], or of Hugging Face's {"text": [… , …]}."""
    answers = question.get("answers") or []
    texts = answers["text"] if isinstance(answers, dict) else [answer["text"] for answer in answers]
    if not isinstance(texts, list):
        raise TypeError(f"the answers of {question['id']!r} are not a list")
    return tuple(texts)


def _answer_starts(question: Mapping[str, Any]) -> list[int]:
    """The first character of each answer; empty where one lacks it: a score needs none."""
    answers = question.get("answers") or []
    if isinstance(answers, dict):
        starts = answers.get("answer_start", [])
    else:
        starts = [answer.get("answer_start") for answer in answers]
    is_whole = isinstance(starts, list) and all(isinstance(one, int) and one >= 0 for one in starts)
    return starts if is_whole else []
