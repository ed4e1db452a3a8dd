"""`python -m sut replay`: the same run again, wherever it is typed, and what has changed since."""

from __future__ import annotations

from command import Case, Run, assert_refused


def test_a_run_again(run: Run, case: Case) -> None:
    first = run("--backend", "fake", "--test-query-count", 20, "--mode", "accuracy")
    assert first.code == 0
    planned = run("replay", "logs", "--dry-run", with_case=False)
    assert (planned.code, "run --mode accuracy --backend fake" in planned.err) == (0, True)
    assert "nothing differs" in planned.out
    again = run("replay", "logs/run.json", "--log-dir", "second", with_case=False)
    assert again.code == first.code, again.err
    then, now = again.record("logs"), again.record("second")
    assert {**now["given"], "log_dir": "logs"} == then["given"]
    assert now["checksums"] == then["checksums"] and "dataset" in now["checksums"]
    assert "+0.0%" in again.out  # the same answers have the same F1
    assert "nothing differs" in again.out


def test_a_changed_file_is_named(run: Run, case: Case) -> None:
    user_conf = run("--backend", "fake", "--test-query-count", 20, "--user-conf", "own.conf")
    assert_refused(user_conf, "own.conf")
    own = user_conf.folder / "own.conf"
    own.write_bytes(case.user_conf.read_bytes())
    assert run("--backend", "fake", "--test-query-count", 20, "--user-conf", "own.conf").code == 0
    own.write_text(own.read_text() + "\n# changed\n")
    again = run("replay", "logs", "--log-dir", "second", with_case=False)
    assert again.code == 0, again.err
    assert "checksums.user_conf: " in again.out


def test_what_is_no_run_is_refused(run: Run) -> None:
    assert_refused(run("replay", "nothing", with_case=False), "nothing")
