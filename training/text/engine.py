"""The two ways from a text to instances: in C++ where it was built, else in plain Python; with the same results."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from training.shards.instances import Instances
from training.text import articles, pairing
from training.text.articles import Articles
from training.text.native import calls, library
from training.text.recipe import Recipe
from training.text.wordpiece import Tokenizer


class Engine(NamedTuple):
    """The two steps; see the twins for what they do."""

    name: str
    encode: Callable[[bytes, Tokenizer], Articles]  # of text in UTF-8, checked
    make: Callable[[Articles, Tokenizer, Recipe, Random], Instances]


PYTHON = Engine("Python", articles.encode, pairing.make)
NATIVE = Engine("C++", calls.encode, calls.make)


def fastest() -> Engine:
    """C++ if its library was built and is whole."""
    return NATIVE if library.find() else PYTHON


def instances(content: bytes, tokenizer: Tokenizer, recipe: Recipe, engine: Engine) -> Instances:
    """The instances of a part, a text in UTF-8: the same for the same content, vocabulary and recipe."""
    return engine.make(engine.encode(content, tokenizer), tokenizer, recipe, Random(recipe.seed))  # noqa: S311 - as the reference does
