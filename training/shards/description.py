"""What a data set holds: reads all of it, and compares every checksum on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundation.people_numbers import count
from training.shards.data_set import DataSet, Metadata, Progress
from training.shards.directory import missing_of_flagperf, open_instances
from training.shards.errors import ShardError
from training.shards.fingerprint import Fingerprint
from training.shards.instances import blocks

_BLOCK = 1024  # instances that are read at a time


@dataclass(frozen=True, kw_only=True)
class Description:
    """Figures of a data set; the lengths are in tokens."""

    form: str
    files: int
    instances: int
    tokens: int
    mean_length: float
    longest: int
    max_seq_length: int
    padding_share: float  # of instances that are padded to max_seq_length
    masked: int  # tokens
    masked_per_instance: float
    random_next_share: float
    largest_id: int
    metadata: Metadata
    missing: tuple[str, ...]  # of FlagPerf's data_dir
    sha256: str


def describe(path: Path, vocabulary_size: int | None = None, progress: Progress = lambda *_: None) -> Description:
    """Read everything at a path. Raises ShardError: there is nothing, or something is damaged."""
    missing = missing_of_flagperf(path) if path.is_dir() else ()
    return description(open_instances(path, vocabulary_size), missing, progress)


def description(found: DataSet, missing: tuple[str, ...] = (), progress: Progress = lambda *_: None) -> Description:
    """The figures of a data set that is open. Raises ShardError for a damaged one."""
    if not len(found):
        raise ShardError(f"expected instances in {count(len(found.shards), 'file')} of {found.form}, found none")
    found.verify()
    fingerprint, totals, longest, largest_id = Fingerprint(), np.zeros(3, np.int64), 0, 0
    for number, block in enumerate(blocks(found, _BLOCK)):
        progress(number * _BLOCK, len(found))
        fingerprint.add(block)
        totals += (block.token_ids.size, block.masked_ids.size, int(block.is_random_next.sum()))
        longest = max(longest, int(block.lengths.max()))
        largest_id = max(largest_id, *(int(ids.max(initial=0)) for ids in (block.token_ids, block.masked_ids)))
    tokens, masked, random_next = totals.tolist()
    width = found.metadata.max_seq_length
    return Description(
        form=found.form,
        files=len(found.shards),
        instances=len(found),
        tokens=tokens,
        mean_length=tokens / len(found),
        longest=longest,
        max_seq_length=width,
        padding_share=1 - tokens / (len(found) * max(width, longest)),
        masked=masked,
        masked_per_instance=masked / len(found),
        random_next_share=random_next / len(found),
        largest_id=largest_id,
        metadata=found.metadata,
        missing=missing,
        sha256=fingerprint.hexdigest(),
    )
