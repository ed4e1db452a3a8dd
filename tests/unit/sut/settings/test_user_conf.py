"""user.conf and audit.config: a line that LoadGen would silently ignore or misread is an error that names the line."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.errors import UsageError
from sut.settings import audit_config, user_conf
from sut.settings.resolve import resolve


def read(folder: Path, text: str, samples: int | None = None, **settings: object) -> dict[str, float]:
    path = folder / "user.conf"
    path.write_text(text, encoding="utf-8")
    found = user_conf.read(resolve({"user_conf": path, **settings}), "bert", samples)
    return {key: one.value for key, one in found.settings.items()}


def read_audit(folder: Path, text: str, **settings: object) -> str:
    path = folder / "audit.config"
    path.write_text(text, encoding="utf-8")
    return audit_config.text(audit_config.read(resolve({"audit_config": path, **settings})))


def test_lines_of_this_scenario_and_model_count(tmp_path: Path) -> None:
    text = "# a comment\n\n*.Server.target_qps = 5\nbert.*.min_duration = 7\nllama2-70b.*.ttft_latency = 9\n"
    assert read(tmp_path, text) == {"min_duration": 7}
    assert read(tmp_path, text, scenario="Server") == {"target_qps": 5, "min_duration": 7}
    assert user_conf.read(resolve({}), "bert").settings == {}


def test_the_most_precise_line_counts_in_any_order(tmp_path: Path) -> None:
    lines = [
        f"{name}.min_query_count = {n}" for n, name in enumerate(("*.*", "bert.*", "*.Offline", "bert.Offline"), 1)
    ]
    for kept in range(1, 5):
        for text in ("\n".join(lines[:kept]), "\n".join(reversed(lines[:kept]))):
            assert read(tmp_path, text) == {"min_query_count": kept}


def test_a_line_may_be_written_as_loadgen_takes_it(tmp_path: Path) -> None:
    text = "\ufeff\t*.Offline.target_qps  =  1.5e2 \r\n#no blank behind it\n*.*.min_duration = 0"
    assert read(tmp_path, text) == {"target_qps": 150.0, "min_duration": 0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*.Offline.target_pqs = 5", "'target_pqs' in .*user.conf line 1, .* Did you mean target_qps?"),
        ("\n*.Ofline.target_qps = 5", "'Ofline' in .*user.conf line 2, .* Did you mean Offline?"),
        ("*.Offline.mode = 2", "'mode' .* Known: target_qps, "),
        ("*.*.qsl_rng_seed = 1", "'qsl_rng_seed' in .*line 1, which LoadGen does not read"),
        ("*.*.accuracy_log_probability = 1", "'accuracy_log_probability' .* does not read from a user.conf"),
        ("bret.Offline.target_qps = 5", "found model 'bret' .*, which LoadGen calls 'bert'"),
        ("bert-99.Offline.target_qps = 5", "found model 'bert-99' .*, which LoadGen calls 'bert'"),
        ("*.Offline.target_latency = 5", "found target_latency for Offline .*SingleStream"),
        ("target_qps = 5", "model.scenario.key"),
        ("*.Offline.target_qps", "model.scenario.key"),
        ("*.Offline.target_qps=5", "blanks around '=', .*line 1"),
        ("*.Offline.target_qps = 5 # a comment", "nothing behind it, in .*line 1"),
        ("*.Offline.min_query_count = -3", "0 or more"),
        (
            "*.*.min_duration = 5\n*.*.min_duration = 5",
            r"found \*.\*.min_duration in .*line 2, and in .*line 1. Remove",
        ),
        ("*.Server.target_qps\u00a0=\u00a050", r"in .*line 1, found U\+00A0 \(no-break space\)"),
        ("*.Offline.target_qps = \uff15", r"found U\+FF15 \(fullwidth digit five\)"),
        ("\0*.Offline.target_qps = 5", r"found U\+0000"),
    ],
)
def test_a_line_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("?", r"\?")):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        ("*.min_query_count", ("1e5", "24.5", "1,000", "1_000", "0", "0x10", "010", "+5", str(2**63), "9" * 5000)),
        ("*.min_duration", ("1e3", "nan", "inf", str(2**63))),
        ("*.performance_issue_same", ("2", "1.0", "yes")),
        ("MultiStream.samples_per_query", ("0", "1e1", str(2**32 + 8))),
        ("Offline.target_qps", ("0", "1,000", "nan", "inf", "1e309", "1e300", "0x10", "many", "1e", ".")),
        ("Server.target_latency", ("0", "2.5", "1e3")),
        ("SingleStream.target_latency", ("0", "1e-300")),
        ("Server.target_latency_percentile", ("0", "100", "nan")),
    ],
)
def test_a_value_that_loadgen_would_misread_or_cannot_use(tmp_path: Path, key: str, texts: tuple[str, ...]) -> None:
    for text in texts:
        words = f"number .*for {key.rpartition('.')[2]} in .*user.conf line 2, found '{re.escape(text[:40])}"
        with pytest.raises(UsageError, match=words) as found:
            read(tmp_path, f"# mine\n*.{key} = {text}")
        assert len(str(found.value)) < 400


def test_numbers_that_index_the_samples_are_below_their_number(tmp_path: Path) -> None:
    """LoadGen would crash."""
    text = "*.*.performance_issue_same = 1\n*.*.performance_issue_same_index = 5\n"
    assert read(tmp_path, text, samples=6)
    for more, samples, words in (
        ("", 5, "performance_issue_same_index below 5, .* line 2, found 5"),
        ("*.*.performance_sample_count_override = 3", 6, "below 3"),
        ("*.*.performance_sample_count_override = 7", 6, "override up to 6, .* line 3, found 7"),
        ("*.*.performance_issue_unique = 1", 6, "found both in .*line 1 and .*line 3"),
    ):
        with pytest.raises(UsageError, match=words):
            read(tmp_path, text + more, samples=samples)


@pytest.mark.parametrize("line", ["*.Server.target_latency = 5", "*.Server.max_duration = 1000"])
def test_a_valid_run_keeps_what_the_benchmark_fixes(tmp_path: Path, line: str) -> None:
    assert read(tmp_path, line, scenario="Server")
    with pytest.raises(UsageError, match="a valid run keeps the official value"):
        read(tmp_path, line, scenario="Server", execution_mode="valid")
    assert read(tmp_path, "*.SingleStream.target_latency = 5", scenario="SingleStream", execution_mode="valid")


WORDS = st.sampled_from(
    (
        "*",
        ".",
        "bert",
        "Offline",
        "Server",
        *user_conf.KEYS,
        "=",
        " = ",
        " ",
        "\t",
        "\r",
        "\n",
        "#",
        "1",
        "0",
        "1e5",
        "-",
    )
)


@given(st.lists(WORDS | st.text(max_size=3), max_size=12).map("".join), st.sampled_from(("Offline", "Server")))
def test_any_text_is_read_or_refused_with_its_line(text: str, scenario: str) -> None:
    with TemporaryDirectory() as folder:
        try:
            path = Path(folder, "user.conf")
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            found = user_conf.read(resolve({"user_conf": path, "scenario": scenario}), "bert")
            said, keys = "", list(found.settings)
        except UsageError as error:
            said, keys = str(error), []
    assert not said or "user.conf" in said
    assert all(scenario in user_conf.KEYS[key].fields for key in keys)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.conf, found .*--user-conf"):
        user_conf.read(resolve({"user_conf": tmp_path / "none.conf"}), "bert")
    with pytest.raises(UsageError, match=r"none\.config, found .*--audit-config"):
        audit_config.read(resolve({"audit_config": tmp_path / "none.config"}))
    (tmp_path / "user.conf").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        user_conf.read(resolve({"user_conf": tmp_path / "user.conf"}), "bert")


def test_an_audit_config_logs_answers_and_changes_nothing_else(tmp_path: Path) -> None:
    text = "# TEST01\n*.*.mode = 2\n*.Offline.accuracy_log_rng_seed = 720381539243781796\n"
    assert read_audit(tmp_path, text) == "*.*.mode = 2\n*.*.accuracy_log_rng_seed = 720381539243781796\n"
    assert read_audit(tmp_path, text, scenario="Server") == "*.*.mode = 2\n"
    assert audit_config.text(audit_config.read(resolve({}))) == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("*.*.min_duration = 1", "'min_duration' in .*audit.config line 2, .* Known: mode, accuracy_log_rng_seed"),
        ("*.*.min_query_count = 10", "'min_query_count'"),
        ("*.*.target_qps = 10", "'target_qps'"),
        ("*.*.mode = 1", "from 2 to 2 for mode in .*line 2, found '1'"),
        ("bert.*.accuracy_log_sampling_target = 1", r"expected '\*' as the model in .*line 2"),
        ("garbage", "model.scenario.key"),
    ],
)
@pytest.mark.parametrize("execution_mode", ["test", "valid"])
def test_an_audit_config_that_changes_what_is_measured(
    tmp_path: Path, line: str, words: str, execution_mode: str
) -> None:
    with pytest.raises(UsageError, match=words):
        read_audit(tmp_path, f"# mine\n{line}\n", execution_mode=execution_mode)
