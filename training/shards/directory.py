"""What lies at a path, opened as one data set: our own form, HDF5, TFRecords, and the directories that others publish.

The form is what the first bytes of the first file say, not its name: MLPerf's parts have none that would tell. A
directory that numbers its files (`part_3_of_2048.hdf5`, `part-00003-of-00500`) must have all of them: a set with a hole
is another set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from foundation import file_kinds
from foundation.bounded_readers import UnreadableError, require_regular
from training.shards import hdf5, mapped, tfrecord
from training.shards.data_set import DataSet, Metadata, Shard
from training.shards.errors import ShardError
from training.shards.shard_file import is_shard

# What FlagPerf expects in its data_dir, as it names it.
FLAGPERF = ("2048_shards_uncompressed", "eval_set_uncompressed", "bert_config.json", "model.ckpt-28252.pt")
FLAGPERF_EVALUATION = "part_eval_10k.hdf5"
TRAINING, EVALUATION = "train", "eval"  # in a directory of ours that has both
MLPERF_EVALUATION = "eval_10k"
_PART = re.compile(r".*?part[-_](\d{1,9})[-_]of[-_](\d{1,9})(\..*)?", re.DOTALL)
_SHARDS = re.compile(r"(hdf5_)?\d+_shards_uncompressed")
_SHOWN = 5  # names in a message


class PaddedShard(Shard, Protocol):
    """A file that has padding."""

    @property
    def max_seq_length(self) -> int:
        """Tokens of an instance with its padding."""

    @property
    def max_predictions(self) -> int:
        """Masked tokens of an instance with its padding."""


@dataclass(frozen=True)
class Form:
    """A form of other people's files."""

    name: str
    is_one: Callable[[Path], bool]
    open: Callable[[Path], PaddedShard]


FORMS = (Form(hdf5.FORM, hdf5.is_hdf5, hdf5.open_shard), Form(tfrecord.FORM, tfrecord.is_tfrecord, tfrecord.open_shard))


def open_instances(path: Path, vocabulary_size: int | None = None) -> DataSet:
    """The instances at a path, to train on.

    Args:
        path: a file, a directory of files, or one of the layouts: FlagPerf's data_dir, MLPerf's directory of parts, or
            ours with `train/` and `eval/`. Of a layout, the training data.
        vocabulary_size: ids must be below it; None: what the data set itself says.

    Raises:
        ShardError: there are none, some are missing, or they are damaged.
    """
    if not path.is_dir():
        return _open_files([path], vocabulary_size)
    if (path / mapped.INDEX).exists():
        return mapped.open_data_set(path, vocabulary_size)
    if inner := _training_in(path):
        return open_instances(inner, vocabulary_size)
    if not (files := _files_in(path)):
        raise ShardError(f"expected files of instances ({_forms()}) in {path}, found none")
    return _open_files(files, vocabulary_size)


def open_evaluation(path: Path, vocabulary_size: int | None = None) -> DataSet:
    """The evaluation samples of a layout. Raises ShardError; if there are none, with what was looked for."""
    for place in (f"{FLAGPERF[1]}/{FLAGPERF_EVALUATION}", FLAGPERF[1], EVALUATION, MLPERF_EVALUATION):
        if (path / place).exists():
            return open_instances(path / place, vocabulary_size)
    raise ShardError(
        f"expected evaluation samples in {path}: {FLAGPERF[1]}/{FLAGPERF_EVALUATION}, {EVALUATION}/ or "
        f"{MLPERF_EVALUATION}; found {_shown(_names(path))}"
    )


def missing_of_flagperf(path: Path) -> tuple[str, ...]:
    """What FlagPerf's data_dir should have, and this directory lacks; without any of it, nothing: it is no data_dir."""
    missing = tuple(name for name in FLAGPERF if not (path / name).exists())
    return () if len(missing) == len(FLAGPERF) else missing


def _training_in(path: Path) -> Path | None:
    """The directory of the training data in a layout."""
    if (path / TRAINING).is_dir():
        return path / TRAINING
    found = [name for name in _names(path) if _SHARDS.fullmatch(name) and (path / name).is_dir()]
    if len(found) > 1:
        raise ShardError(f"expected one directory of shards in {path}, found {_shown(found)}. Give one of them.")
    if found:
        return path / found[0]
    if missing := missing_of_flagperf(path):
        raise ShardError(f"expected FlagPerf's data_dir, or instances, in {path}; missing: {_shown(missing)}")
    return None


def _files_in(path: Path) -> list[Path]:
    """The files of a directory in their order; if some are numbered parts, these alone, and all of them."""
    names = [name for name in _names(path) if not (path / name).is_dir()]
    parts = {name: found for name in names if (found := _PART.fullmatch(name))}
    if not parts:
        return [path / name for name in names]
    numbered = {int(found[1]): name for name, found in parts.items()}
    totals = {int(found[2]) for found in parts.values()}
    expected = max(totals)
    if len(totals) > 1 or len(numbered) < len(parts) or max(numbered) >= expected:
        raise ShardError(f"expected the parts of one data set in {path}, found {_shown(parts)}")
    if len(numbered) < expected:
        hole = next(number for number in range(expected) if number not in numbered)
        raise ShardError(f"expected {expected} parts in {path}, found {len(numbered)}: part {hole} is missing")
    return [path / numbered[number] for number in sorted(numbered)]


def _open_files(paths: Sequence[Path], vocabulary_size: int | None) -> DataSet:
    if len(paths) == 1 and is_shard(paths[0]):
        return mapped.open_shard(paths[0], vocabulary_size)
    form = next((form for form in FORMS if form.is_one(paths[0])), None)
    if form is None:
        raise ShardError(_no_instances(paths[0]))
    shards = tuple(map(form.open, paths))
    metadata = Metadata(
        max_seq_length=_same(shards, "max_seq_length"), max_predictions=_same(shards, "max_predictions")
    )
    return DataSet(form=form.name, shards=shards, metadata=metadata, vocabulary_size=vocabulary_size)


def _same(shards: Iterable[PaddedShard], name: str) -> int:
    """What all shards that are not empty have. Raises ShardError."""
    found = {getattr(shard, name): shard.path for shard in shards if len(shard)}
    if len(found) > 1:
        words = ", ".join(f"{value} in {path.name}" for value, path in sorted(found.items()))
        raise ShardError(f"expected one {name} in all files, found {words}")
    return next(iter(found), 0)


def _no_instances(path: Path) -> str:
    try:
        require_regular(path)
    except UnreadableError as error:
        return f"expected instances at {path}, found: {error}"
    kind = file_kinds.at(path) or "another file"
    unpack = f". Type: gunzip {path}" if kind == file_kinds.GZIP else ""
    return f"expected instances ({_forms()}) in {path}, found {kind}{unpack}"


def _forms() -> str:
    return ", ".join([mapped.FORM, *(form.name for form in FORMS)])


def _names(path: Path) -> list[str]:
    """Of what is in a directory, without hidden files, in order."""
    try:
        return sorted(one.name for one in path.iterdir() if not one.name.startswith("."))
    except OSError as error:
        raise ShardError(f"expected a directory at {path}, found: {error.strerror}") from error


def _shown(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "") or "nothing"
