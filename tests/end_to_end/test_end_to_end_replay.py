"""`python -m sut replay`: the same run again, wherever it is typed, and what has changed since."""

from __future__ import annotations

import json
from pathlib import Path

from command import Case, Run, assert_refused


def test_a_replay_repeats_a_run(run: Run, case: Case) -> None:
    first = run("--backend", "fake", "--executor", "inline", "--mode", "accuracy")
    assert first.code == 0
    planned = run("replay", "logs", "--dry-run", with_case=False)
    assert (planned.code, "run --mode accuracy --backend fake" in planned.err) == (0, True)
    assert "no differences" in planned.out
    again = run("replay", "logs/run.json", "--log-dir", "second", with_case=False)
    assert again.code == first.code, again.err
    then, now = again.record("logs"), again.record("second")
    assert {**now["given"], "log_dir": "logs"} == then["given"]
    assert now["checksums"] == then["checksums"] and "dataset" in now["checksums"]
    *_, f1 = [line for line in again.out.splitlines() if line.startswith("F1")]
    assert f1.split()[-1] == "same"  # the same answers
    assert "no differences" in again.out


def test_a_changed_file_is_named(run: Run, case: Case, tmp_path: Path) -> None:
    own = tmp_path / "own.conf"
    own.write_bytes(case.user_conf.read_bytes())
    assert (
        run("--backend", "fake", "--executor", "inline", "--test-query-count", 20, "--user-conf", "../own.conf").code
        == 0
    )
    own.write_text(own.read_text() + "\n# changed\n")
    again = run("replay", "logs", "--log-dir", "second", "--json", with_case=False)
    assert again.code == 0, again.err
    printed = json.loads(again.out)  # nothing else is on standard output
    assert [one["name"] for one in printed["differences"]] == ["checksums.user_conf"]
    assert printed["run"].endswith("second") and printed["verdicts"] == {"then": "VALID", "now": "VALID"}


def test_a_path_without_a_run_is_refused(run: Run) -> None:
    assert_refused(run("replay", "nothing", with_case=False), "nothing")
