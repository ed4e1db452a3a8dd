"""`--find-peak` as a user sees it: a line for each probe, a peak, and nothing that could be taken for a submission."""

from __future__ import annotations

import re

import pytest
from command import LOGS, Run, assert_refused

FAKE = ("--backend", "fake", "--scenario", "Server", "--find-peak")
SHORT = ("--min-duration-s", 0.2, "--test-query-count", 100)


def test_it_narrows_and_prints_each_probe(run: Run) -> None:
    # Ten samples a batch and 20 ms for each: about 500 samples/s, whatever the machine.
    flags = ("--model", "fake:sleep_ms=20", "--max-batch-tokens", 1800, "--target-latency-ms", 200)
    ended = run(*FAKE, *flags, *SHORT, "--target-qps", 200)
    assert ended.code == 0, ended.err
    lines = re.findall(r"^probe +(\d+): +([\d.,]+) qps .* (VALID|INVALID)$", ended.err, re.MULTILINE)
    record = ended.record()
    probes = record["result"]["probes"]
    assert [int(number) for number, _, _ in lines] == list(range(1, len(probes) + 1))
    assert [verdict == "VALID" for _, _, verdict in lines] == [probe["valid"] for probe in probes]
    assert record["result"]["value"] == max(probe["target_qps"] for probe in probes if probe["valid"])
    assert (record["verdict"], record["submittable"]) == ("PEAK", False)
    assert "peak" in ended.out and "not submittable" in ended.out
    assert not any((ended.folder / "logs" / name).exists() for name in LOGS)
    assert len(list((ended.folder / "logs").glob("probe-*/" + LOGS[1]))) == len(probes)


def test_a_server_too_slow_for_the_latency_has_no_peak(run: Run) -> None:
    flags = ("--model", "fake:sleep_ms=5", "--target-latency-ms", 1, "--target-qps", 1000)
    ended = run(*FAKE, *flags, "--min-duration-s", 0, "--test-query-count", 5)
    assert ended.code == 1, ended.err
    assert ended.record()["verdict"] == "INVALID" and ended.record()["result"]["value"] is None
    assert "none" in ended.out


def test_probes_that_are_too_short_to_be_valid_end_the_search(run: Run) -> None:
    ended = run(*FAKE, "--model", "fake", "--min-duration-s", 0, "--test-query-count", 5, "--target-qps", 100)
    assert_refused(ended, "at least 44 queries in a probe", "found 5. Type: --test-query-count", code=3)


def test_a_backend_that_breaks_while_searching(run: Run) -> None:
    ended = run(*FAKE, *SHORT, "--model", "fake:sleep_ms=1,raise_at=40")
    assert_refused(ended, "told to fail", code=3)
    assert ended.record()["verdict"] == "FAILED"


@pytest.mark.parametrize(
    "flags",
    (
        ("--scenario", "Offline", "--find-peak"),
        ("--scenario", "Server", "--find-peak", "--mode", "accuracy"),
        ("--scenario", "Server", "--find-peak", "--execution-mode", "valid"),
        ("--scenario", "Offline", "--target-latency-ms", 50),
        ("--scenario", "Server", "--target-latency-ms", 50, "--execution-mode", "valid"),
    ),
)
def test_find_peak_goes_with_server_only(refuse: Run, flags: tuple[str, ...]) -> None:
    ended = refuse("--backend", "fake", "--model", "fake", *flags)
    assert_refused(ended, "--scenario Server")
    assert ended.runs == []


def test_a_target_latency_reaches_loadgen(run: Run) -> None:
    ended = run("--backend", "fake", "--model", "fake", "--scenario", "Server", "--target-latency-ms", 70, *SHORT)
    assert ended.detail("effective_target_latency_ns") == 70_000_000
