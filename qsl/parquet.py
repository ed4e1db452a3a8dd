"""Reads parquet, the form in which Hugging Face's hub keeps data sets, with pyarrow: an optional package."""

from __future__ import annotations

from typing import Any

from foundation import installation
from qsl.base import DatasetError
from qsl.data_file import DataFile

_MAGIC = b"PAR1"


def is_parquet(content: bytes) -> bool:
    """True if the content begins like a parquet file."""
    return content.startswith(_MAGIC)


def read(file: DataFile) -> dict[str, list[Any]]:
    """The columns by name, all with the same number of rows.

    Raises:
        DatasetError: pyarrow is not installed, or the file is broken.
    """
    try:
        from pyarrow import ArrowException, BufferReader, parquet
    except ModuleNotFoundError as error:
        raise DatasetError(
            f"reading {file.path} needs pyarrow, which is not installed. Type: {installation.command('parquet')}"
        ) from error
    try:
        columns: dict[str, list[Any]] = parquet.read_table(BufferReader(file.content)).to_pydict()
    except (OSError, ValueError, OverflowError, MemoryError, ArrowException) as error:
        first = str(error).partition("\n")[0]
        raise DatasetError(
            f"expected a complete parquet file at {file.path}, found one cut short or broken "
            f"({first}). Fetch or copy it again."
        ) from error
    return columns
