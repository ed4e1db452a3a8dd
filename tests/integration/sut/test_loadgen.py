"""The settings that LoadGen ends up with: official where they must be, ours only in trials, the user's in between."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paths import ROOT

from foundation.rules import SCENARIOS
from sut.errors import UsageError
from sut.queries import loadgen
from sut.settings import user_conf
from sut.settings.resolve import resolve


def settings(samples: int = 1200, samples_per_s: float = 100.0, **flags: Any) -> Any:
    config = resolve(flags)
    return loadgen.plan(config, "bert", samples, samples_per_s, user_conf.read(config, "bert", samples)).settings


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "user.conf"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_official_values_are_those_of_mlperf_conf(scenario: str) -> None:
    """mlperf.conf in this repository is for readers; here LoadGen's own reading of it meets what LoadGen embeds."""
    import mlperf_loadgen as lg

    embedded, ours = lg.TestSettings(), lg.TestSettings()
    assert embedded.FromConfig("", "bert", scenario, 0) == 0
    assert ours.FromConfig(str(ROOT / "mlperf.conf"), "bert", scenario, 2) == 0
    names = [name for name in dir(embedded) if not name.startswith("_") and name != "FromConfig"]
    differing = {name for name in names if getattr(embedded, name) != getattr(ours, name)}
    assert all("seed" in name for name in differing)  # LoadGen takes seeds from its embedded file alone
    for name in ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed"):
        text = (ROOT / "mlperf.conf").read_text(encoding="utf-8")
        found = re.search(rf"^\*\.\*\.{name} = (\d+)$", text, re.MULTILINE)
        assert found is not None
        assert int(found[1]) == getattr(embedded, name)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_valid_run_is_official(scenario: str) -> None:
    found = settings(scenario=scenario, execution_mode="valid", samples=10_833)
    official = {"Offline": 10_833, "Server": 100, "SingleStream": 100, "MultiStream": 662}
    assert found.min_duration_ms == 600_000
    assert found.min_query_count == official[scenario]
    assert found.performance_sample_count_override == 10_833


def test_a_trial_is_short_and_fits_the_machine() -> None:
    assert settings(samples_per_s=1.0).min_query_count == 24
    assert settings(samples_per_s=0.1).min_query_count == 1
    assert settings(samples_per_s=100.0, scenario="MultiStream").min_query_count == 662
    assert settings(samples_per_s=10.0, scenario="MultiStream").min_query_count == 12
    assert settings(samples_per_s=50.0).min_query_count == 500
    assert settings(samples_per_s=1e6).min_query_count == 1200
    assert settings(samples_per_s=1e6).min_duration_ms == 0
    assert settings(samples_per_s=1e6).performance_sample_count_override == 1200
    assert settings(test_query_count=7).min_query_count == 7
    assert settings(min_duration_s=2.5).min_duration_ms == 2500


@pytest.mark.parametrize(
    ("scenario", "field", "measured", "asked"),
    [
        ("Offline", "offline_expected_qps", 110.0, 8.0),
        ("Server", "server_target_qps", 30.0, 8.0),
        ("SingleStream", "single_stream_expected_latency_ns", 4e6, 1.25e8),
        ("MultiStream", "multi_stream_expected_latency_ns", 3.2e7, 1.25e8),
    ],
)
def test_the_speed_is_the_flags_else_user_confs_else_measured(
    tmp_path: Path, scenario: str, field: str, measured: float, asked: float
) -> None:
    assert getattr(settings(scenario=scenario), field) == pytest.approx(measured)
    assert getattr(settings(scenario=scenario, target_qps=8.0), field) == pytest.approx(asked)
    conf = written(tmp_path, f"*.{scenario}.{'target_qps = 3' if field.endswith('qps') else 'target_latency = 7'}\n")
    by_conf = getattr(settings(scenario=scenario, user_conf=conf), field)
    assert by_conf == pytest.approx(3.0 if field.endswith("qps") else 7e6)
    assert getattr(settings(scenario=scenario, user_conf=conf, target_qps=8.0), field) == pytest.approx(asked)


_NUMBERS = {"target_qps": "2.5", "target_latency": "3", "target_latency_percentile": "95.5"}
_LINE = st.builds(
    lambda model, scenario, key, more: f"{model}.{scenario}.{key} = {_NUMBERS.get(key, '1')}{more}",
    st.sampled_from(("*", "bert", "resnet50")),
    st.sampled_from(("*", *SCENARIOS)),
    st.sampled_from(sorted(set(user_conf.KEYS) - {"performance_issue_unique"})),
    st.sampled_from(("", " ", "\r")),
)


@given(st.lists(_LINE, min_size=1, max_size=6), st.sampled_from(sorted(SCENARIOS)))
@example(
    [f"*.*.{key} = {_NUMBERS.get(key, '1')}" for key in user_conf.KEYS if key != "performance_issue_unique"], "Server"
)
def test_a_user_conf_means_what_loadgen_itself_makes_of_it(lines: list[str], scenario: str) -> None:
    """Our table of keys and fields, and which of several lines counts, against LoadGen's own reading of the file."""
    import mlperf_loadgen as lg

    with TemporaryDirectory() as folder:
        path = Path(folder, "user.conf")
        path.write_text("\n".join(lines), encoding="utf-8")
        try:
            found = user_conf.read(resolve({"scenario": scenario, "user_conf": path}), "bert", 10_833)
        except UsageError:
            return  # another test's matter
        theirs, ours = lg.TestSettings(), lg.TestSettings()
        for one in (theirs, ours):
            assert one.FromConfig("", "bert", scenario, 0) == 0
        assert theirs.FromConfig(str(path), "bert", scenario, 2) == 0
    loadgen.apply(ours, found, scenario)
    names = [name for name in dir(ours) if not name.startswith("_") and name != "FromConfig"]
    of_others = {name for key in user_conf.KEYS.values() for of, name in key.fields.items() if of != scenario}
    of_this = {key.fields[scenario] for key in user_conf.KEYS.values() if scenario in key.fields}
    compared = [name for name in names if name in of_this or name not in of_others]
    assert {name: getattr(ours, name) for name in compared} == {name: getattr(theirs, name) for name in compared}


@pytest.mark.parametrize("line", ["*.*.min_duration = 1000", "bert.Offline.min_query_count = 24"])
def test_a_user_conf_cannot_shorten_a_valid_run(tmp_path: Path, line: str) -> None:
    conf = written(tmp_path, line)
    with pytest.raises(UsageError, match="valid run"):
        settings(user_conf=conf, execution_mode="valid")
    assert settings(user_conf=conf).min_duration_ms <= 1000  # in a trial it may


@pytest.mark.parametrize(
    ("scenario", "line", "field", "expected"),
    [
        ("Offline", "target_qps = 1", "offline_expected_qps", 1.0),
        ("Server", "target_qps = 1", "server_target_qps", 1.0),
        ("Offline", "min_duration = 600000", "min_duration_ms", 600_000),
        ("SingleStream", "min_query_count = 100", "min_query_count", 100),
        ("SingleStream", "target_latency = 10", "single_stream_expected_latency_ns", 1e7),
    ],
)
def test_what_a_user_conf_says_counts_though_it_equals_loadgens_default(
    tmp_path: Path, scenario: str, line: str, field: str, expected: float
) -> None:
    conf = written(tmp_path, f"*.{scenario}.{line}\nresnet50.*.min_query_count = 5\n")
    assert getattr(settings(scenario=scenario, user_conf=conf), field) == expected


@pytest.mark.parametrize(
    "line",
    [
        "Server.target_latency = 60000",
        "*.target_latency_percentile = 50",
        "*.performance_issue_same = 1",
        "*.performance_sample_count_override = 1",
        "*.sample_concatenate_permutation = 1",
        "*.max_duration = 700000",
        "*.max_query_count = 100",
    ],
)
def test_a_user_conf_cannot_relax_a_valid_run(tmp_path: Path, line: str) -> None:
    conf = written(tmp_path, f"bert.{line}\n")
    with pytest.raises(UsageError, match="valid run"):
        settings(user_conf=conf, execution_mode="valid", scenario="Server")
    settings(user_conf=conf, scenario="Server")


def test_the_user_conf_of_this_repository_is_one_that_loadgen_reads() -> None:
    assert settings(user_conf=ROOT / "user.conf").min_query_count == 1000
    tuned = re.findall(r"^#   (\*\..*)$", (ROOT / "user.conf").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(tuned) == 4


def test_the_examples_in_user_conf_hold(tmp_path: Path) -> None:
    text = (ROOT / "user.conf").read_text(encoding="utf-8").replace("#   *", "*")
    conf = written(tmp_path, text)
    assert settings(user_conf=conf).offline_expected_qps == 500
    assert settings(user_conf=conf, scenario="SingleStream").single_stream_expected_latency_ns == 2e6


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_sut_with_a_name_is_asked_for_it(tmp_path: Path, scenario: str) -> None:
    asked: list[str] = []

    def name() -> str:
        asked.append("name")
        return 'Network SUT: "a",\n\\b.example:7000'  # LoadGen would write it into JSON as it is

    loadgen.start_test(
        settings(scenario=scenario, test_query_count=4, target_qps=1000.0),
        tmp_path,
        samples=20,
        issue_queries=answer,
        load_query_samples=lambda indexes: None,
        sut_name=name,
    )
    assert len(asked) == 2
    logged = [json.loads(line.removeprefix(":::MLLOG ")) for line in lines(tmp_path / "mlperf_log_detail.txt")]
    assert [one["value"] for one in logged if one["key"] == "sut_name"] == ["Network SUT: _a_,__b.example:7000"]
    assert "SUT name : Network SUT: _a_,__b.example:7000" in lines(tmp_path / "mlperf_log_summary.txt")


def answer(ids: list[int], indexes: list[int]) -> None:
    loadgen.complete(np.asarray(ids, np.int64), np.zeros((len(ids), 2), np.float32), np.ones(len(ids), np.int64))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()
