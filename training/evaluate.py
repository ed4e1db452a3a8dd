"""Exact match and F1 of a model in training, on the generated dev split, with sliding windows.

A light path for watching progress: the official featuriser and scorer live in `qsl` and `accuracy`, and theirs is the
score that counts. `python -m training.evaluate assets/demo` prints the scores, and those with every question put to
another passage, where a model that reads must fail.
"""

from __future__ import annotations

import argparse
import re
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer

from backends.bert import BertForQuestionAnswering
from qsl import demo
from training import saving
from training.samples import MAX_LENGTH, STRIDE, load_tokenizer

MAX_ANSWER = 30
Asked = tuple[str, str, list[str]]  # passage, question, references


@dataclass(frozen=True)
class Window:
    question: int  # which one
    ids: list[int]
    middle: int  # the passage's first token
    context: str
    offsets: list[tuple[int, int]]  # characters of each passage token


def evaluate(
    model: BertForQuestionAnswering, tokenizer: BertWordPieceTokenizer, dataset: dict[str, Any]
) -> tuple[float, float]:
    """Exact match and F1 in percent."""
    return score(model, tokenizer, list(questions(dataset)))


def score(
    model: BertForQuestionAnswering, tokenizer: BertWordPieceTokenizer, asked: list[Asked]
) -> tuple[float, float]:
    windows = [window for i, pair in enumerate(asked) for window in _windows(tokenizer, i, *pair[:2])]
    answers = _answers(model, windows)
    pairs = [(answers[i], references) for i, (_, _, references) in enumerate(asked)]
    exact = sum(max(normalise(answer) == normalise(one) for one in references) for answer, references in pairs)
    f1 = sum(max(_f1(answer, one) for one in references) for answer, references in pairs)
    return 100 * exact / len(pairs), 100 * f1 / len(pairs)


def displaced(asked: list[Asked]) -> list[Asked]:
    """Every question beside a passage from half the data set away."""
    half = len(asked) // 2
    return [(asked[i - half][0], question, references) for i, (_, question, references) in enumerate(asked)]


def questions(dataset: dict[str, Any]) -> Iterator[Asked]:
    for article in dataset["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                yield paragraph["context"], qa["question"], [answer["text"] for answer in qa["answers"]]


def _windows(tokenizer: BertWordPieceTokenizer, number: int, context: str, question: str) -> Iterator[Window]:
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    asked = tokenizer.encode(question, add_special_tokens=False).ids[:64]
    passage = tokenizer.encode(context, add_special_tokens=False)
    room, begin = MAX_LENGTH - len(asked) - 3, 0
    while True:
        cut = slice(begin, begin + room)
        ids = [cls, *asked, sep, *passage.ids[cut], sep]
        yield Window(number, ids, len(asked) + 2, context, passage.offsets[cut])
        if begin + room >= len(passage.ids):
            return
        begin += STRIDE


@torch.no_grad()
def _answers(model: BertForQuestionAnswering, windows: list[Window], size: int = 32) -> dict[int, str]:
    best: dict[int, tuple[float, str]] = {}
    ordered = sorted(windows, key=lambda window: len(window.ids))
    for cut in range(0, len(ordered), size):
        group = ordered[cut : cut + size]
        for window, logits in zip(group, model(*_padded(group)), strict=True):
            found = _best_span(window, logits)
            best[window.question] = max(best.get(window.question, found), found)
    return {number: text for number, (_, text) in best.items()}


def _padded(group: list[Window]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids, types = (torch.zeros(len(group), max(len(one.ids) for one in group), dtype=torch.int64) for _ in range(2))
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, window in enumerate(group):
        count = len(window.ids)
        ids[row, :count], types[row, window.middle : count], mask[row, :count] = torch.tensor(window.ids), 1, True
    return ids, types, mask


def _best_span(window: Window, logits: torch.Tensor) -> tuple[float, str]:
    """The best sum of a start and an end score over the passage's tokens, and its text."""
    count = len(window.offsets)
    start, end = logits[window.middle : window.middle + count].T  # [S]
    allowed = torch.ones(count, count, dtype=torch.bool).triu().tril(MAX_ANSWER - 1)
    scores = (start[:, None] + end[None, :]).masked_fill(~allowed, -torch.inf)
    first, last = divmod(int(scores.argmax()), count)
    return float(scores.max()), window.context[window.offsets[first][0] : window.offsets[last][1]]


def normalise(text: str) -> str:
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def _f1(answer: str, reference: str) -> float:
    found, wanted = normalise(answer).split(), normalise(reference).split()
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted)) if shared else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("assets/demo"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    model = saving.load_model(options.folder)
    tokenizer = load_tokenizer(saving.read_vocabulary(options.folder))
    asked = list(questions(demo.generate("dev", options.seed)))
    for name, pairs in (("own passages", asked), ("others' passages", displaced(asked))):
        exact, f1 = score(model, tokenizer, pairs)
        print(f"{name:17} exact {exact:6.2f}  F1 {f1:6.2f}")


if __name__ == "__main__":
    main()
