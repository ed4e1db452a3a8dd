"""user.conf: a line that LoadGen would silently ignore is an error that names the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sut.errors import UsageError
from sut.settings import user_conf
from sut.settings.resolve import resolve


def read(folder: Path, text: str, **settings: object) -> dict[str, str]:
    path = folder / "user.conf"
    path.write_text(text, encoding="utf-8")
    return user_conf.read(resolve({"user_conf": path, **settings}), "bert")


def test_lines_of_this_scenario_and_model_count(tmp_path: Path) -> None:
    text = "# a comment\n\n*.Server.target_qps = 5\nbert.*.min_duration = 7\nresnet50.Offline.target_qps = 9\n"
    assert read(tmp_path, text) == {"min_duration": "7"}
    assert read(tmp_path, text, scenario="Server") == {"target_qps": "5", "min_duration": "7"}
    assert user_conf.read(resolve({}), "bert") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*.Offline.target_pqs = 5", "'target_pqs' in .*user.conf line 1, .* Did you mean target_qps?"),
        ("\n*.Ofline.target_qps = 5", "'Ofline' in .*user.conf line 2, .* Did you mean Offline?"),
        ("*.Offline.mode = 2", "'mode' .* Known: target_qps, "),
        ("bret.Offline.target_qps = 5", "found model 'bret' .*, which LoadGen calls 'bert'"),
        ("*.Offline.target_latency = 5", "found target_latency for Offline .*SingleStream"),
        ("target_qps = 5", "model.scenario.key"),
        ("*.Offline.target_qps=5", "blanks around '=', .*line 1"),
        ("*.Offline.target_qps = 5 # a comment", "nothing behind it, in .*line 1"),
        ("*.Offline.min_query_count = -3", "0 or more"),
    ],
)
def test_a_line_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("?", r"\?")):
        read(tmp_path, text)


@pytest.mark.parametrize("line", ["*.Server.target_latency = 5", "*.Server.max_duration = 1000"])
def test_a_valid_run_keeps_what_the_benchmark_fixes(tmp_path: Path, line: str) -> None:
    assert read(tmp_path, line, scenario="Server")
    with pytest.raises(UsageError, match="a valid run keeps the official value"):
        read(tmp_path, line, scenario="Server", execution_mode="valid")
    assert read(tmp_path, "*.SingleStream.target_latency = 5", scenario="SingleStream", execution_mode="valid")


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.conf, found .*--user-conf"):
        user_conf.read(resolve({"user_conf": tmp_path / "none.conf"}), "bert")
    (tmp_path / "user.conf").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        user_conf.read(resolve({"user_conf": tmp_path / "user.conf"}), "bert")
