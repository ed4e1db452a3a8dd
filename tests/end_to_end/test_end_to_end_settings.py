"""Where a setting comes from: defaults < TOML < flags; user.conf for LoadGen's settings; nothing from audit.config."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Run, assert_refused

FAKE = ("--backend", "fake", "--model", "fake", "--test-query-count", 60)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The working directory of the command."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_a_flag_wins_over_toml_and_toml_over_the_default(run: Run, here: Path) -> None:
    toml = write(here, "preset.toml", 'scenario = "SingleStream"\ntest_query_count = 70\nmax_batch_tokens = 900\n')
    ended = run(*FAKE, "--test-query-count", 80, "--config", toml)
    assert ended.code == 0, ended.err
    config = ended.record()["config"]
    assert (config["scenario"], config["max_batch_tokens"]) == ("SingleStream", 900)
    assert config["test_query_count"] == 80 == ended.detail("effective_min_query_count")
    assert (config["mode"], config["instances"]) == ("performance", 1)


@pytest.mark.parametrize(
    ("text", "words"),
    (
        ('scenari = "Offline"', ("'scenari'", "Did you mean scenario?")),
        ('scenario = "Ofline"', ("'Ofline'", "Did you mean Offline?")),
        ("instances = -1", ("--instances", "-1")),
        ('instances = "two"', ("--instances", "'two'")),
        ("threads = 1.5", ("--threads", "1.5")),
        ('task = "squat"', ("'squat'", "Did you mean squad?")),
        ("scenario = ", ("TOML", "preset.toml")),
    ),
)
def test_a_toml_file_that_cannot_be_used(refuse: Run, here: Path, text: str, words: tuple[str, ...]) -> None:
    ended = refuse("--backend", "fake", "--model", "fake", "--config", write(here, "preset.toml", text))
    assert_refused(ended, *words)
    assert ended.runs == []


def test_an_invalid_path_in_toml(refuse: Run, here: Path) -> None:
    ended = refuse("--config", write(here, "preset.toml", 'backend = "fake"\ndataset = 5\n'), with_case=False)
    assert_refused(ended, "--dataset", "5")


def test_a_toml_file_that_is_not_there(refuse: Run) -> None:
    assert_refused(refuse("--config", "nowhere.toml"), "nowhere.toml")


@pytest.mark.parametrize(
    ("scenario", "line", "key", "value"),
    (
        ("Offline", "*.Offline.target_qps = 123", "effective_target_qps", 123),
        ("Server", "bert.Server.target_qps = 321", "effective_target_qps", 321),
        ("SingleStream", "*.SingleStream.min_query_count = 77", "effective_min_query_count", 77),
        (
            "Offline",
            "# fewer\n*.Server.target_qps = 5\n*.Offline.min_query_count = 33",
            "effective_min_sample_count",
            33,
        ),
    ),
)
def test_user_conf_reaches_loadgen(run: Run, here: Path, scenario: str, line: str, key: str, value: int) -> None:
    write(here, "user.conf", line)
    ended = run("--backend", "fake", "--model", "fake", "--user-conf", "user.conf", "--scenario", scenario)
    assert ended.errors == []
    assert ended.detail(key) == value


def test_the_flag_wins_over_user_conf(run: Run, here: Path) -> None:
    write(here, "user.conf", "*.Offline.target_qps = 123\n")
    ended = run(*FAKE, "--user-conf", "user.conf", "--target-qps", 77)
    assert (ended.code, ended.detail("effective_target_qps")) == (0, 77)


@pytest.mark.parametrize(
    ("flag", "line"), (("--user-conf", "*.*.target_pqs = 5"), ("--audit-config", "*.*.min_query_count = 5"))
)
def test_a_settings_file_of_loadgen_that_cannot_be_used(refuse: Run, here: Path, flag: str, line: str) -> None:
    write(here, "loadgen.conf", f"\n{line}\n")
    ended = refuse(*FAKE, flag, "loadgen.conf")
    assert_refused(ended, line.split(".")[2].split(" ", maxsplit=1)[0], "loadgen.conf line 2")
    assert ended.runs == []


@pytest.mark.parametrize("line", ("*.*.min_duration = 1000", "*.Offline.min_query_count = 10"))
def test_user_conf_may_not_shorten_a_valid_run(refuse: Run, here: Path, line: str) -> None:
    write(here, "user.conf", line)
    ended = refuse("--backend", "fake", "--model", "fake", "--execution-mode", "valid", "--user-conf", "user.conf")
    assert_refused(ended, line.split(" ", maxsplit=1)[0].rpartition(".")[2])
    assert ended.runs == []


@pytest.mark.parametrize("flags", (("--test-query-count", "5"), ("--min-duration-s", "60"), ("--min-duration-s", "0")))
def test_flags_may_not_shorten_a_valid_run(refuse: Run, flags: tuple[str, str]) -> None:
    ended = refuse("--backend", "fake", "--model", "fake", "--execution-mode", "valid", *flags)
    assert_refused(ended, flags[0], "--execution-mode test")
    assert ended.runs == []


def test_an_audit_config_in_the_working_directory_is_ignored(run: Run, here: Path) -> None:
    # Read by LoadGen, this would log answers in performance mode and fix the queries' number.
    write(here, "audit.config", "*.*.mode = 2\n*.*.accuracy_log_sampling_target = 8\n*.*.min_query_count = 7\n")
    ended = run(*FAKE)
    assert ended.code == 0
    assert ended.detail("effective_min_sample_count") == 60
    assert (here / "logs" / "mlperf_log_accuracy.json").read_text(encoding="utf-8").strip() in ("", "[]", "[\n]")
