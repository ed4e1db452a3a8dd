"""Features of SST-2, from GLUE's TSV or from parquet: [CLS] sentence [SEP], truncated to 128 tokens.

Labels are not part of the features, so a file without labels (GLUE's test set) can still be used for performance runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from foundation import file_kinds
from foundation.arrays import Int64
from qsl import parquet
from qsl.base import DatasetError, Features
from qsl.calibration_list import read_indices
from qsl.data_file import DataFile
from qsl.data_set import DataSet
from qsl.feature_cache import Arrays
from qsl.wordpiece import CLS, SEP

KIND = "an SST-2 file"
LABELS = ("negative", "positive")
_SENTENCE, _LABEL = "sentence", "label"


@dataclass(frozen=True)
class Sst2FeatureSettings:
    """The length to which samples are truncated, in tokens."""

    max_seq_length: int = 128


def read_sentences(source: Path | DataFile) -> list[str]:
    """The sentences, in the file's order.

    Raises:
        DatasetError: the file is missing, empty, or not in SST-2's format.
    """
    file = DataFile.of(source, KIND, "--dataset")
    sentences = _columns(file)[_SENTENCE]
    wrong = next((row for row, text in enumerate(sentences) if not isinstance(text, str)), None)
    if wrong is not None:
        raise DatasetError(
            f"expected text as the sentence of row {wrong} of {file.path}, found {sentences[wrong]!r}. "
            "Correct or remove the row."
        )
    return sentences


def read_labels(source: Path | DataFile) -> Int64:
    """The labels, int64 [N]: 0 negative, 1 positive.

    Raises:
        DatasetError: as `read_sentences`; or labels are missing or not 0 or 1.
    """
    file = DataFile.of(source, KIND, "--dataset")
    labels = _columns(file).get(_LABEL)
    found = "no column of that name" if labels is None else None
    for row, label in enumerate(labels or ()):
        if str(label) not in ("0", "1"):
            found = f"{label!r} in row {row}"
            break
    if labels is None or found:
        raise DatasetError(
            f"expected 0 (negative) or 1 (positive) as every {_LABEL} in {file.path}, found {found}. "
            "GLUE's test set has no labels; score its dev set (dev.tsv, or the hubs' validation split)."
        )
    return np.array([int(label) for label in labels], np.int64)


class Sst2DataSet(DataSet):
    """SST-2: GLUE's TSV, or parquet."""

    kind = KIND
    sources = (Path(__file__),)
    settings: Sst2FeatureSettings

    def __init__(
        self,
        file: Path | DataFile,
        vocab: Path | DataFile,
        cache_dir: Path | None,
        settings: Sst2FeatureSettings = Sst2FeatureSettings(),
    ) -> None:
        super().__init__(file, vocab, cache_dir, settings)

    @cached_property
    def examples(self) -> list[str]:
        """All sentences, in the order of the file. Raises as `read_sentences`."""
        return read_sentences(self.file)

    @cached_property
    def labels(self) -> Int64:
        """The labels, int64 [N]. Raises as `read_labels`."""
        return read_labels(self.file)

    def check_scorable(self) -> None:
        """A file can be scored if it has labels."""
        _ = self.labels

    def listed(self, calibration_list: Path) -> list[int]:
        """The indices of the features that a list names by index."""
        return read_indices(calibration_list, self.file.path, len(self.features))

    def _build(self) -> Arrays:
        ids_of = self.vocabulary.ids
        room = self.settings.max_seq_length - 2
        encoded = [self.vocabulary.encode(text)[:room] for text in self.examples]
        samples = [[ids_of[CLS], *pieces, ids_of[SEP]] for pieces in encoded]
        ids = np.array([token for sample in samples for token in sample], np.int32)
        ends = np.cumsum([len(sample) for sample in samples])
        return {
            "input_ids": ids,
            "token_type_ids": np.zeros_like(ids),
            "offsets": np.concatenate([[0], ends]).astype(np.int64),
        }


def load(
    dataset: Path, vocab: Path, cache_dir: Path | None, settings: Sst2FeatureSettings = Sst2FeatureSettings()
) -> Features:
    """The features of `dataset`, from the cache, after they are built if it does not have them.

    Args:
        cache_dir: the directory of the cache; None builds the features in memory.

    Raises:
        DatasetError: the data set or the vocabulary cannot be used.
    """
    return Sst2DataSet(dataset, vocab, cache_dir, settings).features


def _columns(file: DataFile) -> dict[str, list[Any]]:
    """The columns of the file by name, including `sentence`, all with the same number of rows, at least one."""
    path, content = file.path, file.content
    columns = parquet.read(file) if parquet.is_parquet(content) else _read_tsv(path, content)
    if _SENTENCE not in columns:
        found = file_kinds.of(content) or f"the columns {', '.join(columns)[:80]!r}"
        raise DatasetError(
            f"expected SST-2 in {path} (a TSV with the header sentence<tab>label, or parquet with these columns), "
            f"found {found}. Name another file with --dataset FILE."
        )
    if not columns[_SENTENCE]:
        raise DatasetError(f"expected sentences in {path}, found none. Name another file with --dataset FILE.")
    return columns


def _read_tsv(path: Path, content: bytes) -> dict[str, list[Any]]:
    """Columns are separated by tabs and never quoted: a quotation mark is part of its sentence."""
    try:
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"expected an SST-2 file as UTF-8 text in {path}, found: {error}. Save it as UTF-8."
        ) from error
    header, *rows = [line.split("\t") for line in lines if line.strip()] or [[""]]
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise DatasetError(
                f"expected {len(header)} columns, separated by tabs, in row {number} of {path}, found {len(row)}. "
                f"Write one sentence per line, with tabs only between columns."
            )
    return {name: [row[at] for row in rows] for at, name in enumerate(header)}
