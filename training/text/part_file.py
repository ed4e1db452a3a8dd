"""One part of the text as a file of instances: what a process does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from training.shards import evaluation_set
from training.shards.conversion import WRITERS
from training.shards.data_set import Metadata
from training.shards.shard_file import ShardEntry
from training.text import engine, held_out, source_text
from training.text.errors import TextError
from training.text.parts import Part
from training.text.recipe import Recipe
from training.text.wordpiece import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is held out of the texts."""

    output: Path
    articles: int = held_out.ARTICLES
    samples: int = evaluation_set.SAMPLES  # at most
    definition: str = "reference"


@dataclass(frozen=True, kw_only=True)
class PartJob:
    """What is needed to make one."""

    part: Part
    vocabulary: Path
    is_cased: bool | None
    recipe: Recipe
    path: Path
    form: str  # of WRITERS
    evaluation: Evaluation | None = None  # samples of the part; None: all of it

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
    evaluation: str | None  # which samples these are


def make_part(job: PartJob) -> PartMade:
    """Write the file. Raises TextError if the part has no sentence, ShardWriteError."""
    made = engine.instances(job.part.read(), tokenizer_of(job.vocabulary, job.is_cased), job.recipe, engine.fastest())
    if not len(made):
        raise TextError(f"expected {source_text.KIND}, found no sentence in {job.part.name}. Type another text.")
    in_words = None
    if job.evaluation:
        chosen = (job.evaluation.definition, len(made), min(job.evaluation.samples, len(made)))
        made, in_words = made.take(evaluation_set.rows(*chosen)), evaluation_set.in_words(*chosen)
    metadata = Metadata(max_seq_length=job.recipe.max_seq_length, max_predictions=job.recipe.max_predictions)
    return PartMade(WRITERS[job.form].write(job.path, made, metadata), len(made), made.token_ids.size, in_words)


@lru_cache(maxsize=1)
def tokenizer_of(path: Path, is_cased: bool | None) -> Tokenizer:
    """The tokenizer, once a process. Raises TextError."""
    return Tokenizer(path, is_cased)
