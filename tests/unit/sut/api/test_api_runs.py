"""The Python interface, without a run: its names, its settings, and how a run's last words become an error."""

from __future__ import annotations

from pathlib import Path

import pytest

import sut
from sut.api import runs, scores
from sut.errors import RunFailedError, SutError, UsageError
from sut.settings import typed_keywords
from sut.settings.settings import SETTINGS, RunConfig


def test_every_public_name_is_there_and_no_other() -> None:
    assert [name for name in sut.__all__ if getattr(sut, name) is None] == []
    assert set(sut.__all__) <= set(dir(sut))
    with pytest.raises(AttributeError, match="'sut' has no attribute 'runs'"):
        _ = sut.runs  # type: ignore[attr-defined] # mypy knows the names


def test_the_keywords_are_those_of_the_table() -> None:
    path = Path(typed_keywords.__file__).with_name("keywords.py")
    assert path.read_text(encoding="utf-8") == typed_keywords.source(), "type: make docs"
    assert set(sut.RunSettings.__annotations__) == set(SETTINGS)


def test_settings_are_a_runs(tmp_path: Path) -> None:
    toml = tmp_path / "best.toml"
    toml.write_text('backend = "fake"\nbatch_size = 4\n', encoding="utf-8")
    given = {"batch_size": 8, "log_dir": tmp_path, "dataset": str(tmp_path), "threads": None}
    found = runs.resolved(given, toml)
    assert found == RunConfig(backend="fake", batch_size=8, log_dir=tmp_path, dataset=tmp_path)
    assert runs.resolved({}) == RunConfig()


@pytest.mark.parametrize(
    ("code", "text", "kind", "message"),
    [
        (2, "error: expected a, found b.\n", UsageError, "expected a, found b."),
        (3, "12 samples\nerror: the run FAILED: x.\n", RunFailedError, "the run FAILED: x."),
        (3, "error: the first.\n\nerror: interrupted.\n", RunFailedError, "interrupted."),
        (-9, "12 samples\n", RunFailedError, "the run ended with exit code -9 and without a message."),
        (1, "", RunFailedError, "the run ended with exit code 1 and without a message."),
    ],
)
def test_the_last_words_of_a_run_are_the_error(code: int, text: str, kind: type[SutError], message: str) -> None:
    error = runs.error_of(code, text)
    assert type(error) is kind and str(error) == message


def test_a_traceback_stays_with_the_error() -> None:
    error = runs.error_of(3, "Traceback (most recent call last):\n  …\nZeroDivisionError: division by zero\n")
    assert error.__notes__[0].endswith("ZeroDivisionError: division by zero")


def test_a_log_alone_is_scored_against_data_that_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dataset="):
        scores.score(tmp_path / "mlperf_log_accuracy.json")
    with pytest.raises(UsageError, match="expected the record of a run"):
        sut.load(tmp_path)
