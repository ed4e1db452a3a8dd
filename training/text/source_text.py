"""The texts that a user names, as plain text: one sentence a line, a blank line between articles.

A file in this form is used where it lies; another is written in it, into a directory for the command's time:
compressed files, WikiExtractor's output, JSON lines with "text", and paragraphs that are to be split into sentences.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from foundation import file_kinds
from foundation.bounded_readers import UnreadableError, require_regular
from training.text.errors import TextError
from training.text.sentences import Splitter

_LANGUAGE = "en"  # of forms that have paragraphs, unless it is given
KIND = "a text (UTF-8, one sentence a line, a blank line between articles)"
_BLOCK = 1 << 22
_HEAD = 4096
_BINARY_SHARE = 10  # a text may have a stray zero byte, which the tokenizer drops; not each tenth
# First bytes → what opens such a file.
_PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError)  # and OSError without a number


@dataclass(frozen=True)
class SourceText:
    """A text that a user named."""

    path: Path
    plain: Path  # in the form of KIND; `path` itself if it has that form
    size: int  # of `plain`, bytes
    sha256: str  # of `path`


def prepare(path: Path, plain: Path, language: str | None) -> SourceText:
    """Check a text, and write it to `plain` if it has another form.

    Args:
        language: its paragraphs are to be split into sentences of this language; None: if its form has paragraphs.

    Raises:
        TextError: it is no text; the message names the line.
    """
    try:
        head = _head(path)
        if _form(head) == "lines" and language is None and _opener(head) is open:
            return SourceText(path, path, *_checked(path))
        _write(path, head, plain, language)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return SourceText(path, plain, plain.stat().st_size, digest)
    except UnreadableError as error:
        raise TextError(f"expected {KIND} at {path}, found {error}. Type the path of one.") from error


def _head(path: Path) -> bytes:
    require_regular(path)
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error


def _checked(path: Path) -> tuple[int, str]:
    """Size and sha256 of a file of UTF-8 text, read in blocks that end with a line."""
    found, size, line = hashlib.sha256(), 0, 1
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            block += file.readline()
            _decoded(block, line)
            found.update(block)
            size += len(block)
            line += block.count(b"\n")
    return size, found.hexdigest()


def _decoded(block: bytes, line: int) -> str:
    """Raises UnreadableError, which names the line; `line` is that of the block's start."""
    try:
        text = block.decode()
    except UnicodeDecodeError as error:
        at = line + block.count(b"\n", 0, error.start)
        raise UnreadableError(
            file_kinds.of(block) or f"bytes that are not UTF-8 in line {at:,} ({error.reason})"
        ) from error
    if _BINARY_SHARE * text.count("\0") > len(text):
        raise UnreadableError("a binary file: zero bytes")
    return text


def _form(head: bytes) -> str:
    """What the first line shows: "articles" of WikiExtractor, "JSON" lines, or "lines" of text."""
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if first.startswith(b"<doc "):
        return "articles"
    return "JSON" if first.startswith(b'{"') else "lines"


def _write(path: Path, head: bytes, plain: Path, language: str | None) -> None:
    with _opener(head)(path, "rb") as file, plain.open("w", encoding="utf-8", newline="\n") as written:
        lines = _lines(file)
        first = next(lines, "").removeprefix("\ufeff")
        form = _form(first.encode())
        paragraphs = _PARAGRAPHS[form](chain([first], lines))
        if form == "lines" and language is None:
            written.writelines(paragraphs)
            return
        split = Splitter(language or _LANGUAGE)
        for paragraph in paragraphs:
            written.writelines(f"{sentence}\n" for sentence in split(paragraph) or [""])


def _opener(head: bytes) -> Callable[..., Any]:
    """What opens a file that begins so."""
    return next((opener for start, opener in _PACKED.items() if head.startswith(start)), open)


def _lines(file: Iterable[bytes]) -> Iterator[str]:
    """Raises UnreadableError for what is not UTF-8, and for damage of a compressed file."""
    try:
        for number, line in enumerate(file, 1):
            yield _decoded(line, number)
    except (*_DAMAGED, OSError) as error:
        if getattr(error, "errno", None):  # the disk's
            raise
        raise UnreadableError(f"a compressed file that is damaged ({error})") from error


def _wiki_paragraphs(lines: Iterator[str]) -> Iterator[str]:
    """Of each `<doc …>`: its paragraphs without the title, which is the first of them, and a blank line."""
    is_title = False
    for line in lines:
        text = line.strip()
        if text.startswith("<doc "):
            is_title = True
        elif text == "</doc>":
            yield ""
        elif text and not is_title:
            yield text
        elif text:
            is_title = False


def _json_paragraphs(lines: Iterator[str]) -> Iterator[str]:
    """Of each object: the lines of its "text", without one that is its "title", and a blank line."""
    for number, line in enumerate(lines, 1):
        found = None
        with suppress(ValueError, RecursionError):
            found = json.loads(line) if line.strip() else {"text": ""}
        text = found.get("text") if isinstance(found, dict) else None
        if not isinstance(found, dict) or not isinstance(text, str):
            raise UnreadableError(f'no JSON object with "text" in line {number:,}')
        paragraphs = [one.strip() for one in text.encode(errors="replace").decode().splitlines()]
        yield from (one for one in paragraphs if one and one != found.get("title"))
        yield ""


_PARAGRAPHS: dict[str, Callable[[Iterator[str]], Iterator[str]]] = {
    "lines": lambda lines: lines,
    "articles": _wiki_paragraphs,
    "JSON": _json_paragraphs,
}
