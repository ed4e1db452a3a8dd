"""What a query sample library holds: features laid end to end, no padding, cut by offsets.

One flat array per field costs no Python object per sample, maps straight from disk, and lets a batch of packed
tokens be gathered with one `numpy.concatenate`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from foundation.arrays import Int32, Int64
from foundation.errors import UserError


class DatasetError(UserError, ValueError):
    """A data set or a vocabulary that cannot be used: the message says what was wanted, what was found, what to do."""


@dataclass(frozen=True)
class Features:
    """N samples, T tokens in all; sample i owns tokens `offsets[i]:offsets[i + 1]`."""

    input_ids: Int32  # [T]
    token_type_ids: Int32  # [T]
    offsets: Int64  # [N + 1]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def open(self) -> Features:
        """These: what a handle is where there are no files to map."""
        return self

    @property
    def lengths(self) -> Int64:
        """Tokens of each sample, int64 [N]."""
        return np.diff(self.offsets)

    @property
    def total_tokens(self) -> int:
        return int(self.offsets[-1])

    def sample(self, index: int) -> tuple[Int32, Int32]:
        """(input_ids, token_type_ids) of one sample, each int32 [its length]."""
        where = slice(self.offsets[index], self.offsets[index + 1])
        return self.input_ids[where], self.token_type_ids[where]

    def touch(self, indexes: Iterable[int]) -> None:
        """Bring these samples' pages into memory, as LoadGen's load_query_samples asks."""
        for index in indexes:
            for array in self.sample(index):
                array.max(initial=0)

    def digest(self) -> str:
        """sha256 over the samples in order: each one's input_ids, then its token_type_ids, as little-endian int32."""
        sha = hashlib.sha256()
        for start, stop in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True):
            sha.update(self.input_ids[start:stop].astype("<i4", copy=False).tobytes())
            sha.update(self.token_type_ids[start:stop].astype("<i4", copy=False).tobytes())
        return sha.hexdigest()
