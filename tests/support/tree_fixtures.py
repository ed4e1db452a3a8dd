"""Whole trees, each made once and copied for a test that breaks one."""

from __future__ import annotations

from pathlib import Path

import pytest
from submission_tree import Built, Logs, Trees, build

from submission.rules import rounds

SCENARIOS = {"closed": rounds.REQUIRED_SCENARIOS, "network": rounds.REQUIRED_SCENARIOS, "open": ("Offline",)}


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    """Trees that are not to be touched."""
    folder = tmp_path_factory.mktemp("trees")
    logs = Logs(tmp_path_factory.mktemp("logs"))
    made: dict[object, Built] = {}

    def give(round_name: str, division: str, scenarios: tuple[str, ...] = ()) -> Built:
        of = scenarios or SCENARIOS[division]
        key = (round_name, division, of)
        if key not in made:
            made[key] = build(folder / f"tree{len(made)}", rounds.find(round_name), division, logs, of)
        return made[key]

    return give


@pytest.fixture
def fresh(whole: Trees, tmp_path: Path) -> Trees:
    """As `whole`, but a copy of the test's own."""
    return lambda *what: whole(*what).copy(tmp_path / "tree")
