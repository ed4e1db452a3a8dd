"""Texts in many forms as one sentence a line; and files that are no text."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from training.text.errors import TextError
from training.text.source_text import SourceText, prepare

LINES = "A first sentence.\nA second one.\n\nAnother article.\n"
WIKI = (
    '<doc id="1" url="u" title="One">\nOne\n\nIt is Dr. Smith. He is 3.5 m tall.\n\nA second paragraph.\n</doc>\n'
    '<doc id="2" url="u" title="Two">\nTwo\n\nTwo is two.\n</doc>\n'
)
OBJECTS = [
    {"title": "One", "text": "One\n\nIt is Dr. Smith. He is 3.5 m tall.\nA second paragraph."},
    {"title": "Two", "text": "Two is two."},
]
SPLIT = "It is Dr. Smith.\nHe is 3.5 m tall.\nA second paragraph.\n\nTwo is two.\n\n"


def of(folder: Path, content: str | bytes, language: str | None = None) -> SourceText:
    path = folder / "text"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return prepare(path, folder / "plain.txt", language)


def test_a_text_is_used_where_it_lies(tmp_path: Path) -> None:
    found = of(tmp_path, LINES)
    assert (found.plain, found.size) == (found.path, len(LINES))
    assert not (tmp_path / "plain.txt").exists()


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize(("content", "plain"), [(LINES, LINES), (WIKI, SPLIT)])
def test_compressed_texts(tmp_path: Path, packed: Callable[[bytes], bytes], content: str, plain: str) -> None:
    assert of(tmp_path, packed(content.encode())).plain.read_text() == plain


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        ("It is Dr. Smith. He is 3.5 m tall.\n\n\nA “quoted text.” End", "It is Dr. Smith.\nHe is 3.5 m tall.\n\n\n"),
        (WIKI, SPLIT),
        ("".join(f"{json.dumps(one)}\n" for one in OBJECTS), SPLIT),
        ("\ufeff" + json.dumps(OBJECTS[1]), "Two is two.\n\n"),
        ("word " * 4000, None),
    ],
)
def test_paragraphs_are_split_into_sentences(tmp_path: Path, content: str, plain: str | None) -> None:
    found = of(tmp_path, content, "en").plain.read_text()
    assert found.split() == content.split() if plain is None else found.startswith(plain)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"good\nb\xe9d\n", "not UTF-8 in line 2"),
        (gzip.compress(b"good\nb\xe9d\n", mtime=0), "not UTF-8 in line 2"),
        (b"a\0b\0\n\0", "a binary file"),
        (gzip.compress(LINES.encode(), mtime=0)[:-9], "damaged"),
        (bz2.compress(LINES.encode())[:-9], "damaged"),
        (lzma.compress(LINES.encode())[:-9], "damaged"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b'{"text": "A."}\n{"txt": 1}\n', 'no JSON object with "text" in line 2'),
        (b'{"text": 1}', "in line 1"),
    ],
)
def test_what_is_no_text(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(TextError, match=words):
        of(tmp_path, content)


def test_an_unknown_language(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"expected a language out of am, ar, .* found 'xx'"):
        of(tmp_path, LINES, "xx")
