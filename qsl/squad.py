"""Features of SQuAD v1.1, token for token like those of the MLPerf BERT reference.

A passage is tokenized once for all its questions. A question with a passage that does not fit gets one feature for each
window of the passage, `doc_stride` tokens apart. For each token the scorer also needs the passage word that it came
from, and whether it has its maximum context in this window; both are stored with the ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foundation.arrays import Int32
from foundation.rules import DOC_STRIDE, MAX_QUERY_LENGTH, MAX_SEQ_LENGTH
from qsl import feature_cache, squad_examples, squad_windows
from qsl.base import DatasetError, Features
from qsl.calibration_list import read_list
from qsl.data_file import DataFile
from qsl.data_set import DataSet
from qsl.feature_cache import Arrays
from qsl.squad_examples import KIND, Example, read_examples
from qsl.wordpiece import CLS, SEP, WordPiece


@dataclass(frozen=True)
class SquadFeatureSettings:
    """The reference's lengths, in tokens."""

    max_seq_length: int = MAX_SEQ_LENGTH
    doc_stride: int = DOC_STRIDE
    max_query_length: int = MAX_QUERY_LENGTH


@dataclass(frozen=True)
class SquadFeatures:
    """Features, and the mapping from their tokens back to the passage."""

    features: Features
    example_index: Int32  # [N] index of the example of each feature
    token_to_word: Int32  # [T] index into doc_words; -1 for the question and the special tokens
    is_max_context: npt.NDArray[np.bool_]  # [T] True in the window where the token has most context


class SquadDataSet(DataSet):
    """SQuAD v1.1: its features, and the mapping from their tokens back to the passages."""

    kind = KIND
    fields = (*feature_cache.FEATURES, "example_index", "token_to_word", "is_max_context")
    sources = (Path(__file__), Path(squad_examples.__file__), Path(squad_windows.__file__))
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
        """The features with the mapping back to the passages."""
        return _from_arrays(self.stored.arrays)

    def check_scorable(self) -> None:
        """A file can be scored if each of its questions has an answer, as the official scorer of SQuAD v1.1 demands."""
        without = sum(not example.answers for example in self.examples)
        if without:
            raise DatasetError(
                f"expected an answer to every question of {self.file.path} to score it, found {without:,} of "
                f"{len(self.examples):,} without one (SQuAD v2 has such questions, and test sets have no answers). "
                f"Type: --dataset dev-v1.1.json, or --mode performance."
            )

    def listed(self, calibration_list: Path) -> list[int]:
        """The indices of the features that a list names by index or by question id."""
        ids = [example.id for example in self.examples]
        return read_list(calibration_list, self.file.path, ids, self.squad_features.example_index)

    def _build(self) -> Arrays:
        return _arrays(self.examples, self.vocabulary, self.settings, str(self.file.path))


def load(
    dataset: Path, vocab: Path, cache_dir: Path | None, settings: SquadFeatureSettings = SquadFeatureSettings()
) -> SquadFeatures:
    """The features of `dataset`, from the cache, after they are built if it does not have them.

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
        raise DatasetError(f"expected passages in {source}, found only empty ones. Name another file with --dataset.")
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
