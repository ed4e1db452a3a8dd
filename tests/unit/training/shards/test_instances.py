"""Instances: rows, slices and gathers, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from pretraining_rows import GOLDEN, GOLDEN_SHA256, INSTANCES, ROWS, hashed

from training.shards.errors import ShardError
from training.shards.fingerprint import Fingerprint, fingerprint, json_rows
from training.shards.instances import Instances, Row, compact, concatenate, from_rows


def test_rows_come_back_as_they_were() -> None:
    found = from_rows(GOLDEN)
    assert list(found.rows()) == GOLDEN
    assert found.token_ids.dtype == found.masked_positions.dtype == np.uint16
    assert found.lengths.tolist() == [len(row.input_ids) for row in GOLDEN]
    assert found.masked_counts.tolist() == [len(row.masked_lm_ids) for row in GOLDEN]


def test_the_hash_is_that_of_the_golden_files() -> None:
    assert fingerprint(from_rows(GOLDEN)) == GOLDEN_SHA256


@settings(max_examples=20, deadline=None)
@given(ROWS)
def test_the_text_that_is_hashed_is_json(rows: list[Row]) -> None:
    assert json_rows(from_rows(rows)) == "".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in rows).encode()
    assert fingerprint(from_rows(rows)) == hashed(rows)


def test_large_ids_are_hashed_too() -> None:
    rows = [Row([101, 2**31 - 1, 102], [0, 0, 1], [1], [1 << 17], 0)]
    assert fingerprint(from_rows(rows)) == hashed(rows)


@settings(max_examples=20, deadline=None)
@given(INSTANCES)
def test_taking_and_cutting_and_joining_are_those_of_lists(instances: Instances) -> None:
    rows, number = list(instances.rows()), len(instances)
    order = np.array([*range(number), *range(0, number, 2)][::-1], np.int64)
    assert list(instances.take(order).rows()) == [rows[one] for one in order]
    assert instances.lengths_of(order).tolist() == [len(rows[one].input_ids) for one in order]
    parts = [instances.part(start, start + 2) for start in range(0, number, 2)]
    assert concatenate(parts) == instances
    assert [list(part.rows()) for part in parts] == [rows[start : start + 2] for start in range(0, number, 2)]


def test_the_hash_does_not_depend_on_blocks() -> None:
    instances, found = from_rows(GOLDEN), Fingerprint()
    for start in range(len(instances)):
        found.add(instances.part(start, start + 1))
    assert found.hexdigest() == GOLDEN_SHA256


def test_equality_is_of_values_not_of_types() -> None:
    instances = from_rows(GOLDEN)
    wide = dataclasses.replace(instances, token_ids=instances.token_ids.astype(np.int32))
    assert wide == instances
    assert wide != from_rows(GOLDEN[:-1])
    assert instances != "instances"


GOOD = Row([2, 7, 3, 8, 3], [0, 0, 0, 1, 1], [1, 3], [7, 9], 1)
WRONG = {
    "at least one token": Row([], [], [], [], 0),
    "1 to all tokens in the first segment": GOOD._replace(segment_ids=[1] * 5),
    "is_random_next of 0 or 1": GOOD._replace(is_random_next=2),
    "masked positions from 1 to the last token": GOOD._replace(masked_lm_positions=[1, 5]),
    "masked positions that ascend": GOOD._replace(masked_lm_positions=[3, 1]),
    "ids and positions of 31 bits": GOOD._replace(input_ids=[2, 7, 3, 8, 2**31]),
}


@pytest.mark.parametrize("expected", WRONG)
def test_wrong_values_are_refused(expected: str) -> None:
    with pytest.raises(ShardError, match=f"expected {expected}, found"):
        from_rows([GOOD, WRONG[expected]])


def test_ids_beyond_the_vocabulary_are_refused() -> None:
    assert from_rows([GOOD]).check(10) == from_rows([GOOD])
    with pytest.raises(ShardError, match="expected token ids from 0 to 8, found others in instance 1"):
        from_rows([GOOD._replace(masked_lm_ids=[7, 8]), GOOD]).check(9)


@pytest.mark.parametrize("field", [one.name for one in dataclasses.fields(Instances)])
def test_wrong_types_and_shapes_are_refused(field: str) -> None:
    instances = from_rows(GOLDEN)
    array = getattr(instances, field)
    for wrong in (array.astype(np.float32), array[:-1], array.reshape(1, -1)):
        with pytest.raises(ShardError, match="expected"):
            dataclasses.replace(instances, **{field: wrong})


def test_offsets_must_span_the_tokens() -> None:
    instances = from_rows(GOLDEN)
    with pytest.raises(ShardError, match=r"expected offsets from 0 to \d+, found 1 to"):
        dataclasses.replace(instances, offsets=instances.offsets + 1)


def test_numbers_take_16_bits_where_they_can() -> None:
    assert compact([0, 65535]).dtype == np.uint16
    assert compact([65536]).dtype == np.int32


def test_none_are_instances_too(tmp_path: Path) -> None:
    assert len(concatenate([])) == 0
    assert fingerprint(from_rows([])) == hashed([])
