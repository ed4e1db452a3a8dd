"""What counts as cleared caches."""

from __future__ import annotations

from pathlib import Path

from training.records import caches


def test_the_whole_cache_is_dropped_where_that_is_allowed(tmp_path: Path) -> None:
    drop = tmp_path / "drop_caches"
    drop.touch()
    assert caches.clear([], drop) == caches.PAGE_CACHE
    assert drop.read_text() == "3"


def test_otherwise_the_pages_of_the_data_are_given_up(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a").write_bytes(b"a")
    assert caches.clear([tmp_path / "shards"], tmp_path / "none" / "drop") == caches.DATA_FILES


def test_nothing_is_claimed_that_was_not_done(tmp_path: Path) -> None:
    assert caches.clear([tmp_path / "missing"], tmp_path / "none" / "drop") is None
