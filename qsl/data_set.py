"""A data set of one task, from its file to features: what a run opens once and hands on until it is scored.

Everything is worked out when first asked for: a run for speed whose features are in the cache parses nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from qsl import feature_cache, wordpiece
from qsl.base import Features
from qsl.data_file import DataFile
from qsl.feature_cache import Arrays, FeatureFiles, Stored
from qsl.wordpiece import WordPiece


class DataSet(ABC):
    """One file of samples, read with one vocabulary. Each file is read and hashed at most once.

    Args:
        file: the data set, or one that is open already.
        vocab: the WordPiece vocabulary, likewise.
        cache_dir: where features are kept; None makes them in memory.
        settings: what else decides the features.

    Raises:
        DatasetError: when a file is first needed and cannot be used.
    """

    kind: ClassVar[str]  # of its file, for messages
    fields: ClassVar[tuple[str, ...]] = feature_cache.FEATURES  # of an entry of the cache
    sources: ClassVar[tuple[Path, ...]]  # modules that decide the features: a change makes another entry

    def __init__(self, file: Path | DataFile, vocab: Path | DataFile, cache_dir: Path | None, settings: Any) -> None:
        self.file = DataFile.of(file, self.kind, "--dataset")
        self.vocab = DataFile.of(vocab, wordpiece.KIND, "--vocab")
        self.cache_dir, self.settings = cache_dir, settings
        self._siblings: dict[Path, Self] = {}

    @cached_property
    def vocabulary(self) -> WordPiece:
        return WordPiece(self.vocab)

    @property
    @abstractmethod
    def examples(self) -> Sequence[Any]:
        """What the file holds, parsed: its questions, or its sentences."""

    @abstractmethod
    def check_scorable(self) -> None:
        """Raises DatasetError where an accuracy run on this file could not be scored."""

    @abstractmethod
    def listed(self, calibration_list: Path) -> list[int]:
        """The features that a list of MLPerf's form names. Raises DatasetError where it does not fit."""

    @abstractmethod
    def _build(self) -> Arrays:
        """The entry's `fields`, from the files."""

    @cached_property
    def stored(self) -> Stored:
        """The arrays, memory-mapped where the cache holds them; made first where it does not."""
        if self.cache_dir is None:
            return Stored(self._build(), None)
        key = feature_cache.key(self.settings, self.file, self.vocab, *self.sources, Path(wordpiece.__file__))
        return feature_cache.cached(self.cache_dir, key, self.fields, self._build)

    @cached_property
    def features(self) -> Features:
        return Features(**{name: self.stored.arrays[name] for name in feature_cache.FEATURES})

    @property
    def handle(self) -> FeatureFiles | Features:
        """What another process opens the features by; themselves where no cache could be written."""
        if self.stored.directory is None:
            return self.features
        return FeatureFiles(self.stored.directory, len(self.features), self.features.total_tokens)

    def sibling(self, file: Path) -> Self:
        """The data set in another file, with the same vocabulary; this one where it is the same file."""
        if file == self.file.path:
            return self
        if file not in self._siblings:
            self._siblings[file] = type(self)(file, self.vocab, self.cache_dir, self.settings)
        return self._siblings[file]

    def digests(self) -> Mapping[Path, str]:
        """sha256 of the files behind this and its siblings, by path."""
        files = [self.vocab, self.file, *(one.file for one in self._siblings.values())]
        return {file.path: file.sha256 for file in files}
