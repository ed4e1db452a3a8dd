"""The generated data set: reproducible, well formed, with separate splits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ASSETS

from qsl import demo
from qsl.demo.compose import KINDS, compose
from qsl.demo.seeded_choice import Draw
from qsl.demo.templates import SubjectKind
from qsl.wordpiece import WordPiece

VOCAB = ASSETS / "demo" / "vocab.txt"


@pytest.fixture(scope="module")
def dev() -> dict[str, Any]:
    return demo.generate("dev")


@pytest.fixture(scope="module")
def train() -> dict[str, Any]:
    return demo.generate("train", questions=2000)


def paragraphs(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for article in dataset["data"]:
        yield from article["paragraphs"]


def questions(dataset: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for paragraph in paragraphs(dataset):
        for question in paragraph["qas"]:
            yield paragraph["context"], question


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        demo.write(tmp_path / name, "dev", questions=100)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_the_stream_is_the_same_on_every_python_version() -> None:
    text = json.dumps(demo.generate("dev", questions=100), ensure_ascii=False)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "dcfba216316cc867569ca22b341fa9dbd07b2f07a8faa63032b8a91b9c9e4c1c"
    )


def test_another_seed_gives_other_passages() -> None:
    one, two = (demo.generate("dev", seed, 50) for seed in (1, 2))
    assert not {p["context"] for p in paragraphs(one)} & {p["context"] for p in paragraphs(two)}


def test_written_text_is_not_escaped(tmp_path: Path) -> None:
    demo.write(tmp_path / "dev.json", "dev", questions=500)
    text = (tmp_path / "dev.json").read_text(encoding="utf-8")
    assert "\\u" not in text
    assert json.loads(text) == demo.generate("dev", questions=500)


@pytest.mark.parametrize(("split", "count"), [("dev", 1200), ("train", 20000)])
def test_counts_and_unique_ids(split: str, count: int) -> None:
    ids = [question["id"] for _, question in questions(demo.generate(split))]
    assert len(ids) == len(set(ids)) == count
    assert all(len(one) == 24 for one in ids)


@pytest.mark.parametrize("expected", [1, 3, 7, 64])
def test_any_number_of_questions(expected: int) -> None:
    assert len(list(questions(demo.generate("dev", questions=expected)))) == expected


def test_every_answer_is_at_its_start(dev: dict[str, Any], train: dict[str, Any]) -> None:
    for context, question in [*questions(dev), *questions(train)]:
        for answer in question["answers"]:
            start = answer["answer_start"]
            assert answer["text"]
            assert context[start : start + len(answer["text"])] == answer["text"]


def test_three_references_in_dev_of_which_two_agree(dev: dict[str, Any], train: dict[str, Any]) -> None:
    texts = [[answer["text"] for answer in question["answers"]] for _, question in questions(dev)]
    assert {len(three) for three in texts} == {3}
    assert {len(set(three)) for three in texts} == {1, 2}
    assert {len(question["answers"]) for _, question in questions(train)} == {1}


def test_train_and_dev_share_no_passage(dev: dict[str, Any], train: dict[str, Any]) -> None:
    assert not {p["context"] for p in paragraphs(dev)} & {p["context"] for p in paragraphs(train)}


def test_the_shape_is_that_of_squad(dev: dict[str, Any]) -> None:
    assert list(dev) == ["version", "data"]
    assert dev["version"] == "1.1"
    assert {tuple(article) for article in dev["data"]} == {("title", "paragraphs")}
    assert {tuple(paragraph) for paragraph in paragraphs(dev)} == {("context", "qas")}
    assert {tuple(question) for _, question in questions(dev)} == {("id", "question", "answers")}


def test_all_kinds_of_subjects_and_scripts_appear(dev: dict[str, Any]) -> None:
    asked = " ".join(question["question"] for _, question in questions(dev))
    for words in ("born", "mayor", "revenue", "captain", "translated", "architect"):
        assert words in asked
    text = " ".join(paragraph["context"] for paragraph in paragraphs(dev))
    for character in "éöÅ“’–€£αо":
        assert character in text


def test_most_questions_need_the_subject() -> None:
    """In most passages another subject has the relation of the question."""
    draw = Draw(0)
    passages = [compose(draw, demo.fact_count(draw)) for _ in range(300)]
    pairs = [(passage, fact) for passage in passages for fact in passage.facts]
    shared = sum(sum(other.relation is fact.relation for other in passage.facts) > 1 for passage, fact in pairs)
    assert shared > 0.6 * len(pairs)


def test_lengths_are_like_squads(dev: dict[str, Any]) -> None:
    """SQuAD's have a median of 166 tokens and a 5th percentile of 91; 4 % are cut at 384."""
    vocabulary = WordPiece(VOCAB)
    lengths = [
        len(vocabulary.encode(qa["question"])) + len(vocabulary.encode(paragraph["context"])) + 3
        for article in dev["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
    assert 150 <= np.median(lengths) <= 185
    assert 75 <= np.percentile(lengths, 5) <= 105
    assert 0.02 <= np.mean(np.array(lengths) > 384) <= 0.08


def test_a_passage_has_the_requested_number_of_facts() -> None:
    for expected in (1, 2, 3, 10, 40):
        passage = compose(Draw(expected), expected)
        assert len(passage.facts) == expected
        assert len({(fact.subject, fact.relation.statements) for fact in passage.facts}) == expected
        for fact in passage.facts:
            assert passage.text[fact.answer_start : fact.answer_end].lower() == fact.value.answer.lower()
            assert fact.start <= fact.answer_start < fact.answer_end <= fact.end


@pytest.mark.parametrize("kind", KINDS)
def test_every_template_names_its_subject_and_value(kind: SubjectKind) -> None:
    for relation in kind.relations:
        assert any(text.startswith("{s} ") for text in relation.statements)
        assert all(text.count("{s}") == text.count("{v}") == 1 for text in relation.statements)
        assert all(text.count("{s}") == 1 and text.endswith("?") for text in relation.questions)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="dev, train"):
        demo.generate("test")
