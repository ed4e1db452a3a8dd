"""Features of SQuAD v1.1, token for token like those of the MLPerf BERT reference.

A passage is tokenized once for all its questions. A question with a passage that does not fit gets one feature for each
window of the passage, `doc_stride` tokens apart. For each token the scorer also needs the passage word that it came
from, and whether it has its maximum context in this window; both are stored with the ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foundation.arrays import Int32
from foundation.bounded_readers import UnreadableError, parse_json
from foundation.rules import DOC_STRIDE, MAX_QUERY_LENGTH, MAX_SEQ_LENGTH
from qsl import feature_cache, squad_windows
from qsl.base import DatasetError, Features
from qsl.calibration_list import read_list
from qsl.data_file import DataFile
from qsl.data_set import DataSet
from qsl.feature_cache import Arrays
from qsl.wordpiece import CLS, SEP, WordPiece

# The characters at which the reference splits a passage into words; others (a no-break space) stay inside a word.
_SPACES = re.compile("[ \t\r\n\u202f]+")
KIND = "a SQuAD v1.1 file"


@dataclass(frozen=True)
class SquadFeatureSettings:
    """The reference's lengths, in tokens."""

    max_seq_length: int = MAX_SEQ_LENGTH
    doc_stride: int = DOC_STRIDE
    max_query_length: int = MAX_QUERY_LENGTH


@dataclass(frozen=True)
class Example:
    """One question. `doc_words` are the words of its passage, one tuple for all questions of the passage."""

    id: str
    question: str
    doc_words: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class SquadFeatures:
    """Features, and the mapping from their tokens back to the passage."""

    features: Features
    example_index: Int32  # [N] index of the example of each feature
    token_to_word: Int32  # [T] index into doc_words; -1 for the question and the special tokens
    is_max_context: npt.NDArray[np.bool_]  # [T] True in the window where the token has most context


def read_examples(source: Path | DataFile) -> list[Example]:
    """All questions of a SQuAD v1.1 file, in the file's order.

    Raises:
        DatasetError: the file is missing, is not JSON, or is not in SQuAD v1.1's format; the message says what differs.
    """
    file = DataFile.of(source, KIND, "--dataset")
    path = file.path
    try:
        data = parse_json(file.content)
    except UnreadableError as error:
        raise DatasetError(
            f"expected SQuAD v1.1 JSON in {path}, found {error}. Fetch or copy the file again."
        ) from error
    try:
        examples = list(_examples(data))
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"expected SQuAD v1.1's form in {path} (data > paragraphs > context, qas > id, question, answers > text), "
            f"found another ({type(error).__name__}: {error})."
        ) from error
    if not examples:
        raise DatasetError(f"expected questions in {path}, found none.")
    return examples


def _examples(data: Any) -> Iterator[Example]:
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            words = split_words(paragraph["context"])
            for qa in paragraph["qas"]:
                answers = tuple(answer["text"] for answer in qa["answers"])
                if not all(isinstance(text, str) for text in (qa["id"], qa["question"], *answers)):
                    raise TypeError(f"id, question and answers of {qa['id']!r} are not all text")
                yield Example(qa["id"], qa["question"], words, answers)


def split_words(passage: str) -> tuple[str, ...]:
    """The words of a passage, as in `Example.doc_words`."""
    return tuple(word for word in _SPACES.split(passage) if word)


class SquadDataSet(DataSet):
    """SQuAD v1.1: its features, and the mapping from their tokens back to the passages."""

    kind = KIND
    fields = (*feature_cache.FEATURES, "example_index", "token_to_word", "is_max_context")
    sources = (Path(__file__), Path(squad_windows.__file__))
    settings: SquadFeatureSettings

    def __init__(
        self,
        file: Path | DataFile,
        vocab: Path | DataFile,
        cache_dir: Path | None,
        settings: SquadFeatureSettings = SquadFeatureSettings(),
    ) -> None:
        super().__init__(file, vocab, cache_dir, settings)

    @cached_property
    def examples(self) -> list[Example]:
        """All questions, in the order of the file. Raises as `read_examples`."""
        return read_examples(self.file)

    @cached_property
    def squad_features(self) -> SquadFeatures:
        """The features with the mapping back to the passages, memory-mapped if they are cached."""
        return _from_arrays(self.stored.arrays)

    def check_scorable(self) -> None:
        """Every file that can be parsed can be scored: its questions have answers."""
        _ = self.examples

    def listed(self, calibration_list: Path) -> list[int]:
        """The indices of the features that a list names by index or by question id."""
        ids = [example.id for example in self.examples]
        return read_list(calibration_list, self.file.path, ids, self.squad_features.example_index)

    def _build(self) -> Arrays:
        return _arrays(self.examples, self.vocabulary, self.settings, str(self.file.path))


def load(
    dataset: Path, vocab: Path, cache_dir: Path | None, settings: SquadFeatureSettings = SquadFeatureSettings()
) -> SquadFeatures:
    """The features of `dataset`, memory-mapped from the cache, after they are built if it does not have them.

    Args:
        cache_dir: the directory of the cache; None builds the features in memory.

    Raises:
        DatasetError: the data set or the vocabulary cannot be used.
    """
    return SquadDataSet(dataset, vocab, cache_dir, settings).squad_features


def _from_arrays(arrays: Arrays) -> SquadFeatures:
    features = Features(arrays["input_ids"], arrays["token_type_ids"], arrays["offsets"])
    return SquadFeatures(features, arrays["example_index"], arrays["token_to_word"], arrays["is_max_context"])


def features_of(
    examples: list[Example], vocabulary: WordPiece, settings: SquadFeatureSettings = SquadFeatureSettings()
) -> SquadFeatures:
    """The features of these questions, in memory. Raises DatasetError if all their passages are empty."""
    return _from_arrays(_arrays(examples, vocabulary, settings, "these questions"))


def _arrays(examples: list[Example], vocabulary: WordPiece, settings: SquadFeatureSettings, source: str) -> Arrays:
    windows = [
        (index, *window)
        for index, question, doc_ids, doc_words in _tokenized(examples, vocabulary, settings)
        for window in _windows(question, doc_ids, doc_words, vocabulary, settings)
    ]
    if not windows:
        raise DatasetError(f"expected passages in {source}, found only empty ones.")
    index, ids, types, words, context = zip(*windows, strict=True)
    return {
        "input_ids": np.concatenate(ids),
        "token_type_ids": np.concatenate(types),
        "offsets": np.concatenate([[0], np.cumsum([len(part) for part in ids])]).astype(np.int64),
        "example_index": np.asarray(index, np.int32),
        "token_to_word": np.concatenate(words),
        "is_max_context": np.concatenate(context),
    }


def _tokenized(
    examples: list[Example], vocabulary: WordPiece, settings: SquadFeatureSettings
) -> Iterator[tuple[int, Int32, Int32, Int32]]:
    """(example index, question ids, passage ids, passage word of each id); a passage is tokenized once."""
    words: tuple[str, ...] | None = None
    for index, example in enumerate(examples):
        if example.doc_words is not words:
            words = example.doc_words
            pieces = [vocabulary.encode_word(word) for word in words]
            doc_ids = np.asarray([i for piece in pieces for i in piece], np.int32)
            doc_words = np.repeat(np.arange(len(pieces), dtype=np.int32), [len(piece) for piece in pieces])
        question = np.asarray(vocabulary.encode(example.question)[: settings.max_query_length], np.int32)
        yield index, question, doc_ids, doc_words


def _windows(
    question: Int32, doc_ids: Int32, doc_words: Int32, vocabulary: WordPiece, settings: SquadFeatureSettings
) -> Iterator[tuple[Int32, Int32, Int32, npt.NDArray[np.bool_]]]:
    """(input_ids, token_type_ids, token_to_word, is_max_context) of each window of one question's passage."""
    cls, sep = np.asarray([vocabulary.ids[CLS]], np.int32), np.asarray([vocabulary.ids[SEP]], np.int32)
    head = np.concatenate([cls, question, sep])
    if len(head) + 2 > settings.max_seq_length:
        raise DatasetError(
            f"expected space for a passage after a question of {len(question)} tokens, found "
            f"max_seq_length {settings.max_seq_length}. Raise it, or lower max_query_length."
        )
    spans = squad_windows.doc_spans(len(doc_ids), settings.max_seq_length - len(head) - 1, settings.doc_stride)
    contexts = squad_windows.max_context(spans, len(doc_ids))
    for row, (start, length) in enumerate(spans):
        stop = start + length
        types = np.zeros(len(head) + length + 1, np.int32)
        types[len(head) :] = 1
        words = np.full(len(types), -1, np.int32)
        words[len(head) : -1] = doc_words[start:stop]
        best = np.zeros(len(types), np.bool_)
        best[len(head) : -1] = contexts[start:stop] == row
        yield np.concatenate([head, doc_ids[start:stop], sep]), types, words, best
