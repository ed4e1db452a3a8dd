"""Random values of facts: people, places, dates, amounts, phrases.

A `Value` has two spans, because annotators disagree on how much to mark: the usual answer and another one ("Medal" with
its article, a captain with the title). Names come from finite pools, so that a small vocabulary has most of them as
whole words; one in ten is composed of syllables, so that memorizing does not help.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qsl.demo.seeded_choice import Draw

FRESH = 0.1

WOMEN = (
    "Ada Adela Agnes Alma Amalia Åsa Beata Berta Camilla Cecilia Clara Cora Dagmar Delia Dora Edith Elena Elsa Emma "
    "Erika Esther Eva Fanny Flora Frida Greta Hanna Hedda Helena Ida Inés Irene Iris Isabel Jana Judith Julia Karin "
    "Klara Laura Lena Lidia Linda Lotte Lucía Magda María Marta Maud Mina Nadia Nina Nora Olga Paula Petra Renée "
    "Rosa Ruth Sara Selma Sofia Sylvia Tilda Ursula Vera Viola Wanda Zoé"
).split()
MEN = (
    "Adam Albert Alfred Anton Arthur August Axel Bruno Carl César Daniel David Edgar Emil Erik Ernst Felix Franz "
    "Frederik Georg Gustav Hans Harald Henrik Hugo Isak Ivan Jakob Jan João Johan José Karel Konrad Lars Leo "
    "Louis Łukasz Magnus Marc Martin Max Miguel Nils Noël Oskar Otto Pablo Paul Pedro Peter Rafael René Robert Rolf "
    "Rudolf Samuel Simon Stefan Sven Theo Thomas Tobias Ulrich Victor Walter Willem"
).split()

_FIRST = (
    "Ash Berg Brand Carl Dahl Eck Falk Grün Hag Holm Kess Lind Lor Mar Nord Oster Pel Rask Sand Tor Ul Ver West Zell"
)
_LAST = "berg ström mann son wood ley feld er hurst ini"
_ONSETS = "Al Bar Bel Cor Dan Dor Es Fen Gal Har Ist Kal Kor Lan Lys Mel Nar Ol Por Ros Sal Tam Tre Val Vor Win Yar Zan"
_ENDS = "ad bury dale den grad ia ford mar mouth na stad ton vik wick"
_FRESH_MIDDLE = "a el i or u an e ov is ar".split()


def _pool(first: str, last: str, keep: int) -> list[str]:
    pairs = [head + tail for head in first.split() for tail in last.split()]
    return Draw(len(pairs)).sample(pairs, keep)


SURNAMES = _pool(_FIRST, _LAST, 180)
PLACES = _pool(_ONSETS, _ENDS, 240)


@dataclass(frozen=True)
class Value:
    """The text in the passage, the answer in it, and another span that an annotator may mark."""

    text: str
    answer: str
    other: str


def plain(text: str) -> Value:
    """A value with the same text, answer and other span."""
    return Value(text, text, text)


def _name(draw: Draw, pool: list[str], first: str, last: str) -> str:
    if not draw.chance(FRESH):
        return draw.pick(pool)
    return draw.pick(first.split()) + draw.pick(_FRESH_MIDDLE) + draw.pick(last.split())


def surname(draw: Draw) -> str:
    """A surname from the pool, or a new one."""
    return _name(draw, SURNAMES, _FIRST, _LAST)


def place_name(draw: Draw) -> str:
    """The name of a place from the pool, or a new one."""
    return _name(draw, PLACES, _ONSETS, _ENDS)


def person_name(draw: Draw) -> str:
    """A given name and a surname."""
    return f"{draw.pick(draw.pick((WOMEN, MEN)))} {surname(draw)}"


def place(draw: Draw) -> Value:
    """A place, sometimes with its kind ("the town of …")."""
    name = place_name(draw)
    if not draw.chance(0.15):
        return plain(name)
    return Value(f"the {draw.pick(('town', 'village', 'city'))} of {name}", name, name)


def person(draw: Draw) -> Value:
    """A person, sometimes with a title; the other span is the surname or includes the title."""
    name = person_name(draw)
    if not draw.chance(0.25):
        return Value(name, name, name.split()[1])
    title = draw.pick(("Captain", "Professor", "Doctor", "Judge"))
    return Value(f"{title} {name}", name, f"{title} {name}")


MONTHS = "January February March April May June July August September October November December".split()


DrawValue = Callable[[Draw], Value]


def date(low: int, high: int) -> DrawValue:
    """Draws a day in these years; the other span has no day."""

    def make(draw: Draw) -> Value:
        rest = f"{draw.pick(MONTHS)} {draw.between(low, high)}"
        text = f"{draw.between(1, 28)} {rest}"
        return Value(text, text, rest)

    return make


def year(low: int, high: int) -> DrawValue:
    """Draws a year, both bounds included."""
    return lambda draw: plain(str(draw.between(low, high)))


def month(draw: Draw) -> Value:
    """A month, sometimes "early" or "late"."""
    name = draw.pick(MONTHS)
    return Value(f"{draw.pick(('early', 'late'))} {name}", name, name) if draw.chance(0.3) else plain(name)


def count(*scales: int) -> DrawValue:
    """A number with two leading digits at one of these scales, sometimes exact to the last digit."""

    def make(draw: Draw) -> Value:
        scale = draw.pick(scales)
        exact = draw.below(scale) if draw.chance(0.25) else 0
        number = f"{draw.between(11, 99) * scale + exact:,}"
        if exact or not draw.chance(0.3):
            return plain(number)
        word = draw.pick(("about", "nearly", "more than"))
        return Value(f"{word} {number}", number, f"{word} {number}")

    return make


def metres(low: int, high: int) -> DrawValue:
    """Draws a length in metres; the other span is the number."""

    def make(draw: Draw) -> Value:
        number = str(draw.between(low, high))
        return Value(f"{number} metres", f"{number} metres", number)

    return make


def money(draw: Draw) -> Value:
    """An amount with its currency."""
    sign = draw.pick(("€", "£", "$"))
    if draw.chance(0.5):
        return plain(f"{sign}{draw.between(2, 990)},{draw.between(1, 9)}00")
    amount = f"{draw.between(1, 99)}.{draw.between(1, 9)} million"
    return Value(sign + amount, sign + amount, amount)


def _with_article(name: str) -> Value:
    return Value(f"the {name}", name, f"the {name}")


def school(draw: Draw) -> Value:
    """A school, named after a place."""
    town = place_name(draw)
    kinds = (f"University of {town}", f"{town} Academy", f"{town} Institute", f"College of {town}")
    return _with_article(draw.pick(kinds))


def prize(draw: Draw) -> Value:
    """A prize, named after a person or a metal."""
    metal = draw.pick(("Gold", "Silver", "Royal", "National", "Northern"))
    return _with_article(f"{draw.pick((surname(draw), metal))} {draw.pick(('Medal', 'Prize', 'Award', 'Order'))}")


def river(draw: Draw) -> Value:
    """A river or a sound."""
    return _with_article(f"{draw.pick(('River', 'Sound'))} {place_name(draw)}")


_QUALITIES = "old rare black white blue heavy wooden iron painted dried early small fine foreign printed silver".split()
_OBJECTS = (
    "maps coins clocks bells boats lamps carpets books tools glass paper stones flags masks seeds shells ropes knives "
    "hats mirrors stamps wheels jars candles chairs drums letters pots nets buttons"
).split()
_TROUBLES = "illness strike quarrel scandal debt trial betrayal crisis dispute defeat".split()
_DISASTERS = "fire storm gale frost flood explosion earthquake blaze hurricane".split()


def goods(draw: Draw) -> Value:
    """A kind of goods with a quality; the other span is the noun."""
    noun = draw.pick(_OBJECTS)
    quality = f"{draw.pick(_QUALITIES)} {noun}"
    return Value(quality, quality, noun)


def _event(draw: Draw, qualities: tuple[str, ...], nouns: list[str]) -> Value:
    core = f"{draw.pick(qualities)} {draw.pick(nouns)}"
    return Value(f"a {core}", f"a {core}", core)


def trouble(draw: Draw) -> Value:
    """A misfortune of a person."""
    return _event(draw, ("long", "sudden", "great", "bitter", "painful", "second", "secret"), _TROUBLES)


def disaster(draw: Draw) -> Value:
    """A disaster of a place or a thing."""
    return _event(draw, ("sudden", "great", "severe", "second", "terrible", "winter"), _DISASTERS)


def company_name(draw: Draw) -> str:
    """The name of a company."""
    trades = ("Glassworks", "Brothers", "Press", "Mills", "& Sons", "Motors", "Shipyard", "Foundry", "Trading House")
    return f"{draw.pick((surname, place_name))(draw)} {draw.pick(trades)}"


def company(draw: Draw) -> Value:
    """A company."""
    return plain(company_name(draw))


def one_of(words: str) -> DrawValue:
    """Draws one of these words; an underscore stands for a space."""
    items = [word.replace("_", " ") for word in words.split()]
    return lambda draw: plain(draw.pick(items))
