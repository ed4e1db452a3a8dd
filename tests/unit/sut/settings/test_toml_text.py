"""What --print-config prints is what --config takes: the same settings come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sut.errors import UsageError
from sut.settings import toml_text
from sut.settings.resolve import given, read_toml, resolve


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"threads": 2, "target_qps": 1e-05, "find_peak": False, "roi": True, "scenario": "server"},
        {"model": 'a "quoted"\\ name\x7f\x1b\n#', "dataset": Path("café/𝄞.json"), "target": "89.5"},
        {"node": "10.0.0.5:7000,10.0.0.6:7000", "executor": "remote", "network_division": True},
        {"preset": "ixrt-int8-performance", "threads": 1},
    ],
)
def test_a_printed_configuration_is_read_back(tmp_path: Path, values: dict[str, Any]) -> None:
    asked = resolve(values)
    file = tmp_path / "run.toml"
    file.write_text(toml_text.of_run(asked), encoding="utf-8")
    again = resolve({}, read_toml(file))
    assert given(again) == given(asked)


def test_what_toml_cannot_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="expected model in UTF-8"):
        toml_text.text({"model": "a\udcff"})


def test_defaults_are_comments() -> None:
    lines = toml_text.of_run(resolve({"threads": 2})).splitlines()
    assert lines[0] == "threads = 2"
    assert "# scenario: Offline" in lines and all(line.startswith("#") for line in lines[1:])
