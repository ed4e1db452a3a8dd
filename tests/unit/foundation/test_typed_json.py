"""JSON into dataclasses: what fits comes back as it was written, what does not is refused with its path."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.bounded_readers import UnreadableError, parse_json
from foundation.typed_json import NOT_STORED, OTHERS, UNLESS_NONE, decode, encode


@dataclass(frozen=True)
class Circle:
    radius: float
    label: str | None = field(default=None, metadata=UNLESS_NONE)


@dataclass(frozen=True)
class Square:
    side: float


@dataclass(frozen=True, kw_only=True)
class Sheet:
    shape: Circle | Square | None
    kind: Literal["draft", "final"] = "draft"
    path: Path | None = None
    sizes: tuple[int, ...] = ()
    pair: tuple[int, str] = (0, "")
    by_node: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    settings: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    about: object = None
    made: datetime = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


SHEETS = st.builds(
    Sheet,
    shape=st.builds(Circle, st.floats(0, 9), st.none() | st.text()) | st.builds(Square, st.floats(0, 9)) | st.none(),
    kind=st.sampled_from(["draft", "final"]),
    path=st.none() | st.just(Path("a/b")),
    sizes=st.lists(st.integers(-(2**63) + 1, 2**63 - 1)).map(tuple),
    pair=st.tuples(st.integers(0, 9), st.text()),
    by_node=st.dictionaries(st.integers(0, 99), st.lists(st.integers(0, 99)).map(tuple)),
    settings=st.dictionaries(st.text(), st.booleans() | st.integers(0, 9) | st.floats(0, 9) | st.text()),
    about=st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=5),
)


@dataclass(frozen=True)
class Scores:
    metrics: Mapping[str, float] = field(metadata=OTHERS)
    samples: int = 0


def test_keys_that_are_no_field_go_to_the_field_for_others() -> None:
    content = {"f1": 90.5, "exact_match": 80.0, "samples": 3}
    assert decode(Scores, content) == Scores({"f1": 90.5, "exact_match": 80.0}, 3)
    assert encode(decode(Scores, content)) == content
    with pytest.raises(UnreadableError, match=r"'high' instead of a number at \['f1'\]"):
        decode(Scores, {"f1": "high"})


@given(SHEETS)
def test_what_is_written_is_read_back(sheet: Sheet) -> None:
    assert decode(Sheet, json.loads(json.dumps(encode(sheet)))) == sheet


def test_a_marked_field_has_no_key_while_it_is_none() -> None:
    assert encode(Circle(1.0)) == {"radius": 1.0}
    assert encode(Sheet(shape=None))["path"] is None


@dataclass(frozen=True)
class Measured:
    seconds: float
    source: frozenset[str] = field(default=frozenset(), metadata=NOT_STORED)


def test_a_field_that_is_not_stored_is_neither_written_nor_read() -> None:
    assert encode(Measured(1.5, frozenset({"a clock"}))) == {"seconds": 1.5}
    assert decode(Measured, {"seconds": 1.5, "source": ["a clock"]}) == Measured(1.5)


def test_unknown_keys_are_skipped_and_a_whole_number_does_for_a_fraction() -> None:
    assert decode(Circle, {"radius": 2, "colour": "red"}) == Circle(2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "nothing instead of an object or null at shape"),
        ("[]", "a list instead of an object"),
        ('{"shape": 3}', "3 instead of an object or null at shape"),
        ('{"shape": {"radius": "wide"}}', "'wide' instead of a number at shape.radius"),
        ('{"shape": {}}', "nothing instead of a number at shape.radius"),
        ('{"shape": {"radius": NaN}}', "nan instead of a finite number at shape.radius"),
        ('{"shape": {"radius": 1e999}}', "inf instead of a finite number at shape.radius"),
        ('{"shape": {"radius": true}}', "True instead of a number at shape.radius"),
        ('{"shape": null, "kind": "other"}', "'other' instead of one of draft, final at kind"),
        ('{"shape": null, "sizes": [1, 2.5]}', r"2.5 instead of a whole number at sizes\[1\]"),
        (f'{{"shape": null, "sizes": [{2**63}]}}', r"a number beyond 64 bits instead of a whole number at sizes\[0\]"),
        ('{"shape": null, "pair": [1]}', "a list instead of a list of 2 at pair"),
        ('{"shape": null, "by_node": {"x": []}}', "'x' instead of a whole number at a key of by_node"),
        ('{"shape": null, "settings": {"a b": []}}', r"at settings\['a b'\]"),
        ('{"shape": null, "settings": {"a": "\\ud800"}}', "'.ud800' instead of"),
        ('{"shape": null, "path": "a\\u0000b"}', "instead of a path at path"),
        ('{"shape": null, "made": "2026-01-02T03:04:05"}', "instead of a time with its zone in ISO 8601 at made"),
        (f'{{"shape": null, "about": {"[" * 90}{"]" * 90}}}', "nested too deeply at about"),
        (f'{{"shape": null, "kind": "{"x" * 900}"}}', "x… instead of one of draft, final at kind"),
    ],
)
def test_what_does_not_fit_is_named_with_its_path(text: str, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        decode(Sheet, parse_json(text))


def test_a_value_of_any_kind_may_be_missing_and_is_named() -> None:
    @dataclass(frozen=True)
    class Anything:
        value: object

    with pytest.raises(UnreadableError, match="nothing instead of a value at value"):
        decode(Anything, {})


def test_a_path_that_is_not_utf_8_is_read_back() -> None:
    name = os.fsdecode(b"d\xff")
    assert decode(Path, json.loads(json.dumps(encode(Path(name))))) == Path(name)
    assert decode(str, name) == name
