"""`--target` as a gate: seen passing and failing, in its own line, in run.json and in the exit code; ixRT's presets."""

from __future__ import annotations

import json

import pytest
from command import Case, Run, assert_refused

FAKE = ("--backend", "fake", "--model", "fake", "--test-query-count", 100)


@pytest.mark.parametrize(
    ("scenario", "target", "code", "words"),
    [
        ("Offline", "0.5", 0, "samples/s, expected 0.5 or more"),
        ("Offline", "1e9", 1, "samples/s, expected 1,000,000,000 or more"),
        ("SingleStream", "1e6", 0, "ms, expected 1,000,000 or less"),
        ("SingleStream", "1e-6", 1, "ms, expected 0.000001 or less"),
    ],
)
def test_a_speed_decides_the_exit_code_and_not_the_verdict(
    run: Run, scenario: str, target: str, code: int, words: str
) -> None:
    ended = run(*FAKE, "--scenario", scenario, "--target", target)
    assert ended.code == code, ended.err
    record = ended.record()
    assert record["verdict"] == "VALID"
    assert record["result"]["target_met"] is (code == 0)
    assert record["result"]["target"]["value"] == float(target)
    out = " ".join(ended.out.split())
    assert words in out[out.index("FAIL" if code else "PASS") :]
    assert "counted" in out and record["result"]["counted"] in out


@pytest.mark.parametrize("target", ["bert-99", "-3", "inf", "nan"])
def test_a_target_that_is_not_a_speed(refuse: Run, target: str) -> None:
    ended = refuse(*FAKE, f"--target={target}")
    assert_refused(ended, "samples/s", target, "--mode accuracy")
    assert ended.runs == []


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_accuracy_presets_on_the_demo(run: Run, case: Case, precision: str) -> None:
    pytest.importorskip("torch")
    ended = run("--preset", f"ixrt-{precision}-accuracy", "--model", "demo", "--calibration-samples", 10)
    assert ended.code == 0, ended.err
    record = ended.record()
    assert record["verdict"] == "PASS"
    assert record["config"]["precision"] == ("int8" if precision == "int8" else record["config"]["precision"])
    assert is_said(record["notices"], ended.out) is (precision == "fp16")
    predictions = json.loads((ended.folder / "logs" / "predictions.json").read_text(encoding="utf-8"))
    assert len(predictions) == len(set(case.features.example_index.tolist()))
    assert "predictions.json" in ended.out


def is_said(notices: list[str], out: str) -> bool:
    """True where fp16 became something else and both the file and the screen say so."""
    said = [notice for notice in notices if "--precision fp16" in notice]
    assert all(" ".join(notice.split()) in " ".join(out.split()) for notice in said)
    return bool(said)


def test_an_accuracy_that_is_missed(run: Run) -> None:
    ended = run("--preset", "ixrt-int8-accuracy", "--backend", "fake", "--model", "fake", "--precision", "fp32")
    assert ended.code == 1
    assert ended.record()["verdict"] == "FAIL"


def test_fp16_on_a_backend_without_it_runs_fp32_with_a_notice(run: Run) -> None:
    ended = run(*FAKE, "--precision", "fp16")
    assert ended.code == 0, ended.err
    assert ended.record()["config"]["precision"] == "fp32"
    assert is_said(ended.record()["notices"], ended.out)
