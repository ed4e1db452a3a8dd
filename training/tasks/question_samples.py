"""An endless stream of training batches: new passages, each tokenised once for all its questions.

In addition to the answer's span, a sample marks the passage tokens about the question's subject and those about its
relation. The generator knows both, and with them the model learns to match much sooner than from answers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer, Encoding

from foundation.rules import DOC_STRIDE, MAX_SEQ_LENGTH
from qsl import demo
from qsl.demo.compose import Fact, Passage, compose
from qsl.demo.seeded_choice import Draw

MAX_LENGTH, STRIDE = MAX_SEQ_LENGTH, DOC_STRIDE
CROPPED = 0.1  # share of passages cut at random positions, like those of a sliding window
SHIFTED = 0.5  # share of samples with the passage at later positions, so that all positions are trained
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    question: list[int]
    passage: list[int]
    start: int  # token of the sequence; 0 ([CLS]) if the window does not hold the answer
    end: int
    marks: Ints  # [passage tokens, 2]: about the subject; about the relation


@dataclass(frozen=True, kw_only=True)
class TrainBatch:
    input_ids: torch.Tensor  # [B, S]
    token_type_ids: torch.Tensor  # [B, S]
    position_ids: torch.Tensor  # [B, S]
    mask: torch.Tensor  # [B, S] bool
    spans: torch.Tensor  # [B, 2]
    marks: torch.Tensor  # [B, S, 2] float


def load_tokenizer(entries: list[str]) -> BertWordPieceTokenizer:
    return BertWordPieceTokenizer({entry: i for i, entry in enumerate(entries)}, lowercase=True)


class SampleMaker:
    """Turns passages into samples, with one tokenizer."""

    def __init__(self, tokenizer: BertWordPieceTokenizer, draw: Draw) -> None:
        self.tokenizer, self.draw = tokenizer, draw
        self.cls = tokenizer.token_to_id("[CLS]")
        self.sep = tokenizer.token_to_id("[SEP]")

    def ids(self, text: str) -> Encoding:
        return self.tokenizer.encode(text, add_special_tokens=False)  # type: ignore[no-any-return]

    def samples(self, passage: Passage, questions: int = demo.QUESTIONS_PER_PASSAGE) -> Iterator[Sample]:
        encoding = self.ids(passage.text)
        clauses = _clause_of_token(encoding, passage)
        window = self._crop(len(encoding.ids)) if self.draw.chance(CROPPED) else None
        for fact in self.draw.sample(passage.facts, questions):
            question = self.ids(demo.ask(self.draw, fact)).ids
            begin, end = window or self._window(len(encoding.ids), MAX_LENGTH - len(question) - 3)
            end = min(end, begin + MAX_LENGTH - len(question) - 3)
            yield self._sample(question, encoding, clauses, passage, fact, begin, end)

    def _window(self, length: int, room: int) -> tuple[int, int]:
        """A random one of the windows of a long passage."""
        starts = [0]
        while starts[-1] + room < length:
            starts.append(starts[-1] + STRIDE)
        begin = self.draw.pick(starts)
        return begin, min(length, begin + room)

    def _crop(self, length: int) -> tuple[int, int]:
        begin = self.draw.below(max(1, length // 2))
        return begin, self.draw.between(begin + length // 3, length)

    def _sample(
        self, question: list[int], encoding: Encoding, clauses: Ints, passage: Passage, fact: Fact, begin: int, end: int
    ) -> Sample:
        first, last = _answer_tokens(encoding, fact)
        inside = begin <= first and last < end
        shift = len(question) + 2 - begin
        same_subject = np.array([other.subject is fact.subject for other in passage.facts] + [False])
        same_relation = np.array([other.relation is fact.relation for other in passage.facts] + [False])
        clause = clauses[begin:end]
        return Sample(
            question,
            encoding.ids[begin:end],
            first + shift if inside else 0,
            last + shift if inside else 0,
            np.stack([same_subject[clause], same_relation[clause]], 1).astype(np.int64),
        )

    def batch(self, samples: list[Sample]) -> TrainBatch:
        length = max(len(sample.question) + len(sample.passage) + 3 for sample in samples)
        ids, types, positions = (np.zeros((len(samples), length), np.int64) for _ in range(3))
        mask, marks = np.zeros((len(samples), length), bool), np.zeros((len(samples), length, 2), np.float32)
        positions[:] = np.arange(length)
        for row, sample in enumerate(samples):
            middle, count = len(sample.question) + 2, len(sample.question) + len(sample.passage) + 3
            ids[row, :count] = [self.cls, *sample.question, self.sep, *sample.passage, self.sep]
            types[row, middle:count], mask[row, :count] = 1, True
            marks[row, middle : count - 1] = sample.marks
            if self.draw.chance(SHIFTED):
                positions[row, middle:] += self.draw.between(0, MAX_LENGTH - length)
        spans = np.array([(sample.start, sample.end) for sample in samples])
        return TrainBatch(
            input_ids=torch.from_numpy(ids),
            token_type_ids=torch.from_numpy(types),
            position_ids=torch.from_numpy(positions),
            mask=torch.from_numpy(mask),
            spans=torch.from_numpy(spans),
            marks=torch.from_numpy(marks),
        )


def batches(maker: SampleMaker, fact_count: Callable[[Draw], int], size: int, pool: int) -> Iterator[TrainBatch]:
    """Batches of samples of similar length, made in pools of `pool` batches and shuffled within a pool."""
    while True:
        samples: list[Sample] = []
        while len(samples) < size * pool:
            samples.extend(maker.samples(compose(maker.draw, max(2, fact_count(maker.draw)))))
        samples.sort(key=lambda sample: len(sample.question) + len(sample.passage))
        cuts = range(0, len(samples) - size + 1, size)
        for cut in maker.draw.shuffled(list(cuts)):
            yield maker.batch(samples[cut : cut + size])


def _clause_of_token(encoding: Encoding, passage: Passage) -> Ints:
    """The index of each token's fact, or -1."""
    of_character = np.full(len(passage.text), -1)
    for number, fact in enumerate(passage.facts):
        of_character[fact.start : fact.end] = number
    return of_character[[begin for begin, _ in encoding.offsets]]


def _answer_tokens(encoding: Encoding, fact: Fact) -> tuple[int, int]:
    """The tokens of the answer's first and last character."""
    first, last = encoding.char_to_token(fact.answer_start), encoding.char_to_token(fact.answer_end - 1)
    assert first is not None and last is not None
    return first, last
