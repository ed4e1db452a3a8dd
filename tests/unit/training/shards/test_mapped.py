"""Our own form: round trips, and what damage is noticed when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damage import full_disk
from hypothesis import given, settings
from pretraining_rows import GOLDEN, GOLDEN_SHA256, INSTANCES

from training.shards import mapped
from training.shards.data_set import DataSet, Metadata
from training.shards.errors import ShardError, ShardWriteError
from training.shards.fingerprint import fingerprint
from training.shards.instances import Instances, from_rows
from training.shards.shard_file import write_shard

METADATA = Metadata(max_seq_length=128, max_predictions=20, vocabulary_size=3_055, seed=12345, texts={"a.txt": "00"})
PARTS = [from_rows(GOLDEN[:1]), from_rows(GOLDEN[1:3]), from_rows([]), from_rows(GOLDEN[3:])]
ROWS = np.array([3, 0, 2, 2, 1])


def written(folder: Path) -> DataSet:
    mapped.write_data_set(folder / "data", PARTS, METADATA)
    return mapped.open_data_set(folder / "data")


def test_a_data_set_is_its_shards_in_order(tmp_path: Path) -> None:
    found = written(tmp_path)
    assert len(found) == 4
    assert found.metadata == METADATA
    assert fingerprint(found) == GOLDEN_SHA256
    assert found.take(ROWS) == from_rows(GOLDEN).take(ROWS)
    assert found.lengths_of(ROWS).tolist() == [len(GOLDEN[row].input_ids) for row in ROWS]
    assert len(found.take(ROWS[:0])) == len(found.lengths_of(ROWS[:0])) == 0
    found.verify()
    assert [path.name for path in sorted((tmp_path / "data").iterdir())] == [
        "data_set.json",
        *(mapped.shard_name(number, 4) for number in range(4)),
    ]


@settings(max_examples=20, deadline=None)
@given(INSTANCES)
def test_a_shard_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, instances: Instances) -> None:
    path = tmp_path_factory.mktemp("shard") / "a.shard"
    write_shard(path, instances)
    found = mapped.open_shard(path)
    assert found.take(np.arange(len(instances))) == instances
    assert found.take(np.arange(len(instances))[::-1]) == instances.take(np.arange(len(instances))[::-1])
    found.verify()


def test_rows_that_do_not_exist_are_a_mistake_of_the_caller(tmp_path: Path) -> None:
    found = written(tmp_path)
    for rows in ([-1], [0, 4]):
        with pytest.raises(IndexError):
            found.take(np.array(rows))


@pytest.mark.parametrize("position", [9, 13, 40, 330, -300, -1])
def test_a_flipped_bit_is_noticed_when_it_is_read(tmp_path: Path, position: int) -> None:
    """In the preamble, its checksum, the header, an index and the data."""
    found = written(tmp_path)
    path = found.shards[1].path
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(ShardError, match=rf"{path.name}.*: expected .*, found"):
        found.take(ROWS)
    with pytest.raises(ShardError, match=rf"{path.name}.*: expected .*, found"):
        found.verify()


def test_the_message_names_the_file_the_instance_and_both_checksums(tmp_path: Path) -> None:
    found = written(tmp_path)
    path = found.shards[1].path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert len(found.take(ROWS[1:2])) == 1  # another shard is as good as before
    with pytest.raises(
        ShardError, match=r"00001-of-00004.shard: expected CRC-32 of instance 1 \w{8}, found \w{8}\. The"
    ):
        found.take(ROWS)
    with pytest.raises(ShardError, match=r"00001-of-00004.shard: expected sha256 \w{64}, found \w{64}\. The file"):
        found.verify()


def test_a_shard_that_is_cut_missing_or_another_is_noticed_at_the_start(tmp_path: Path) -> None:
    found = written(tmp_path)
    folder, path = tmp_path / "data", found.shards[3].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(ShardError, match=r"00003-of-00004.shard: expected [\d,]+ bytes, found"):
        mapped.open_data_set(folder)
    path.unlink()
    with pytest.raises(ShardError, match=r"00003-of-00004.shard: expected a shard of instances, found No such file"):
        mapped.open_data_set(folder)
    write_shard(path, from_rows([GOLDEN[3]._replace(is_random_next=1 - GOLDEN[3].is_random_next)]))
    with pytest.raises(ShardError, match=r"expected the shard that data_set.json lists, found another"):
        mapped.open_data_set(folder).take(ROWS)


def test_ids_beyond_the_vocabulary_are_noticed_at_the_start(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(ShardError, match=r"expected token ids below 2000, found \d+ in part"):
        mapped.open_data_set(tmp_path / "data", vocabulary_size=2_000)


@pytest.mark.parametrize("limit", [{"max_seq_length": 108}, {"max_predictions": 13}, {"vocabulary_size": 2_000}])
def test_shards_that_are_not_what_the_metadata_say_make_no_data_set(tmp_path: Path, limit: dict[str, int]) -> None:
    with pytest.raises(ShardError, match=r"expected (at most|token ids below) .* in part-0000"):
        mapped.write_data_set(tmp_path / "data", PARTS, replace(METADATA, **limit))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    mapped.write_data_set(tmp_path / "data", PARTS, METADATA)
    index = tmp_path / "data" / mapped.INDEX
    name, value = next(iter(limit.items()))
    words = f'"{name}": {getattr(METADATA, name)}'
    index.write_text(index.read_text().replace(words, f'"{name}": {value}'))
    with pytest.raises(ShardError, match=r"data_set.json: expected .* in part-0000"):
        mapped.open_data_set(tmp_path / "data")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(ShardError, match=r"expected no data set at .* yet, found one"):
        written(tmp_path)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        full_disk(600),
        pytest.raises(
            ShardWriteError, match=r"expected to write .*/data/part-00001-of-00004.shard, found: File too large"
        ),
    ):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []
