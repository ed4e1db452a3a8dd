"""Lines into articles of sentences, by hand; and the text of the generated passages."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest

from qsl.tokenizer_files import SPECIAL
from training import pretrain_data
from training.text.articles import Articles, encode
from training.text.wordpiece import Tokenizer


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIAL, *"abc"]), encoding="utf-8")
    return Tokenizer(path)


def words(articles: Articles, tokenizer: Tokenizer) -> list[list[str]]:
    """The sentences of each article."""
    tokens = [tokenizer.tokens[number] for number in articles.token_ids]
    sentences = [" ".join(tokens[span]) for span in spans(articles.sentences.tolist())]
    return [sentences[span] for span in spans(articles.articles.tolist())]


def spans(bounds: list[int]) -> list[slice]:
    return [slice(start, stop) for start, stop in pairwise(bounds)]


CASES: dict[str, list[list[str]]] = {
    "a\nb c\n\nc\n": [["a", "b c"], ["c"]],
    "\n\na\n \t\x1c\u2003\nb": [["a"], ["b"]],  # blank lines at the start, of other blanks, no line end at the end
    "a\r\n\r\nb\r\n": [["a"], ["b"]],
    "a\n\u200b\nb\n": [["a", "b"]],  # no token, but not blank
    "\ufeffa\rb\x0b\u2028c": [["a b c"]],  # these end no line
    "b\x0cc": [["[UNK]"]],  # a form feed is dropped
    "\n \n": [],
}


@pytest.mark.parametrize("text", CASES, ids=ascii)
def test_articles_by_hand(tokenizer: Tokenizer, text: str) -> None:
    assert words(encode(text.encode(), tokenizer), tokenizer) == CASES[text]


def test_the_text_of_the_demo(tmp_path: Path) -> None:
    path = tmp_path / "passages.txt"
    assert pretrain_data.main(["demo", str(path), "--split", "dev", "--seed", "11", "--passages", "60"]) == 0
    expected = "8c0b831331c5ac92c4d46b7aec42a04a4c97544b1d52279fff966ab96fb2b13a"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected


def test_a_number_of_passages_that_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrain_data.main(["demo", str(tmp_path / "a"), "--passages", "0"]) == 2
    assert "expected --passages from 1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
