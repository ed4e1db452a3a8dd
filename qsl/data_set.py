"""A data set of one task, from its file to features: a run opens it once and uses it until it is scored.

Everything is computed on first use: a performance run with cached features parses nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from qsl import feature_cache, tokenizer_files, wordpiece
from qsl.base import Features
from qsl.data_file import DataFile
from qsl.feature_cache import Arrays, FeatureFiles, Stored
from qsl.wordpiece import WordPiece


class DataSet(ABC):
    """One file of samples, read with one vocabulary. Each file is read and hashed at most once.

    Args:
        file: the data set, as a path or as an open file.
        vocab: the WordPiece vocabulary, likewise.
        cache_dir: the directory of cached features; None builds them in memory.
        settings: everything else that determines the features.

    Raises:
        DatasetError: on first use of a file that cannot be used.
    """

    kind: ClassVar[str]  # what its file is, for messages
    fields: ClassVar[tuple[str, ...]] = feature_cache.FEATURES  # of a cache entry
    sources: ClassVar[tuple[Path, ...]]  # modules that determine the features, part of the cache key

    def __init__(self, file: Path | DataFile, vocab: Path | DataFile, cache_dir: Path | None, settings: Any) -> None:
        self.file = DataFile.of(file, self.kind, "--dataset")
        self.vocab = DataFile.of(vocab, tokenizer_files.KIND, "--vocab")
        self.cache_dir, self.settings = cache_dir, settings
        self._siblings: dict[Path, Self] = {}

    @cached_property
    def vocabulary(self) -> WordPiece:
        """The tokenizer. Raises DatasetError if the vocabulary cannot be used."""
        return WordPiece(self.vocab)

    @property
    @abstractmethod
    def examples(self) -> Sequence[Any]:
        """The parsed content of the file: questions or sentences."""

    @abstractmethod
    def check_scorable(self) -> None:
        """Raises DatasetError if an accuracy run on this file could not be scored."""

    @abstractmethod
    def listed(self, calibration_list: Path) -> list[int]:
        """The indices of the features that a calibration list names. Raises DatasetError if it does not match."""

    @abstractmethod
    def _build(self) -> Arrays:
        """Build the arrays of a cache entry, by field, from the files."""

    @cached_property
    def stored(self) -> Stored:
        """The arrays, read from the cache, after they are built if the cache does not have them."""
        if self.cache_dir is None:
            return Stored(self._build(), None)
        code = (*self.sources, Path(wordpiece.__file__), Path(tokenizer_files.__file__))
        key = feature_cache.key(self.settings, self.file, self.vocab, self.vocabulary.rules, *code)
        return feature_cache.cached(self.cache_dir, key, self.fields, self._build)

    @cached_property
    def features(self) -> Features:
        """The features, in memory."""
        return Features(**{name: self.stored.arrays[name] for name in feature_cache.FEATURES})

    @property
    def handle(self) -> FeatureFiles | Features:
        """What another process opens the features by; the features themselves if no cache could be written."""
        if self.stored.directory is None:
            return self.features
        return FeatureFiles(self.stored.directory, len(self.features), self.features.total_tokens, self.stored.digest)

    def sibling(self, file: Path) -> Self:
        """The data set in another file, with the same vocabulary; this object if it is the same file."""
        if file == self.file.path:
            return self
        if file not in self._siblings:
            self._siblings[file] = type(self)(file, self.vocab, self.cache_dir, self.settings)
        return self._siblings[file]

    def digests(self) -> Mapping[Path, str]:
        """sha256 of the files of this data set and of its siblings, by path: all that determine features."""
        files = [self.vocab, *self.vocabulary.stated_in, self.file, *(one.file for one in self._siblings.values())]
        return {file.path: file.sha256 for file in files}
