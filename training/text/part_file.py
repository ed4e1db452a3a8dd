"""One part of the text as a file of instances: what a process does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from foundation.arrays import Int64
from training.shards.instances import Instances
from training.shards.shard_file import ShardEntry, write_shard
from training.text import engine, source_text
from training.text.errors import TextError
from training.text.parts import Part
from training.text.recipe import Recipe
from training.text.wordpiece import Tokenizer


def _write_mapped(path: Path, instances: Instances, recipe: Recipe) -> ShardEntry:
    return write_shard(path, instances)


# Form → the suffix of its files, and what writes one.
FORMS: Mapping[str, tuple[str, Callable[[Path, Instances, Recipe], ShardEntry | None]]] = {
    "mapped": (".shard", _write_mapped),
}


@dataclass(frozen=True, kw_only=True)
class PartJob:
    """What is needed to make one."""

    part: Part
    vocabulary: Path
    is_cased: bool | None
    recipe: Recipe
    path: Path  # with the suffix of another form, which is replaced
    form: str
    samples: int | None = None  # at most, evenly spread; None: all

    @property
    def size(self) -> int:
        """Bytes of text."""
        return self.part.size


@dataclass(frozen=True)
class PartMade:
    """A file that was written; the entry is that of our own form."""

    entry: ShardEntry | None
    instances: int
    tokens: int


def make_part(job: PartJob) -> PartMade:
    """Write the file. Raises TextError if the part has no sentence, ShardWriteError."""
    made = engine.instances(job.part.read(), tokenizer_of(job.vocabulary, job.is_cased), job.recipe, engine.fastest())
    if not len(made):
        raise TextError(f"expected {source_text.KIND}, found no sentence in {job.part.name}. Type another text.")
    if job.samples is not None and job.samples < len(made):
        made = made.take(_spread(len(made), job.samples))
    suffix, write = FORMS[job.form]
    return PartMade(write(job.path.with_suffix(suffix), made, job.recipe), len(made), made.token_ids.size)


@lru_cache(maxsize=1)
def tokenizer_of(path: Path, is_cased: bool | None) -> Tokenizer:
    """The tokenizer, once a process. Raises TextError."""
    return Tokenizer(path, is_cased)


def _spread(number: int, samples: int) -> Int64:
    """As the reference's pick_eval_samples: with the rounding of its ratio."""
    ratio = number / samples
    return np.array([int(i * ratio) for i in range(samples)], np.int64)
