"""The operations of a run, counted by hand; and the limit of a machine: whose it is, what is kept, what is read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import records
from small_bert import SMALL

from sut.record import machine_limit, operations
from sut.record.machine_limit import MachineLimit
from sut.record.measurements import InstanceReady
from sut.record.nodes import NodeRecord
from sut.record.run_record import RunRecord

RUN = records.record(geometry=SMALL)
KEY = machine_limit.key(RUN)
assert KEY is not None


def limit(gops: float, read_gb_s: float, day: int = 1) -> MachineLimit:
    return MachineLimit(
        measured=datetime(2026, 11, day, tzinfo=UTC),
        processor="a processor",
        cores=2,
        precision="fp32",
        hidden_size=SMALL.hidden_size,
        intermediate_size=SMALL.intermediate_size,
        gops=gops,
        ways={"1024 tokens": gops},
        read_gb_s=read_gb_s,
    )


@pytest.mark.parametrize(("precision", "each"), [("fp32", 4), ("bf16", 2), ("int8-dynamic", 1), ("int3", None)])
def test_operations_are_those_of_the_matrices_and_of_attention(precision: str, each: int | None) -> None:
    lengths = np.array([3, 7, 8])
    assert RUN.progress is not None
    progress = replace(RUN.progress, tokens=int(lengths.sum()), squared_tokens=int((lengths**2).sum()))
    found = operations.of(SMALL, precision, progress)
    matrices = [shape for name, shape in SMALL.shapes().items() if ".layer." in name and len(shape) == 2]
    weights = sum(rows * columns for rows, columns in matrices)
    queries_keys = sum(2 * length * length * SMALL.hidden_size for length in lengths.tolist())
    assert found.products == 2 * weights * 18  # a multiplication and an addition for each token and weight
    assert found.attention == SMALL.num_hidden_layers * 2 * queries_keys  # and as many of weights with values
    assert found.weight_bytes == (each and each * weights)


def test_operations_are_what_the_engine_multiplies() -> None:
    assert RUN.progress is not None
    whole = operations.of(SMALL, "int8", RUN.progress)
    ready = InstanceReady(load_s=1, samples_per_s=1, batch_s=1, token_s=1, packed=True)
    narrow = replace(ready, product_weights=SMALL.product_weights // 2, attention_channels=64)
    assert operations.of(SMALL, "int8", RUN.progress, [ready, ready]) == whole
    found = operations.of(SMALL, "int8", RUN.progress, [narrow, narrow])
    assert (found.products * 2, found.attention * 3) == (whole.products, whole.attention)
    assert found.weight_bytes == SMALL.product_weights // 2
    mixed = operations.of(SMALL, "int8", RUN.progress, [narrow, ready])
    assert mixed.products == (found.products + whole.products) // 2


@pytest.mark.parametrize(
    "change",
    [
        {"geometry": None},
        {"precision": "fp8"},
        {"machine": None},
        {"nodes": (NodeRecord(address="a:1", name="a", instances=1, planned_for="Offline", sent="indexes",
                              samples_per_s=1.0, batches=1, samples=1),)},
    ],
    ids=("no geometry", "products that are not measured", "no machine", "on nodes"),
)  # fmt: skip
def test_a_run_that_this_machine_cannot_be_measured_for_has_no_limit(change: dict[str, Any]) -> None:
    assert machine_limit.key(replace(RUN, **change)) is None


def test_a_run_on_gpus_has_none() -> None:
    assert RUN.topology is not None
    assert machine_limit.key(replace(RUN, topology=replace(RUN.topology, gpus=("a GPU",)))) is None


def test_a_limit_is_of_one_machine_precision_and_size(tmp_path: Path) -> None:
    def path(run: RunRecord) -> Path:
        key = machine_limit.key(run)
        assert key is not None and not machine_limit.is_of_this_machine(key._replace(cores=10**6))
        return machine_limit.path(key, tmp_path)

    assert RUN.machine is not None
    others = [
        replace(RUN, machine=replace(RUN.machine, processor="another")),
        replace(RUN, machine=replace(RUN.machine, cores=64)),
        replace(RUN, precision="bf16"),
        replace(RUN, geometry=replace(SMALL, hidden_size=2 * SMALL.hidden_size)),
    ]
    assert len({path(run) for run in (RUN, *others)}) == 5
    same = replace(RUN, geometry=replace(SMALL, num_hidden_layers=9), precision="int8-dynamic")
    assert path(same) == path(replace(RUN, precision="int8"))


def test_of_two_measurements_the_higher_rates_are_kept(tmp_path: Path) -> None:
    assert KEY is not None and machine_limit.read(KEY, tmp_path) is None
    assert machine_limit.keep(KEY, limit(100.0, 9.0), tmp_path) == limit(100.0, 9.0)
    assert machine_limit.keep(KEY, limit(90.0, 12.0, day=2), tmp_path) == limit(100.0, 12.0)
    assert machine_limit.keep(KEY, limit(110.0, 5.0, day=3), tmp_path) == limit(110.0, 12.0, day=3)
    assert machine_limit.read(KEY, tmp_path) == limit(110.0, 12.0, day=3)
    machine_limit.path(KEY, tmp_path).write_text('{"gops": 1}', encoding="utf-8")
    assert machine_limit.read(KEY, tmp_path) is None
