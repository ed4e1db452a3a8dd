"""Training samples for question answering: new passages without end, each tokenised once for all its questions.

In addition to the answer's span, a sample marks the passage tokens about the question's subject and those about its
relation. The generator knows both, and with them the model learns to match much sooner than from answers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer, Encoding

from foundation.rules import DOC_STRIDE, MAX_SEQ_LENGTH
from qsl import demo
from qsl.demo.compose import Fact, Passage, compose
from qsl.demo.seeded_choice import Draw
from training.network.packed_batch import PackedBatch, counted, on

MAX_LENGTH, STRIDE = MAX_SEQ_LENGTH, DOC_STRIDE
CROPPED = 0.1  # share of passages cut at random positions, like those of a sliding window
SHIFTED = 0.5  # share of samples with the passage at later positions, so that all positions are trained
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A question with a window of its passage."""

    question: list[int]
    passage: list[int]
    start: int  # token of the sequence; 0 ([CLS]) if the window does not hold the answer
    end: int
    marks: Ints  # [passage tokens, 2]: about the subject; about the relation
    shift: int  # of the passage's positions

    @property
    def length(self) -> int:
        """Tokens of [CLS] question [SEP] passage [SEP]."""
        return len(self.question) + len(self.passage) + 3


@dataclass(frozen=True, kw_only=True)
class QuestionBatch(PackedBatch):
    """A batch with the targets of question answering."""

    spans: torch.Tensor  # int64 [B, 2], tokens of each sample
    passage_index: torch.Tensor  # int64 [P], the tokens of passages, into the T tokens
    marks: torch.Tensor  # float32 [P, 2]


def load_tokenizer(entries: list[str]) -> BertWordPieceTokenizer:
    """The tokenizer of runs, in Rust, with the character positions of tokens."""
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
        room = MAX_LENGTH - (len(question) + end - begin + 3)
        return Sample(
            question=question,
            passage=encoding.ids[begin:end],
            start=first + shift if inside else 0,
            end=last + shift if inside else 0,
            marks=np.stack([same_subject[clause], same_relation[clause]], 1).astype(np.int64),
            shift=self.draw.between(0, room) if self.draw.chance(SHIFTED) else 0,
        )

    def batch(self, samples: Sequence[Sample], device: torch.device) -> QuestionBatch:
        """The samples end to end."""
        lengths = np.array([sample.length for sample in samples])
        positions = counted(lengths)
        types = np.concatenate([_types(sample) for sample in samples])
        shifts = np.repeat([sample.shift for sample in samples], lengths)
        ids = [[self.cls, *one.question, self.sep, *one.passage, self.sep] for one in samples]
        marks = np.concatenate([np.pad(one.marks, ((0, 1), (0, 0))) for one in samples])  # none at the last [SEP]
        return QuestionBatch(
            input_ids=on(device, np.concatenate(ids), np.int64),
            token_type_ids=on(device, types, np.int64),
            position_ids=on(device, positions + types * shifts, np.int64),
            cu_seqlens=on(device, np.concatenate([[0], np.cumsum(lengths)]), np.int32),
            lengths=tuple(lengths.tolist()),
            spans=on(device, np.array([(one.start, one.end) for one in samples]), np.int64),
            passage_index=on(device, np.flatnonzero(types), np.int64),
            marks=on(device, marks, np.float32),
        )


def _types(sample: Sample) -> Ints:
    """0 for the question, 1 for the passage, [SEP] with either."""
    return np.repeat([0, 1], [len(sample.question) + 2, len(sample.passage) + 1])


def pool(maker: SampleMaker, fact_count: Callable[[Draw], int], count: int) -> list[Sample]:
    """`count` samples in random order, of passages with `fact_count` facts."""
    samples: list[Sample] = []
    while len(samples) < count:
        samples.extend(maker.samples(compose(maker.draw, max(2, fact_count(maker.draw)))))
    return maker.draw.shuffled(samples[:count])


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
