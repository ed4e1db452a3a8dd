"""The features of a query sample library: all samples end to end, without padding, separated by offsets.

One flat array per field needs no Python object per sample, can be read from disk at once, and allows a packed batch to
be gathered with one `numpy.concatenate`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foundation.errors import UserError

if TYPE_CHECKING:  # the table of tasks imports this module for a help page, without NumPy
    from foundation.arrays import Int32, Int64


class DatasetError(UserError, ValueError):
    """A data set or a vocabulary that cannot be used; the message says what was expected and what was found."""


@dataclass(frozen=True)
class Features:
    """N samples, T tokens in total; sample i owns tokens `offsets[i]:offsets[i + 1]`."""

    input_ids: Int32  # [T]
    token_type_ids: Int32  # [T]
    offsets: Int64  # [N + 1]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def open(self) -> Features:
        """The features themselves: without cache files they are their own handle."""
        return self

    @property
    def lengths(self) -> Int64:
        """Tokens of each sample, int64 [N]."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def total_tokens(self) -> int:
        """T, the tokens of all samples."""
        return int(self.offsets[-1])

    def sample(self, index: int) -> tuple[Int32, Int32]:
        """(input_ids, token_type_ids) of one sample, each int32 [its length]."""
        where = slice(self.offsets[index], self.offsets[index + 1])
        return self.input_ids[where], self.token_type_ids[where]

    def touch(self, indexes: Iterable[int]) -> None:
        """Load these samples' pages into memory, as LoadGen's load_query_samples requires."""
        for index in indexes:
            for array in self.sample(index):
                array.max(initial=0)

    def digest(self) -> str:
        """sha256 over the samples in order: of each its input_ids, then its token_type_ids, as little-endian int32."""
        sha = hashlib.sha256()
        for start, stop in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True):
            sha.update(self.input_ids[start:stop].astype("<i4", copy=False).tobytes())
            sha.update(self.token_type_ids[start:stop].astype("<i4", copy=False).tobytes())
        return sha.hexdigest()
