"""Composes a passage from facts about a main subject and others of its kind, with the position of every answer.

The others mostly share the main subject's relations, so the passage has several values of the right kind and only the
subject decides which is the answer. A pronoun always refers to the subject of the sentence before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from qsl.demo import values
from qsl.demo.people_and_towns import PERSON, TOWN
from qsl.demo.seeded_choice import Draw
from qsl.demo.templates import Relation, SubjectKind
from qsl.demo.values import Value
from qsl.demo.works_and_species import BUILDING, COMPANY, NOVEL, SHIP

KINDS = (PERSON, TOWN, COMPANY, SHIP, NOVEL, BUILDING)

OPENERS = ("Later, ", "In fact, ", "By most accounts, ", "As far as is known, ", "According to local records, ")
FILLERS = (
    "Little else is recorded about these years.",
    "The archives – or what is left of them – say no more.",
    "Opinions on this differ; the sources do not.",
    "As one visitor put it, this was “hardly a surprise”.",
    "Not everybody was pleased (some said so loudly).",
    "Much of this is told in the local museum’s guide.",
    "The details were long kept secret and came to light only by chance.",
    "Several letters from that time have been preserved.",
    "Historians have returned to the question more than once.",
    "A small exhibition – open on Sundays – deals with the matter.",
    "Earlier accounts were often careless with names and numbers.",
    "The newspapers of the day hardly mentioned it.",
)
_CYRILLIC = str.maketrans(
    "abcdefghiklmnoprstuvwyzABCDEFGHIKLMNOPRSTUVWYZ", "абцдефгхиклмнопрстуввызАБЦДЕФГХИКЛМНОПРСТУВВЫЗ"
)
_GREEK = str.maketrans(
    "abcdefghiklmnoprstuvwyzABCDEFGHIKLMNOPRSTUVWYZ", "αβκδεφγχικλμνοπρστυββυζΑΒΚΔΕΦΓΧΙΚΛΜΝΟΠΡΣΤΥΒΒΥΖ"
)


@dataclass(frozen=True)
class Subject:
    """The subject of some sentences, and its names in them."""

    name: str
    short: str  # "Lindberg", "the town"
    pronoun: str


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One clause of the passage: characters `start` to `end`, with the answer at `answer_start`."""

    subject: Subject
    relation: Relation
    value: Value
    start: int
    end: int
    answer_start: int

    @property
    def answer_end(self) -> int:
        """The position after the last character of the answer."""
        return self.answer_start + len(self.value.answer)


@dataclass
class Passage:
    """A text and its facts, in the order of the text."""

    text: str = ""
    facts: list[Fact] = field(default_factory=list)


Planned = tuple[Subject, Relation, Value]


def compose(draw: Draw, fact_count: int) -> Passage:
    """A passage with `fact_count` facts; the first subject is the main one."""
    passage = Passage()
    last: Subject | None = None
    for number, block in enumerate(_blocks(draw, fact_count)):
        for sentence in _sentences(draw, block):
            last = _write_sentence(draw, passage, sentence, last)
            if number == 0 and len(passage.facts) == len(sentence):
                _gloss(draw, passage, sentence[0][0])
    return passage


def _blocks(draw: Draw, fact_count: int) -> list[list[Planned]]:
    """Lists of facts about one subject each: the main subject comes first and may return later."""
    kind = draw.pick(KINDS)
    main_count = min(max(1, fact_count * 3 // 5), len(kind.relations))
    main_relations = draw.sample(kind.relations, main_count)
    taken: set[str] = set()
    subjects = _subjects(draw, kind, taken)
    main = _plan(draw, next(subjects), main_relations, taken)
    others = [
        _plan(draw, next(subjects), _shared(draw, kind, main_relations, count), taken)
        for count in _shares(draw, fact_count - main_count)
    ]
    cut = draw.between(2, main_count) if main_count > 3 and draw.chance(0.5) else main_count
    later = [block for block in [main[cut:], *others] if block]
    return [main[:cut], *draw.shuffled(later)]


def _shares(draw: Draw, count: int) -> Iterator[int]:
    """Numbers of facts for the other subjects, one to four each, `count` in total."""
    while count > 0:
        share = min(count, draw.between(1, 4))
        count -= share
        yield share


def _shared(draw: Draw, kind: SubjectKind, main: list[Relation], count: int) -> list[Relation]:
    """`count` relations, mostly those of the main subject."""
    chosen = draw.sample(main, sum(draw.chance(0.8) for _ in range(count)))
    rest = [relation for relation in kind.relations if relation not in chosen]
    return draw.shuffled(chosen + draw.sample(rest, count - len(chosen)))


def _plan(draw: Draw, subject: Subject, relations: list[Relation], taken: set[str]) -> list[Planned]:
    return [(subject, relation, _new(draw, relation.make, taken)) for relation in relations]


def _new(draw: Draw, make: Callable[[Draw], Value], taken: set[str]) -> Value:
    """A value that is not in this passage yet (nearly always: small pools may be exhausted in long passages)."""
    value = make(draw)
    for _ in range(20):
        if value.answer not in taken:
            break
        value = make(draw)
    taken.add(value.answer)
    return value


def _subjects(draw: Draw, kind: SubjectKind, taken: set[str]) -> Iterator[Subject]:
    while True:
        subject = _subject(draw, kind)
        if subject.name not in taken and (kind.noun or subject.short not in taken):
            taken.update((subject.name, subject.short))
            yield subject


def _subject(draw: Draw, kind: SubjectKind) -> Subject:
    if kind is PERSON:
        woman = draw.chance(0.5)
        given, surname = draw.pick(values.WOMEN if woman else values.MEN), values.surname(draw)
        return Subject(f"{given} {surname}", surname, "she" if woman else "he")
    return Subject(_NAMES[kind.noun](draw), kind.noun, "it")


_ADJECTIVES = (
    "Silver Golden Crimson Northern Silent Distant Broken Hidden Winter Last Proud Swift Pale Lonely Bright".split()
)
_THINGS = (
    "Heron Star Harbour Lantern Garden Mirror River Falcon Crown Rose Wolf Bell Tide Orchard Compass Swan Arrow Moon"
).split()


def _pair(draw: Draw) -> str:
    return f"{draw.pick(_ADJECTIVES)} {draw.pick(_THINGS)}"


_NAMES: dict[str, Callable[[Draw], str]] = {
    "the town": values.place_name,
    "the company": values.company_name,
    "the ship": lambda draw: f"the {_pair(draw)}",
    "the novel": lambda draw: f"“The {_pair(draw)}”",
    "the building": lambda draw: (
        f"{draw.pick((values.place_name, values.surname))(draw)} "
        f"{draw.pick(('Museum', 'Tower', 'Castle', 'Hall', 'Library', 'Palace'))}"
    ),
}


def _sentences(draw: Draw, block: list[Planned]) -> Iterator[list[Planned]]:
    """One fact per sentence, or two with a common subject."""
    left = list(block)
    while left:
        size = 2 if len(left) > 1 and draw.chance(0.3) else 1
        yield left[:size]
        del left[:size]


def _write_sentence(draw: Draw, passage: Passage, sentence: list[Planned], last: Subject | None) -> Subject | None:
    """Add one sentence; returns the subject that a pronoun in the next sentence would refer to."""
    first = not passage.text
    if not first:
        passage.text += " " + _filler(draw, passage)
    start = len(passage.text)
    passage.text += "" if first or draw.chance(0.85) else draw.pick(OPENERS)
    for number, planned in enumerate(sentence):
        opens = _write_clause(draw, passage, planned, last, number if len(sentence) > 1 else None)
    passage.text = passage.text[:start] + _capital(passage.text[start:]) + "."
    return sentence[0][0] if opens else None


def _filler(draw: Draw, passage: Passage) -> str:
    """Sometimes a sentence without a fact, each at most once per passage."""
    left = [filler for filler in FILLERS if filler not in passage.text]
    return f"{draw.pick(left)} " if left and draw.chance(0.22) else ""


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _write_clause(draw: Draw, passage: Passage, planned: Planned, last: Subject | None, shared: int | None) -> bool:
    """Add one fact; `shared` numbers the clauses with a common subject, which the second clause omits.

    Returns False if the value comes first, because a pronoun after it would be ambiguous.
    """
    subject, relation, value = planned
    verbal = [text for text in relation.statements if text.startswith("{s} ")]
    template = draw.pick(relation.statements if shared is None else verbal)
    if shared:
        passage.text += " and "
        template = template.removeprefix("{s} ")
    start = len(passage.text)
    before, after = template.split("{v}")
    mention = _mention(draw, subject, last, template)
    passage.text += before.format(s=mention)
    answer_start = len(passage.text) + value.text.index(value.answer)
    passage.text += value.text + after.format(s=mention)
    passage.facts.append(
        Fact(
            subject=subject,
            relation=relation,
            value=value,
            start=start,
            end=len(passage.text),
            answer_start=answer_start,
        )
    )
    return not template.startswith("{v}")


def _mention(draw: Draw, subject: Subject, last: Subject | None, template: str) -> str:
    """The full name, or a short form if the sentence before had the same subject."""
    if subject is not last or draw.chance(0.4):
        return subject.name
    return subject.pronoun if template.startswith("{s} ") and draw.chance(0.5) else subject.short


def _gloss(draw: Draw, passage: Passage, subject: Subject) -> None:
    """Sometimes add the main subject's name in another script at the end of the first sentence."""
    if draw.chance(0.06):
        script, table = draw.pick((("Greek", _GREEK), ("Russian", _CYRILLIC)))
        name = subject.name.strip("“”").translate(table)
        passage.text = f"{passage.text[:-1]} ({script}: {name})."
