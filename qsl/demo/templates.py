"""The relations of a kind of subject, each with templates of statements and questions.

A statement that starts with `{s}` is a verb phrase after its subject, so two of them can share the subject. Questions
use other words than statements, so that answering needs paraphrase, but no knowledge of the world.
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
class SubjectKind:
    """A kind of subject: its short name and its relations."""

    noun: str  # "the town"
    relations: tuple[Relation, ...]


def relation(make: Callable[[Draw], Value], statements: str, questions: str) -> Relation:
    """A relation from alternatives that are separated by bars; questions get their question mark here."""
    asked = tuple(f"{question.strip()}?" for question in questions.split("|"))
    return Relation(make, tuple(text.strip() for text in statements.split("|")), asked)
