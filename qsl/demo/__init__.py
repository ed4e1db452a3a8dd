"""The embedded data set: a seeded generator of reading-comprehension passages in SQuAD v1.1's format.

Every name, number and date is random, so an answer can be found only by reading its passage; the two splits use
disjoint random streams. `python -m qsl.demo dev dev-v1.1.json` writes one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foundation import atomic_write
from qsl.demo.compose import Fact, Passage, compose
from qsl.demo.seeded_choice import Draw

SPLITS = {"dev": 1200, "train": 20000}
QUESTIONS_PER_PASSAGE = 5
PASSAGES_PER_ARTICLE = 4
# Facts in a passage: 20 equally likely numbers, which give a distribution of token counts like SQuAD's.
FACT_COUNTS = (7, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 16, 17, 18, 20, 22, 25, 30)
LONG = (0.02, 36, 48)  # (share, low, high) of passages that need a sliding window: their number of facts


def generate(split: str, seed: int = 1, questions: int | None = None) -> dict[str, Any]:
    """The data set as SQuAD's JSON object; `questions` is their number (default: that of the split)."""
    draw = stream(split, seed)
    total = SPLITS[split] if questions is None else questions
    articles: list[dict[str, Any]] = []
    done = 0
    while done < total:
        passage = compose(draw, fact_count(draw))
        asked = draw.sample(passage.facts, min(QUESTIONS_PER_PASSAGE, total - done))
        qas = [_question(draw, passage, fact, done + i, split) for i, fact in enumerate(asked)]
        if not articles or len(articles[-1]["paragraphs"]) == PASSAGES_PER_ARTICLE:
            articles.append({"title": _title(passage), "paragraphs": []})
        articles[-1]["paragraphs"].append({"context": passage.text, "qas": qas})
        done += len(qas)
    return {"version": "1.1", "data": articles}


def write(path: Path | str, split: str, seed: int = 1, questions: int | None = None, displaced: bool = False) -> None:
    """Write the data set atomically; `displaced` applies `displace_questions`."""
    dataset = generate(split, seed, questions)
    text = json.dumps(displace_questions(dataset) if displaced else dataset, ensure_ascii=False, separators=(",", ":"))
    atomic_write.write_text(Path(path), text)


def displace_questions(dataset: dict[str, Any]) -> dict[str, Any]:
    """The same passages, each with the questions and answers of another passage, half the data set away.

    A model that reads must fail on it; a model that only knows what answers look like would not.
    """
    paragraphs = [paragraph for article in dataset["data"] for paragraph in article["paragraphs"]]
    half = len(paragraphs) // 2
    moved = [
        {"context": here["context"], "qas": there["qas"]}
        for here, there in zip(paragraphs, paragraphs[half:] + paragraphs[:half], strict=True)
    ]
    return {"version": dataset["version"], "data": [{"title": "Displaced", "paragraphs": moved}]}


def stream(split: str, seed: int) -> Draw:
    """The random stream of a split: even seeds for train, odd ones for dev."""
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    return Draw(2 * seed + (split == "dev"))


def fact_count(draw: Draw) -> int:
    """The number of facts of the next passage."""
    share, low, high = LONG
    return draw.between(low, high) if draw.chance(share) else draw.pick(FACT_COUNTS)


def ask(draw: Draw, fact: Fact) -> str:
    """A question with the fact's value as its answer."""
    question = draw.pick(fact.relation.questions).format(s=fact.subject.name)
    return question[0].upper() + question[1:]


def _question(draw: Draw, passage: Passage, fact: Fact, number: int, split: str) -> dict[str, Any]:
    answers = [_answer(passage, fact, fact.value.answer)]
    if split == "dev":
        # Three annotators, one of whom sometimes marks a different span.
        third = fact.value.other if draw.chance(0.5) else fact.value.answer
        answers = draw.shuffled([*answers, *answers, _answer(passage, fact, third)])
    return {"id": _identifier(draw, number), "question": ask(draw, fact), "answers": answers}


def _answer(passage: Passage, fact: Fact, extent: str) -> dict[str, Any]:
    value = fact.value
    start = fact.answer_start - value.text.index(value.answer) + value.text.index(extent)
    return {"text": passage.text[start : start + len(extent)], "answer_start": start}


def _identifier(draw: Draw, number: int) -> str:
    """24 hexadecimal digits as in SQuAD; the last eight are a counter, so ids are unique."""
    return f"{draw.below(1 << 32):08x}{draw.below(1 << 32):08x}{number:08x}"


def _title(passage: Passage) -> str:
    return passage.facts[0].subject.name.strip("“”").removeprefix("the ").replace(" ", "_")
