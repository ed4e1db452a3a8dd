"""`describe` and `convert`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pretraining_rows import GOLDEN, GOLDEN_SHA256

from training.shards import mapped
from training.shards.commands import convert_command, describe_command
from training.shards.data_set import Metadata
from training.shards.instances import from_rows

METADATA = Metadata(max_seq_length=128, max_predictions=20, dupe_factor=3, seed=12345, texts={"a\x1b.txt": "00"})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    mapped.write_data_set(tmp_path / "data", [from_rows(GOLDEN)], METADATA)
    return tmp_path / "data"


def test_describe_prints_figures_and_one_line_of_json_last(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert describe_command([str(data)]) == 0
    *words, last = capsys.readouterr().out.splitlines()
    tokens = sum(len(row.input_ids) for row in GOLDEN)
    found = json.loads(last)
    assert {name: found[name] for name in ("instances", "tokens", "mean_length", "sha256")} == {
        "instances": 4,
        "tokens": tokens,
        "mean_length": tokens / 4,
        "sha256": GOLDEN_SHA256,
    }
    assert found["metadata"]["seed"] == 12345
    assert "form        memory-mapped, 1 file" in words
    assert f"padding     {1 - tokens / 512:.1%} if padded to 128" in words
    assert "of texts    a\\x1b.txt" in words
    assert words[-1] == f"sha256      {GOLDEN_SHA256}"


def test_convert_and_back(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards, back = tmp_path / "4_shards_uncompressed", tmp_path / "back"
    assert convert_command([str(data), "--format", "hdf5", "--shards", "4", "--output", str(shards)]) == 0
    assert convert_command([str(tmp_path), "--output", str(back)]) == 0  # FlagPerf's layout is seen
    describe_command([str(back)])
    words = capsys.readouterr().out
    assert f"{shards}: 4 instances in 4 shards, hdf5" in words
    assert f"sha256      {GOLDEN_SHA256}" in words


def test_evaluation_samples_of_a_data_set(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--evaluation", "first", "--samples", "3", "--output", str(tmp_path / "eval")]
    assert convert_command([str(data), *flags]) == 0
    assert mapped.open_data_set(tmp_path / "eval").metadata.evaluation == "3 samples, the first of 4 (first)"
    assert "3 instances in 1 shard, mapped" in capsys.readouterr().out
