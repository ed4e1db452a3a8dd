"""Instances: the golden hashes, the edges of the algorithm, and C++ against its twin on random texts."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paths import ASSETS

from training.shards.fingerprint import fingerprint
from training.text import engine, generated
from training.text.articles import from_lists
from training.text.engine import NATIVE, PYTHON, Engine
from training.text.errors import TextError
from training.text.native import library
from training.text.recipe import Recipe
from training.text.wordpiece import Tokenizer

TOKENIZER = Tokenizer(ASSETS / "demo" / "vocab.txt")
CASED = Tokenizer(TOKENIZER.path, is_cased=True)
ENGINES = [PYTHON, NATIVE] if library.find() else [PYTHON]
needs_both = pytest.mark.skipif(len(ENGINES) < 2, reason="the native library was not built")
# Words, blanks of all kinds, letters with accents and without case, marks, Chinese, controls, private use, unassigned.
ALPHABET = (
    "abcXYZ019 .,;:!?'\"-$€%&(){}[]^`~|<>=+*/\\@#_éÀüñçøßŁœžΣςЖдيשλİ中文﨑한の–—“”’…\n\n\t\r\u00a0\u200b\u202f"
    "\u2028\u0085\x1c\x0b\x0c\ufffd\x00\x07\x7f\ue000\u0378\U0001f600\U00020000\u3000"
)


@pytest.mark.parametrize("one", ENGINES, ids=lambda one: one.name)
def test_the_golden_instances_come_out(one: Engine) -> None:
    """Made by the reference's own script of this text."""
    recipe = Recipe(max_seq_length=128, max_predictions=20, dupe_factor=3, seed=12345)
    made = engine.instances(generated.text("dev", 11, 60).encode(), TOKENIZER, recipe, one)
    assert len(made) == 396
    assert fingerprint(made) == "731eb5844db9a90e23d5e6fe45e755f72aa892e408af7f67cd2a1b04bbbb3a9b"


# Text, and what the reference's own script makes of it: the number of instances and their fingerprint.
EDGES: dict[str, tuple[str, int, str]] = {
    "one sentence": (
        "the walls are of limestone\n",
        2,
        "5289eb3108ccbda8815869cc476864154a6cfd09c0eee7761599d0bd4832f8aa",
    ),
    "one article": (
        "the walls\nof the hall\nare of limestone\n" * 3,
        4,
        "b8e15ff7dad71a51a0305df976730f4f5eefeda3315ccc3173c8968ec9ed9baa",
    ),
    "articles of one sentence": (
        "the walls\n\nof the hall\n\nare of limestone\n",
        6,
        "f7861d95d71e15ebd619ff9beff8f1999851c676f35b6030485b7b5336c46b18",
    ),
    "sentences beyond the length": (
        "the walls of the hall are of limestone . " * 9 + "\n\na\nb\n",
        5,
        "e3d80b858a5c22b41bcc8e7d3ee9b0f88a3c05b642d151ec13f8f38435080db0",
    ),
    "nothing": ("\n\n \n", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
}


@pytest.mark.parametrize("one", ENGINES, ids=lambda one: one.name)
@pytest.mark.parametrize("case", EDGES)
def test_edges_are_as_in_the_reference(one: Engine, case: str) -> None:
    text, number, expected = EDGES[case]
    made = engine.instances(text.encode(), TOKENIZER, Recipe(max_seq_length=24, max_predictions=4, dupe_factor=2), one)
    assert (len(made), fingerprint(made)) == (number, expected)


texts = st.lists(st.text(ALPHABET, max_size=40), max_size=12).map("\n".join)
lists = st.lists(st.lists(st.lists(st.integers(5, 900), max_size=30), max_size=6), max_size=8)
recipes = st.builds(
    Recipe,
    max_seq_length=st.integers(8, 70),
    max_predictions=st.integers(1, 5),
    dupe_factor=st.integers(1, 3),
    seed=st.integers(0, 1 << 40),
    short_seq_prob=st.sampled_from([0.0, 0.1, 1.0]),
    masked_lm_prob=st.sampled_from([0.0, 0.15, 0.5, 1.0]),
)


@needs_both
@settings(max_examples=150)
@given(texts, st.booleans())
@example("a" * 200 + " " + "b" * 201 + " [MASK] ##a\n", False)
@example("".join(map(chr, range(1, 0x3100))), False)
@example("\n".join(map(chr, range(1, 0x3100))), False)  # which of them make a blank line
def test_cpp_reads_a_text_as_its_twin(text: str, is_cased: bool) -> None:
    tokenizer = CASED if is_cased else TOKENIZER
    native, plain = (one.encode(text.encode(), tokenizer) for one in (NATIVE, PYTHON))
    for name in ("token_ids", "sentences", "articles"):
        assert np.array_equal(getattr(native, name), getattr(plain, name)), name


@needs_both
@settings(max_examples=150)
@given(lists, recipes)
def test_cpp_draws_as_its_twin(articles: list[list[list[int]]], recipe: Recipe) -> None:
    generators = Random(recipe.seed), Random(recipe.seed)
    native, plain = (
        one.make(from_lists(articles), TOKENIZER, recipe, rng)
        for one, rng in zip((NATIVE, PYTHON), generators, strict=True)
    )
    assert native == plain
    assert native.check(len(TOKENIZER)).masked_counts.max(initial=0) <= recipe.max_predictions
    assert generators[0].getstate() == generators[1].getstate()  # each goes on where the other stands


@needs_both
def test_a_large_vocabulary(tmp_path: Path) -> None:
    """Ids of more than 16 bits."""
    path = tmp_path / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in [*TOKENIZER.tokens, *(f"[{i}]" for i in range(1 << 16))]))
    text, recipe = generated.text("dev", 1, 20).encode(), Recipe(dupe_factor=1)
    native, plain = (engine.instances(text, Tokenizer(path), recipe, one) for one in (NATIVE, PYTHON))
    assert native == plain
    assert native.token_ids.max() > 1 << 16


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"max_seq_length": 4}, "--max-seq-length from 5"),
        ({"max_seq_length": 16, "max_predictions": 14}, "--max-predictions from 1 to 13"),
        ({"max_predictions": 0}, "--max-predictions"),
        ({"dupe_factor": 0}, "--dupe-factor"),
        ({"short_seq_prob": 1.5}, "--short-seq-prob"),
        ({"masked_lm_prob": float("nan")}, "--masked-lm-prob"),
    ],
)
def test_numbers_that_are_refused(numbers: dict[str, float], words: str) -> None:
    with pytest.raises(TextError, match=words):
        Recipe(**numbers)  # type: ignore[arg-type]  # of mixed types
