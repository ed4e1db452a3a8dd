"""The runs that a comparison makes: each takes the settings that it is given."""

from __future__ import annotations

import pytest

from sut.commands.compare import command, runs
from sut.settings import flags, presets
from sut.settings.parser import new_parser
from sut.settings.resolve import resolve, to_flags


@pytest.mark.parametrize("preset", presets.table())
def test_each_run_is_one_that_run_takes(preset: str) -> None:
    """Of a preset with a length in steps or a KPI, too."""
    parser = new_parser("run")
    flags.add(parser, "run")
    accelerated = command.settings_of(resolve({"preset": preset}))
    for config in (accelerated, command.reference(accelerated)):
        found = runs.planned(config, 20)
        assert (found["accuracy"].mode, found["accuracy"].test_query_count) == ("accuracy", 20)
        assert (found["latency"].steps, found["throughput"].steps) == (None, config.steps)
        for one in found.values():
            values, toml = flags.split(parser.read(to_flags(one)), "run")
            assert resolve(values, toml) == one
