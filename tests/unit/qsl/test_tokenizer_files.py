"""Whether a vocabulary is cased, from every file that may say so; and what is refused as another tokenizer."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer

from accuracy.text import join_pieces, passage_text
from qsl.base import DatasetError
from qsl.squad import SquadDataSet
from qsl.sst2 import Sst2DataSet
from qsl.tokenizer_files import TextRules
from qsl.wordpiece import WordPiece

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNCASED = [*SPECIAL, "who", "founded", "grunson", "motors", "?", "東", "##京"]
CASED = [*SPECIAL, "Who", "founded", "Grünson", "Motors", "?", "東", "##京"]
SENTENCE = "Who founded Grünson Motors?"
NORMALIZER = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}


def tokenizer_json(tokens: list[str], **changes: Any) -> dict[str, Any]:
    """What `save_pretrained` of transformers 5 writes, as far as tokens depend on it."""
    return {
        "added_tokens": [{"id": number, "content": token, "special": True} for number, token in enumerate(SPECIAL)],
        "normalizer": {**NORMALIZER, "strip_accents": None, "lowercase": tokens is UNCASED},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {token: i for i, token in enumerate(tokens)}},
        **changes,
    }


def write(folder: Path, **files: Any) -> Path:
    """`vocab` as text; other names as JSON; returns the vocabulary's path."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        if name == "vocab":
            (folder / "vocab.txt").write_text("\n".join(content), encoding="utf-8")
        else:
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder / ("vocab.txt" if "vocab" in files else "tokenizer.json")


RULES: dict[str, tuple[dict[str, Any], TextRules]] = {
    "nothing says so, small letters": ({"vocab": UNCASED}, TextRules()),
    "nothing says so, capitals": ({"vocab": CASED}, TextRules(False, False)),
    "tokenizer_config.json": (
        {"vocab": CASED, "tokenizer_config": {"do_lower_case": False}},
        TextRules(False, False),
    ),
    "its own words count, not the letters": (
        {"vocab": CASED, "tokenizer_config": {"do_lower_case": True}},
        TextRules(),
    ),
    "accents kept": (
        {"vocab": UNCASED, "tokenizer_config": {"do_lower_case": True, "strip_accents": False}},
        TextRules(True, False),
    ),
    "Chinese words whole": (
        {"vocab": UNCASED, "tokenizer_config": {"tokenize_chinese_chars": False}},
        TextRules(True, True, False),
    ),
    "tokenizer.json alone": ({"tokenizer": tokenizer_json(CASED)}, TextRules(False, False)),
    "tokenizer.json alone, uncased": ({"tokenizer": tokenizer_json(UNCASED)}, TextRules()),
    "tokenizer.json next to vocab.txt": (
        {
            "vocab": UNCASED,
            "tokenizer": tokenizer_json(UNCASED, normalizer={**NORMALIZER, "lowercase": False, "strip_accents": True}),
        },
        TextRules(False, True),
    ),
    "tokenizer_config.json before tokenizer.json": (
        {"tokenizer": tokenizer_json(UNCASED), "tokenizer_config": {"do_lower_case": False}},
        TextRules(False, False),
    ),
}


@pytest.mark.parametrize("case", RULES)
def test_the_rules_are_those_that_the_files_state(tmp_path: Path, case: str) -> None:
    files, rules = RULES[case]
    vocab = write(tmp_path, **files)
    found = WordPiece(vocab)
    assert found.rules == rules
    assert {file.path.name for file in found.stated_in} <= {f"{name}.json" for name in files} - {vocab.name}
    assert not files.keys() & {"tokenizer_config"} or found.stated_in
    assert found.tokens in (CASED, UNCASED)


LETTERS = "abxyzABXYZéÀàüñßЖж東京,?éàñ"
PIECES = list(dict.fromkeys([*SPECIAL, *LETTERS, *(f"##{char}" for char in LETTERS)]))
Pair = tuple[WordPiece, BertWordPieceTokenizer]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Our tokenizer and the library's, for every combination of rules."""
    found = []
    for lower, strip, chinese in product((True, False), repeat=3):
        config = {"do_lower_case": lower, "strip_accents": strip, "tokenize_chinese_chars": chinese}
        ours = WordPiece(write(tmp_path_factory.mktemp("rules"), vocab=PIECES, tokenizer_config=config))
        rules = {"lowercase": lower, "strip_accents": strip, "handle_chinese_chars": chinese}
        found.append((ours, BertWordPieceTokenizer(dict(ours.ids), **rules)))
    return found


@settings(max_examples=60, deadline=None)
@given(st.text("abXYZéÀüñß Ж한東京,?\t", max_size=24))
def test_every_rule_means_what_the_library_means(pairs: list[Pair], text: str) -> None:
    for ours, theirs in pairs:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_a_cased_model_reads_and_answers_in_its_own_letters(tmp_path: Path) -> None:
    vocabulary = WordPiece(write(tmp_path, vocab=CASED))
    tokens = [vocabulary.tokens[i] for i in vocabulary.encode(SENTENCE)]
    assert tokens == ["Who", "founded", "Grünson", "Motors", "?"]
    assert passage_text(join_pieces(tokens[2:4]), "by Grünson Motors.", vocabulary.rules) == "Grünson Motors"


@pytest.mark.parametrize("task", [SquadDataSet, Sst2DataSet])
def test_cached_features_of_one_casing_are_not_those_of_the_other(tmp_path: Path, task: Any) -> None:
    """The vocabulary's file is the same: only the file next to it differs."""
    squad = {"paragraphs": [{"context": SENTENCE, "qas": [{"id": "a", "question": "Who?", "answers": []}]}]}
    (tmp_path / "squad").write_text(json.dumps({"data": [squad]}), encoding="utf-8")
    (tmp_path / "sst2").write_text(f"sentence\tlabel\n{SENTENCE}\t1\n", encoding="utf-8")
    file = tmp_path / task.__name__.lower().removesuffix("dataset")
    digests = set()
    for lower in (True, False):
        vocab = write(tmp_path / "model", vocab=CASED, tokenizer_config={"do_lower_case": lower})
        digests.add(task(file, vocab, tmp_path / "cache").features.digest())
    assert len(digests) == 2


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another model": ({"tokenizer": tokenizer_json(CASED, model={"type": "BPE", "vocab": {"a": 0}})}, "BPE"),
    "a list of tokens": ({"tokenizer": tokenizer_json(CASED, model={"vocab": [["a", 1]]})}, "a list"),
    "gaps": ({"tokenizer": tokenizer_json(CASED, model={"vocab": {"a": 7, **dict.fromkeys(SPECIAL, 3)}})}, "ids from"),
    "added words": ({"tokenizer": tokenizer_json(CASED, added_tokens=[{"id": 12, "content": "<e1>"}])}, "<e1>"),
    "added words next to vocab.txt": (
        {
            "vocab": CASED,
            "tokenizer_config": {"added_tokens_decoder": {"3": {"content": "[SEP]"}, "12": {"content": "<e>"}}},
        },
        "<e>",
    ),
    "other text rules": ({"tokenizer": tokenizer_json(CASED, normalizer={"type": "NFKC"})}, "NFKC"),
    "no text rules": ({"tokenizer": tokenizer_json(CASED, normalizer=None)}, "normalizer none"),
    "other words": ({"tokenizer": tokenizer_json(CASED, pre_tokenizer={"type": "Whitespace"})}, "Whitespace"),
    "not JSON": ({"tokenizer": "x"}, "instead of an object"),
    "Japanese": ({"vocab": CASED, "tokenizer_config": {"tokenizer_class": "BertJapaneseTokenizer"}}, "Japanese"),
    "word pieces only": ({"vocab": CASED, "tokenizer_config": {"do_basic_tokenize": False}}, "do_basic_tokenize"),
    "text for true": ({"vocab": CASED, "tokenizer_config": {"do_lower_case": "False"}}, "'False' instead of true"),
    "a list for settings": ({"vocab": CASED, "tokenizer_config": []}, "a list instead of an object"),
    "a pointer": ({"vocab": ["version https://git-lfs.github.com/spec/v1", "oid sha256:0"]}, "git lfs pull"),
    "a web page": ({"vocab": ["<!DOCTYPE html>", "<html>"]}, "web page"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_tokenizer_is_refused_by_what_it_is(tmp_path: Path, case: str) -> None:
    files, words = REFUSED[case]
    with pytest.raises(DatasetError, match=words) as caught:
        WordPiece(write(tmp_path, **files))
    assert "--vocab FILE" in str(caught.value)


def test_a_tokenizer_of_another_kind_next_to_vocab_txt_says_nothing_about_it(tmp_path: Path) -> None:
    other = tokenizer_json(CASED, model={"type": "BPE", "vocab": {"a": 0}}, normalizer={"type": "NFC"})
    rules = asdict(WordPiece(write(tmp_path, vocab=UNCASED, tokenizer=other)).rules)
    assert rules == asdict(TextRules())
