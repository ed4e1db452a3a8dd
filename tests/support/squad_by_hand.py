"""A SQuAD of six questions that a reader can score by hand, and writers of LoadGen's accuracy log.

The vocabulary is written here, so that these tests need no download; max_seq_length 24 and doc_stride 6 make the long
passage fall into overlapping windows, as SQuAD's do at 384 and 128.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accuracy.squad import SquadScore, score_log
from qsl.squad import SquadDataSet, SquadFeatures, SquadFeatureSettings
from qsl.squad_examples import Example

# Blanks stand for the line ends of vocab.txt.
VOCAB = (
    "[PAD] [UNK] [CLS] [SEP] the a red fox ran home to its den ' s cafe is warm ! . , who where what ? when at "
    "night snow ##ball ##s fell on north hill and old owl slept in barn while two mice dance ##d near river $ 5 "
).replace(" ", "\n")

SHORT = "The Red Fox ran home to its den's Café, zzz warm! $5"
LONG = "At night snowballs fell on the north hill and the old owl slept in a barn while two mice danced near the river."

# question, the answers, in the order of the file
QUESTIONS = (
    (SHORT, "who ran?", ("Red Fox", "the fox")),
    (SHORT, "where?", ("home", "to its den")),
    (SHORT, "what is warm?", ("Café",)),
    (LONG, "what fell?", ("snowballs",)),
    (LONG, "who slept?", ("the old owl", "owl")),
    (LONG, "where?", ("near the river", "river")),
)
SETTINGS = SquadFeatureSettings(max_seq_length=24, doc_stride=6, max_query_length=8)


def write_log(path: Path, entries: Iterable[tuple[int, bytes]]) -> Path:
    """`entries` of (qsl_idx, data), byte for byte as LoadGen 6.0.17 writes them."""
    lines = (
        f'{{ "seq_id" : {seq}, "qsl_idx" : {index}, "data" : "{data.hex().upper()}" }}'
        for seq, (index, data) in enumerate(entries)
    )
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    return path


def encode(logits: np.ndarray, dtype: str, pad_to: int = 0, transposed: bool = False) -> bytes:
    """One sample's logits [L, 2] as the bytes of a log's entry."""
    rows = np.full((max(pad_to, len(logits)), 2), -10000.0, dtype)
    rows[: len(logits)] = logits
    return np.ascontiguousarray(rows.T if transposed else rows).tobytes()


@dataclass(frozen=True)
class Case:
    """A data set, its features, and methods to answer and score it."""

    data: SquadDataSet

    @property
    def dataset(self) -> Path:
        return self.data.file.path

    @property
    def vocab(self) -> Path:
        return self.data.vocab.path

    @property
    def features(self) -> SquadFeatures:
        return self.data.squad_features

    @property
    def examples(self) -> list[Example]:
        return self.data.examples

    @property
    def max_seq_length(self) -> int:
        return self.data.settings.max_seq_length

    def blank(self) -> list[np.ndarray]:
        """Logits of every sample, [L, 2], all 0."""
        return [np.zeros((length, 2), np.float32) for length in self.features.features.lengths]

    def samples_of(self, question: int) -> list[int]:
        return np.flatnonzero(self.features.example_index == question).tolist()

    def positions(self, sample: int, word: int) -> list[int]:
        """The sample's tokens that came from the passage's `word`."""
        start, stop = self.features.features.offsets[sample : sample + 2]
        return np.flatnonzero(self.features.token_to_word[start:stop] == word).tolist()

    def say(self, logits: list[np.ndarray], question: int, words: tuple[int, int], height: float = 8) -> None:
        """Make passage words first…last the answer to `question`, in the window that has most context for it."""
        for sample in self.samples_of(question):
            first, last = self.positions(sample, words[0]), self.positions(sample, words[1])
            offset = self.features.features.offsets[sample]
            if first and last and self.features.is_max_context[offset + first[0]]:
                logits[sample][first[0], 0] = height
                logits[sample][last[-1], 1] = height
                return
        raise AssertionError(f"no window of question {question} holds words {words}")

    def spoken(self) -> list[np.ndarray]:
        """Answers to all questions: two right ones, two half right, two wrong; test_accuracy_squad scores them."""
        logits = self.blank()
        for question, words in enumerate([(1, 2), (3, 4), (11, 11), (2, 2), (9, 11), (0, 1)]):
            self.say(logits, question, words)
        return logits

    def write(self, path: Path, logits: list[np.ndarray], **layout: Any) -> Path:
        layout = {"dtype": "float32"} | layout
        return write_log(path, [(index, encode(rows, **layout)) for index, rows in enumerate(logits)])

    def score(self, log_file: Path, **options: Any) -> SquadScore:
        return score_log(log_file, self.data, **options)


def squad_json(questions: Iterable[tuple[str, str, tuple[str, ...]]]) -> str:
    paragraphs: list[dict[str, Any]] = []
    for number, (context, question, answers) in enumerate(questions):
        if not paragraphs or paragraphs[-1]["context"] != context:
            paragraphs.append({"context": context, "qas": []})
        texts = [{"text": text, "answer_start": context.find(text)} for text in answers]
        paragraphs[-1]["qas"].append({"id": f"q{number}", "question": question, "answers": texts})
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]})


def make_case(
    folder: Path, questions: Iterable[tuple[str, str, tuple[str, ...]]], settings: SquadFeatureSettings
) -> Case:
    vocab, dataset = folder / "vocab.txt", folder / "dev.json"
    vocab.write_text(VOCAB, encoding="utf-8")
    dataset.write_text(squad_json(questions), encoding="utf-8")
    return Case(SquadDataSet(dataset, vocab, None, settings))
