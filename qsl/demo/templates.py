"""What can be said of a kind of subject: its relations, each with statements and questions.

A statement that opens with `{s}` is a verb phrase after its subject, so two of them can share one; the words of a
question differ from its statements' in a fixed way, so that reading needs paraphrase but no knowledge of the world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qsl.demo.seeded_choice import Draw
from qsl.demo.values import Value


@dataclass(frozen=True)
class Relation:
    """How a kind of fact is drawn, stated and asked for."""

    make: Callable[[Draw], Value]
    statements: tuple[str, ...]  # {s} the subject, {v} the value
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of subject: how it is called for short, and its relations."""

    noun: str  # "the town"
    relations: tuple[Relation, ...]


def relation(make: Callable[[Draw], Value], statements: str, questions: str) -> Relation:
    """Alternatives are parted by a bar; every question ends with its mark."""
    asked = tuple(f"{question.strip()}?" for question in questions.split("|"))
    return Relation(make, tuple(text.strip() for text in statements.split("|")), asked)
