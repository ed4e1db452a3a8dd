"""run.json: what is written is read back, the first edition's is read too, anything else is refused with its path."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import records
from hypothesis import given
from hypothesis import strategies as st

from accuracy.targets import TARGETS
from foundation.bounded_readers import UnreadableError
from foundation.typed_json import encode
from sut.errors import UsageError
from sut.record import run_record
from sut.record.results import AccuracyResult, PeakResult, Probe
from sut.record.run_record import Engine, RunRecord

ACCURACY = AccuracyResult(
    metrics={"exact_match": 80.5, "f1": 91.0},
    of_answered=91.0,
    samples_answered=10,
    total_sample_count=10,
    target=TARGETS["demo"],
)
PEAK = PeakResult(
    value=250.5, probes=(Probe(250.5, True, 251.0, 99.5, ()), Probe(300.0, False, 260.0, None, ("slow",)))
)
ENGINE = Engine("abc", {"calibration_samples": 500, "built_on": {"processor": "x"}, "ranges": [1, 2.5]})


@pytest.mark.parametrize(
    "record",
    [
        records.record(),
        records.record(result=ACCURACY, verdict="PASS", submittable=True),
        records.record(result=PEAK, verdict="PEAK", engine=ENGINE),
        records.record(verdict="FAILED", reasons=("it broke",), instance_died="instance 1 died", result=None),
        RunRecord(verdict="unfinished", config=records.record().config),
    ],
    ids=("performance", "accuracy", "peak", "failed", "unfinished"),
)
def test_a_record_is_read_as_it_was_written(tmp_path: Path, record: RunRecord) -> None:
    path = run_record.write(tmp_path, record)
    assert run_record.read(tmp_path) == run_record.read(path) == record
    assert [one.name for one in tmp_path.iterdir()] == ["run.json"]


def test_a_run_json_of_the_first_edition_is_read_and_every_key_of_it_is_still_written(tmp_path: Path) -> None:
    found = run_record.read(records.FIRST_EDITION)
    assert (found.record_version, found.verdict, found.samples, found.config.instances) == (1, "VALID", 1255, 1)
    content, written = records.first_edition(), json.loads(run_record.write(tmp_path, found).read_text())
    config = written["config"]
    assert set(config) - set(content["config"]) == {
        "stall_timeout_s",
        "node",
        "token_file",
        "tls_cert",
        "tls_key",
        "tls_ca",
        "address",
        "allow_open_cluster",
        "nodes",
        "network_division",
    }
    written["config"] = {key: config[key] for key in content["config"]}
    assert {key: written[key] for key in content} == content
    assert set(written) - set(content) == {"record_version", "instance_died"}


def test_the_keys_of_each_kind_of_result() -> None:
    def keys(record: RunRecord) -> list[str]:
        return [name.removeprefix("result.") for name in run_record.flat(record) if name.startswith("result.")]

    assert keys(records.record(result=ACCURACY))[:5] == [
        "exact_match", "f1", "of_answered", "samples_answered", "total_sample_count",
    ]  # fmt: skip
    assert keys(records.record(result=PEAK)) == ["metric", "unit", "value", "probes"]
    assert "target_met" not in keys(records.record())


def test_an_older_record_lacks_what_was_not_recorded_then() -> None:
    found = run_record.parse({"verdict": "VALID", "config": {"scenario": "Server", "gone": 1}})
    assert (found.record_version, found.config.scenario, found.config.backend) == (1, "Server", "onnxruntime")
    assert (found.given, found.machine, found.result, found.notices) == (None, None, None, ())


def test_a_distribution_without_a_version_makes_no_record_unreadable() -> None:
    content = records.first_edition()
    content["distributions"]["damaged"] = None
    assert (run_record.parse(content).distributions or {})["damaged"] is None


@pytest.mark.parametrize("version", [0, 3, 99])
def test_a_record_of_another_version_is_refused_with_its_number(tmp_path: Path, version: int) -> None:
    (tmp_path / "run.json").write_text(json.dumps(records.first_edition() | {"record_version": version}))
    with pytest.raises(UsageError, match=rf"version {version}; this release reads versions up to 2"):
        run_record.read(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("config", "threads"), "four", "'four' instead of a whole number at config.threads"),
        (("instances_ready", 0, "load_s"), None, r"None instead of a number at instances_ready\[0\].load_s"),
        (("result", "latency_ms", "fast"), 1.0, "'fast' instead of one of 50.00, .* at a key of result.latency_ms"),
        (("verdict",), "GOOD", "'GOOD' instead of one of unfinished, VALID"),
        (("samples",), 10**30, "a number beyond 64 bits instead of a whole number at samples"),
        (("batches", "instances"), {}, "an object instead of a list at batches.instances"),
        (("topology", "cpus_by_node", "zero"), [], "'zero' instead of a whole number"),
        (("config", "dataset"), "a\0b", "instead of a path at config.dataset"),
        (("progress", "tokens"), float("inf"), "inf instead of a whole number at progress.tokens"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(path: tuple[Any, ...], value: Any, message: str) -> None:
    content = records.first_edition()
    records.inner(content, path[:-1])[path[-1]] = value
    with pytest.raises(UnreadableError, match=message):
        run_record.parse(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "a list instead of an object"),
        (b"{}", "nothing instead of one of .* at verdict"),
        (b'{"verdict": "VALID"}', "nothing instead of an object at config"),
        (b"\xc3\x28", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"record_version": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_files_that_are_not_records_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UsageError, match=rf"run\.json, found .*{message}"):
        run_record.read(tmp_path)


def test_paths_that_are_not_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder" / "run.json").mkdir(parents=True)
    for name, message in (("fifo", "not a regular file"), ("folder", "a directory"), ("nowhere", "No such file")):
        with pytest.raises(UsageError, match=message):
            run_record.read(tmp_path / name)


@given(st.data())
def test_a_changed_record_is_a_record_or_is_refused_with_the_path(data: st.DataObject) -> None:
    content, path = records.changed(data)
    found = parsed(content)
    if isinstance(found, str):
        assert str(path[0]) in found
    else:
        assert parsed(encode(found)) == found


def parsed(content: Any) -> RunRecord | str:
    """The record, or why it is none."""
    try:
        return run_record.parse(json.loads(json.dumps(content)))
    except UnreadableError as error:
        return str(error)


class Page:
    """What IPython hands to a value that shows itself."""

    def __init__(self, page: io.StringIO) -> None:
        self.text = page.write


def test_a_notebook_shows_a_record_in_a_few_lines() -> None:
    found = replace(records.record(), reasons=("too slow",), warnings=("a busy machine",))
    page = io.StringIO()
    found._repr_pretty_(Page(page), cycle=False)
    lines = page.getvalue().splitlines()
    assert lines[0].startswith("Offline performance: squad, ") and "samples/s" in lines[1]
    assert {"why: too slow", "warning: a busy machine", f"logs: {found.config.log_dir}"} <= set(lines)
