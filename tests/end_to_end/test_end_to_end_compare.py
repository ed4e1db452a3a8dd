"""`python -m sut compare`: engines carried to another cache, the gate passing and failing, one line of JSON last."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command import Case, Ended, Run, assert_refused

PRESET = "ixrt-int8-performance"
BRIEF = ("--model", "demo", "--test-query-count", 70, "--accuracy-samples", 20, "--calibration-samples", 8)


def compare(run: Run, case: Case, *args: object, cache: Path | None = None) -> Ended:
    data = ("--dataset", case.dataset, "--cache-dir", cache or case.cache, "--user-conf", case.user_conf)
    return run("compare", PRESET, *BRIEF, *data, *args, with_case=False)


def told(ended: Ended) -> dict[str, Any]:
    last: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
    return last


def test_an_engine_built_here_executes_where_nothing_can_be_built(run: Run, case: Case, tmp_path: Path) -> None:
    own = ("--backend", "onnxruntime", "--calibration-dataset", case.dataset)
    built = compare(run, case, *own, "--build", "--engines", "built", cache=tmp_path / "first")
    assert built.code == 0, built.err
    assert told(built)["built"][PRESET]["build_s"] > 0
    shutil.rmtree(tmp_path / "first")
    (built.folder / "built").rename(built.folder / "carried")
    no_data = ("--backend", "onnxruntime", "--calibration-dataset", "nowhere.json")
    ended = compare(
        run, case, *no_data, "--execute", "--engines", "carried", "--output-dir", "out", cache=tmp_path / "2"
    )
    assert ended.code == 0, ended.out + ended.err
    assert "building" not in ended.err + "".join(path.read_text() for path in (ended.folder / "out").rglob("*.txt"))
    one = told(ended)["compare"][0]
    assert (one["reference"]["what"], one["accelerated"]["what"]) == ("onnxruntime fp32", "onnxruntime int8")
    assert one["passed"] is told(ended)["passed"] is True
    assert one["built"]["build_s"] == told(built)["built"][PRESET]["build_s"]
    for row in (one["reference"], one["accelerated"]):
        assert 0 < row["engine_latency_ms"] < row["latency_ms"]
        assert row["engine_samples_per_s"] > row["samples_per_s"] > 0
        assert row["samples_answered"] == 20
    assert "trial run" in ended.out and "PASS" in ended.out


def test_the_gate_fails_where_the_accuracy_is_lost(run: Run, case: Case) -> None:
    ended = compare(run, case, "--backend", "fake", "--precision", "fp32")
    assert ended.code == 1, ended.out + ended.err
    one = told(ended)["compare"][0]
    assert one["passed"] is False
    assert one["lost"] > one["may_lose"] == 3.4
    assert "FAIL  F1 lost" in ended.out
    assert "fake backend" in ended.out


def test_an_engine_of_another_kind_of_machine_is_reported(run: Run, case: Case) -> None:
    from sut.commands.compare.engines import PresetEngine

    built = PresetEngine(
        backend="pytorch",
        precision="int8",
        model="demo",
        engine="key",
        build_s=1.0,
        built_on={"architecture": "sparc", "processor": "of old"},
    )
    assert built.is_foreign
    assert not PresetEngine(
        backend="pytorch", precision="fp32", model="demo", engine=None, build_s=None, built_on=None
    ).is_foreign


def test_nothing_was_built(refuse: Run, case: Case) -> None:
    ended = compare(refuse, case, "--backend", "onnxruntime", "--execute", "--engines", "empty")
    assert_refused(ended, "empty", "--build")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("ixrt-int8-performence",), ("Did you mean ixrt-int8-performance",)),
        ((PRESET, "--mode", "accuracy"), ("--mode", "sets it")),
        ((PRESET, "--model", "demo", "--dataset", "demo", "--precision", "int3"), ("unknown --precision", "int3")),
    ],
)
def test_input_that_it_refuses(refuse: Run, case: Case, args: tuple[str, ...], words: tuple[str, ...]) -> None:
    ended = refuse("compare", *args, "--cache-dir", case.cache, with_case=False)
    assert_refused(ended, *words)
