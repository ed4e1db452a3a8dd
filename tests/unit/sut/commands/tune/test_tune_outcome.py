"""What a tuning leaves: TOML that a run takes, the standings of its table, the closing lines."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import records

from submission.submit import request
from sut.commands.tune import outcome, table
from sut.commands.tune.outcome import Best
from sut.commands.tune.request import Request
from sut.commands.tune.trials import TrialRow
from sut.record.results import PeakResult
from sut.settings.resolve import resolve

PERFORMANCE = records.record().performance
assert PERFORMANCE is not None


def row(speed: float | None, rung: int = 0, turn: int = 1, **settings: Any) -> TrialRow:
    return TrialRow(
        exit_code=0,
        verdict="VALID",
        error=None if speed else "it broke",
        figures={},
        result=replace(PERFORMANCE, value=speed) if PERFORMANCE and speed else None,
        kind="trial",
        settings={"backend": "pytorch", "precision": "int8", **settings},
        rung=rung,
        turn=turn,
        given={},
        chosen={"instances": 2, "cores_per_instance": 1, "max_batch_tokens": 1536},
        wall_s=1.0,
        log_dir="",
    )


ROWS = [
    row(700.0),
    row(900.0, max_batch_tokens=768),
    row(None, max_batch_tokens=1),
    row(800.0, 1, 1),
    row(760.0, 1, 2),
    row(750.0, 1, 3),
]


def best(**changes: Any) -> Best:
    found = Best(
        config=resolve({"backend": "pytorch", "precision": "int8", "dataset": Path('a "b".json')}),
        standing=next(one for one in table.standings(ROWS) if one.trials == 4),
        record=records.record(),
        unit="samples/s",
        share=0.71,
        peak_gops=820.0,
        accuracy=None,
        goal=None,
    )
    return replace(found, **changes)


def test_a_candidate_stands_by_the_median_of_its_longest_trials() -> None:
    found = [(one.speed, one.rung, one.trials, one.error) for one in table.standings(ROWS)]
    assert found == [(900.0, 0, 1, None), (760.0, 1, 4, None), (None, 0, 1, "it broke")]


def test_best_toml_is_read_as_the_winners_settings() -> None:
    found = tomllib.loads(outcome.toml(best()))
    config = resolve({}, found)
    assert (config.backend, config.precision, config.dataset) == ("pytorch", "int8", Path('a "b".json'))
    assert (config.instances, config.cores_per_instance, config.max_batch_tokens) == (2, 1, 1536)
    assert all(line.startswith("#") or " = " in line for line in outcome.toml(best()).splitlines())


def test_submit_takes_them_for_all_its_scenarios(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    path.write_text(outcome.toml(best(config=resolve({"scenario": "SingleStream", "backend": "pytorch"}))), "utf-8")
    asked, _ = request.parse(["--short", "--submitter", "N", "--output-dir", "o", "--config", str(path)])
    assert (asked.run.backend, asked.run.instances, asked.run.max_batch_tokens) == ("pytorch", 2, 1536)
    assert set(asked.scenarios) == {"Offline", "SingleStream"}


def test_the_closing_lines_say_how_good_it_is_and_what_to_type(tmp_path: Path) -> None:
    default = table.standings([row(190.0, precision="fp32")])[0]
    path = tmp_path / "best.toml"
    lines = dict(reversed(outcome.lines(best(), default, path)))
    assert lines["Offline"] == "760 samples/s"
    assert lines["of the limit"] == "71% of this machine's 820 GOP/s"
    assert "4.0 times as fast" in lines[""]
    assert outcome.commands(best(), path)[0] == f"python -m sut --config {path}"
    server = replace(records.record(), result=PeakResult(value=760.0, probes=()))
    config = replace(best().config, scenario="Server")
    commands = outcome.commands(best(config=config, record=server, unit="queries/s"), path)
    assert commands[0].endswith("--target-qps 760") and "--target-qps" not in commands[1]


@pytest.mark.parametrize(("was_short", "says"), [(True, "--resume --minutes 5 --output-dir "), (False, "Logs: ")])
def test_a_tuning_without_a_winner_says_what_to_type(was_short: bool, says: str, tmp_path: Path) -> None:
    asked = Request(axes=[], values={}, toml={}, target=None, minutes=0.5, folder=tmp_path / "tuned", resume=False)
    found = outcome.nothing(asked, was_short=was_short)
    assert f"{says}{tmp_path / 'tuned'}" in found and "\n" not in found


def test_the_table_marks_the_best_and_shows_a_latency_in_its_unit() -> None:
    found = table.standings(ROWS)
    rows = table.columns(found, "ms", {("pytorch", "int8"): "F1 99.16"}, found[0]).rows
    assert [one[0] for one in rows] == ["▶ pytorch int8", "  pytorch int8", "  pytorch int8"]
    assert "1.111" in rows[0] and "F1 99.16" in rows[0] and "84%" in rows[1]
