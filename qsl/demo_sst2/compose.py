"""Composes a sentence with a given label: a pattern combines clauses, and one of them decides the label.

Most patterns contain words of both polarities, and in another order or with "not" elsewhere the same words would mean
the opposite. So the set of words says little, and the model must read them in order.
"""

from __future__ import annotations

from collections.abc import Callable

from qsl.demo.seeded_choice import Draw
from qsl.demo_sst2 import words

DrawPhrase = Callable[[Draw, int], str]  # label (0 negative, 1 positive) → text


def compose(draw: Draw, label: int) -> str:
    """One sentence with a capital letter, a full stop and no tab."""
    text = draw.pick(_PATTERNS)(draw, label)
    if draw.chance(0.2):
        text = f"{draw.pick(words.ASIDES)}, {text}"
    return f"{text[0].upper()}{text[1:]}{draw.pick('...!')}"


def _adjective(draw: Draw, label: int) -> str:
    return draw.pick(words.ADJECTIVES[label])


def _predicate(draw: Draw, label: int) -> str:
    """A predicate: said plainly, or by denying the opposite."""
    return draw.pick(_DENIED if draw.chance(0.5) else _PLAIN)(draw, label)


def _is_adjective(draw: Draw, label: int) -> str:
    degree = f"{draw.pick(words.GREATLY)} " if draw.chance(0.3) else ""
    return f"is {degree}{_adjective(draw, label)}"


def _is_not(draw: Draw, label: int) -> str:
    return f"is {draw.pick(words.NOT)} {_adjective(draw, 1 - label)}"


def _neither(draw: Draw, label: int) -> str:
    first, second = draw.sample(words.ADJECTIVES[1 - label], 2)
    return f"is neither {first} nor {second}"


_PLAIN: tuple[DrawPhrase, ...] = (
    _is_adjective,
    _is_adjective,
    lambda draw, label: draw.pick(words.VERBS[label]),
    lambda draw, label: f"is full of {draw.pick(words.QUALITIES[label])}",
    lambda draw, label: f"turns out to be {draw.pick(words.OUTCOMES[label])}",
)
_DENIED: tuple[DrawPhrase, ...] = (
    _is_not,
    _is_not,
    _neither,
    lambda draw, label: f"does not {draw.pick(words.INFINITIVES[1 - label])}",
    lambda draw, label: f"has no {draw.pick(words.QUALITIES[1 - label])}",
    lambda draw, label: f"is without {draw.pick(words.QUALITIES[1 - label])}",
)


def _clause(draw: Draw, label: int) -> str:
    return f"{draw.pick(words.SUBJECTS)} {_predicate(draw, label)}"


def _both(draw: Draw, label: int) -> str:
    return f"{_clause(draw, label)}, and {_clause(draw, label)}"


def _but(draw: Draw, label: int) -> str:
    """The clause after "but" decides."""
    return f"{_clause(draw, 1 - label)}, {draw.pick(('but', 'yet'))} {_clause(draw, label)}"


def _turn(draw: Draw, label: int) -> str:
    """The end decides."""
    before, after = _adjective(draw, 1 - label), _adjective(draw, label)
    return f"{draw.pick(words.SUBJECTS)} is {before} {draw.pick(words.FIRST)}, but {after} {draw.pick(words.LAST)}"


def _although(draw: Draw, label: int) -> str:
    """The main clause decides, in either position."""
    concession = f"{draw.pick(('although', 'even though', 'while'))} {_clause(draw, 1 - label)}"
    main = _clause(draw, label)
    return f"{concession}, {main}" if draw.chance(0.5) else f"{main}, {concession}"


def _degrees(draw: Draw, label: int) -> str:
    """The stronger word decides, in either order."""
    parts = [
        f"{draw.pick(words.SLIGHTLY)} {_adjective(draw, 1 - label)}",
        f"{draw.pick(words.GREATLY)} {_adjective(draw, label)}",
    ]
    return f"{draw.pick(words.SUBJECTS)} is {' and '.join(draw.shuffled(parts))}"


def _phrase(draw: Draw, label: int) -> str:
    """A noun with two adjectives, as short as a headline."""
    first, second = draw.sample(words.ADJECTIVES[label], 2)
    article = "an" if first[0] in "aeiou" else "a"
    return f"{article} {first} and {second} {draw.pick(words.THINGS)}"


def _expected(draw: Draw, label: int) -> str:
    """The result decides, not the expectation."""
    hoped, got = draw.pick(words.OUTCOMES[1 - label]), draw.pick(words.OUTCOMES[label])
    return draw.pick((f"I expected {hoped} and got {got}", f"what I got was {got}, where I had expected {hoped}"))


def _instead(draw: Draw, label: int) -> str:
    return f"{draw.pick(words.SUBJECTS)} is {_adjective(draw, label)} rather than {_adjective(draw, 1 - label)}"


def _more_than(draw: Draw, label: int) -> str:
    found, lacking = draw.pick(words.QUALITIES[label]), draw.pick(words.QUALITIES[1 - label])
    return f"there is more {found} than {lacking} in {draw.pick(words.SUBJECTS)}"


_PATTERNS: tuple[DrawPhrase, ...] = (
    *(_clause, _clause, _clause, _both, _but, _but, _turn, _although, _although, _degrees),
    *(_phrase, _expected, _instead, _more_than),
)
