"""The ladder of the open division: models that were submitted, what was published of them, and their sizes to run here.

No public checkpoint has these scores, so a rung runs with random weights of its sizes: for speed alone. The figures are
those of the submissions that the sources name; samples/s are Offline on two Xeon 8380 (80 cores, VNNI, no AMX).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sut.errors import UsageError

RANDOM = "random:"  # backends.bert.model.RANDOM_PREFIX, which loads numpy
# Such as bert-large@80, which is block4, or bert-large@50:structured.
_SPARSE = re.compile(r"(?P<name>[^@]+)@(?P<percent>\d+(?:\.\d+)?)(?::(?P<pattern>[^:]+))?")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A model of the ladder; what was published is None for one that nobody submitted."""

    name: str  # as a person types it
    model: str  # --model
    title: str
    zeros: float = 0.0  # share of the encoder's weights, or of its heads and neurons
    f1: float | None = None  # on SQuAD v1.1's development set, in percent
    samples_per_s: float | None = None
    source: str = ""

    @property
    def is_random(self) -> bool:
        return self.model.startswith(RANDOM)


def _sparse(name: str, percent: float, pattern: str = "block4") -> str:
    return f"{RANDOM}{name}?sparsity={percent / 100:g},pattern={pattern}"


RUNGS = {
    one.name: one
    for one in (
        Rung(
            name="bert-large",
            model=f"{RANDOM}bert-large",
            title="BERT-Large",
            f1=90.5,
            samples_per_s=289.5,
            source="Intel, v1.1 closed",
        ),
        Rung(
            name="bert-large@80",
            model=_sparse("bert-large", 80),
            title="BERT-Large, 80 % zeros (block4)",
            zeros=0.8,
            f1=90.41,
            samples_per_s=160,
            source="Neural Magic, v2.1 open",
        ),
        Rung(
            name="bert-large@90",
            model=_sparse("bert-large", 90),
            title="BERT-Large, 90 % zeros (block4)",
            zeros=0.9,
            f1=90.25,
            samples_per_s=333,
            source="Intel, v3.0 open (pattern 4x1)",
        ),
        Rung(
            name="bert-large@95",
            model=_sparse("bert-large", 95),
            title="BERT-Large, 95 % zeros (block4)",
            zeros=0.95,
            f1=90.21,
            samples_per_s=231,
            source="Neural Magic, v2.1 open",
        ),
        Rung(
            name="minilm-l12",
            model=f"{RANDOM}minilm-l12",
            title="MiniLM-L12-H384",
            f1=90.93,
            samples_per_s=2236,
            source="Intel, v3.0 open",
        ),
        Rung(
            name="mobilebert",
            model=f"{RANDOM}mobilebert",
            title="MobileBERT, 24 layers",
            f1=90.78,
            source="Neural Magic, v3.1 open",
        ),
        Rung(
            name="mobilebert-14@50",
            model=_sparse("mobilebert-14", 50),
            title="MobileBERT, 14 layers, 50 % zeros (block4)",
            zeros=0.5,
            f1=90.32,
            samples_per_s=929,
            source="Neural Magic, v2.1 open",
        ),
    )
}


def rung(word: str) -> Rung:
    """The rung that a person types: a name of RUNGS, NAME, NAME@PERCENT or NAME@PERCENT:PATTERN of random
    weights, or any --model.

    Raises:
        UsageError: the percentage is not one.
    """
    if word in RUNGS:
        return RUNGS[word]
    known = next((one for one in RUNGS.values() if one.model == word), None)
    if known:
        return known
    if (found := _SPARSE.fullmatch(word)) and "/" not in word:
        percent = float(found["percent"])
        if not 0 <= percent < 100:
            raise UsageError(f"expected a percentage of zeros below 100, found {word!r}. Type: {found['name']}@80")
        name = found["name"].removeprefix(RANDOM)
        return Rung(
            name=word, model=_sparse(name, percent, found["pattern"] or "block4"), title=word, zeros=percent / 100
        )
    from backends.bert.architectures import RANDOM_GEOMETRIES  # loads numpy, which help does not need

    is_random = word in RANDOM_GEOMETRIES or f"{word}-h384" in RANDOM_GEOMETRIES
    return Rung(name=word, model=f"{RANDOM}{word}" if is_random else word, title=word)


def require_sizes(rungs: Iterable[Rung]) -> None:
    """Raise BackendError if random weights of a rung cannot be made; nothing is loaded."""
    from backends.bert.checkpoints import find_model

    for one in rungs:
        if one.is_random:
            find_model(one.model)


def markdown() -> Iterator[str]:
    """The rows of the table in docs/guide/open-division.md."""
    for one in RUNGS.values():
        speed = "–" if one.samples_per_s is None else f"{one.samples_per_s:,g}"
        yield f"| {one.title} | `{one.name}` | {one.f1:.2f} | {speed} | {one.source} |"
