"""What is wrong with instances on disk."""

from __future__ import annotations

from qsl.base import DatasetError
from sut.errors import SutError


class ShardError(DatasetError):
    """Instances, or files of them, that cannot be used; the message names the file."""


class ShardWriteError(SutError):
    """Instances could not be written, such as to a full disk: nothing half-written is left."""
