"""Whatever lies at a path is opened by its content, described, and refused with what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from damage import full_disk
from pretraining_rows import GOLDEN, GOLDEN_SHA256

from training.shards import evaluation_set, hdf5, mapped, tfrecord
from training.shards.conversion import WRITERS, convert, shard_sizes
from training.shards.data_set import DataSet, Metadata
from training.shards.description import describe
from training.shards.directory import FLAGPERF, missing_of_flagperf, open_evaluation, open_instances
from training.shards.errors import ShardError, ShardWriteError
from training.shards.fingerprint import fingerprint
from training.shards.instances import from_rows
from training.shards.shard_file import write_shard

FOUR = from_rows(GOLDEN)
ROWS = np.array([3, 0, 2, 2, 1])
METADATA = Metadata(max_seq_length=128, max_predictions=20)


def own(folder: Path) -> Path:
    mapped.write_data_set(folder / "own", [FOUR.part(0, 2), FOUR.part(2, 4)], METADATA)
    return folder / "own"


def own_file(folder: Path) -> Path:
    write_shard(folder / "one", FOUR)
    return folder / "one"


def own_layout(folder: Path) -> Path:
    (folder / "all").mkdir()
    mapped.write_data_set(folder / "all" / "train", [FOUR], METADATA)
    mapped.write_data_set(folder / "all" / "eval", [FOUR.part(0, 1)], METADATA)
    return folder / "all"


def hdf5_file(folder: Path) -> Path:
    hdf5.write_file(folder / "a", FOUR, 128, 20, compressed=True)
    return folder / "a"


def hdf5_directory(folder: Path) -> Path:
    """Two of the files have more than one digit: names are no order."""
    (folder / "h").mkdir()
    for number in range(12):
        start, stop = (number, number + 1) if number < 3 else (3, 4) if number == 11 else (0, 0)
        hdf5.write_file(folder / "h" / f"part_{number}_of_12.hdf5", FOUR.part(start, stop), 128, 20)
    return folder / "h"


def flagperf(folder: Path) -> Path:
    convert(open_instances(own(folder)), folder / "f" / FLAGPERF[0], "hdf5", 2)
    (folder / "f" / FLAGPERF[1]).mkdir()
    hdf5.write_file(folder / "f" / FLAGPERF[1] / "part_eval_10k.hdf5", FOUR.part(0, 1), 128, 20)
    return folder / "f"


def tfrecord_file(folder: Path) -> Path:
    tfrecord.write_file(folder / "t.tfrecord", FOUR, 128, 20)
    return folder / "t.tfrecord"


def mlperf(folder: Path) -> Path:
    (folder / "m").mkdir()
    for number in range(2):
        part = FOUR.part(2 * number, 2 * number + 2)
        tfrecord.write_file(folder / "m" / f"part-{number:05}-of-00002", part, 128, 20)
    tfrecord.write_file(folder / "m" / "eval_10k", FOUR.part(0, 1), 128, 20)
    return folder / "m"


FORMS: dict[Callable[[Path], Path], str] = {
    make: form
    for form, makes in {
        "memory-mapped": (own, own_file, own_layout),
        "HDF5": (hdf5_file, hdf5_directory, flagperf),
        "TFRecord": (tfrecord_file, mlperf),
    }.items()
    for make in makes
}


@pytest.mark.parametrize("make", FORMS)
def test_every_form_holds_the_same_instances(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    found = open_instances(make(tmp_path))
    assert found.form == FORMS[make]
    assert fingerprint(found) == GOLDEN_SHA256
    assert found.take(ROWS) == FOUR.take(ROWS)
    assert found.lengths_of(ROWS).tolist() == FOUR.lengths[ROWS].tolist()
    assert (found.metadata.max_seq_length, found.metadata.max_predictions) in ((128, 20), (109, 16))


@pytest.mark.parametrize("make", [own_layout, flagperf, mlperf])
def test_evaluation_samples_lie_next_to_the_training_data(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert open_evaluation(make(tmp_path)).take(np.zeros(1, np.int64)) == FOUR.part(0, 1)


def test_a_directory_without_evaluation_samples_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"eval_set_uncompressed/part_eval_10k.hdf5, eval/ or eval_10k; found data"):
        open_evaluation(own(tmp_path))


def test_flagperfs_directory_says_what_is_missing(tmp_path: Path) -> None:
    path = flagperf(tmp_path)
    assert missing_of_flagperf(path) == ("bert_config.json", "model.ckpt-28252.pt")
    assert missing_of_flagperf(tmp_path) == ()
    (path / FLAGPERF[0]).rename(tmp_path / "elsewhere")
    with pytest.raises(ShardError, match=r"missing: 2048_shards_uncompressed, bert_config.json, model.ckpt-28252.pt"):
        open_instances(path)


def empty(path: Path) -> None:
    for one in path.iterdir():
        one.unlink()


def another_width(path: Path) -> None:
    hdf5.write_file(path / "part_1_of_2.hdf5", FOUR.part(2, 4), 256, 20)


def another_total(path: Path) -> None:
    hdf5.write_file(path / "part_1_of_3.hdf5", FOUR.part(2, 4), 128, 20)


def web_page(path: Path) -> None:
    (path / "part_0_of_2.hdf5").write_text("<!doctype html>")


WRONG = {
    "2 parts in .*, found 1: part 1 is missing": lambda path: (path / "part_1_of_2.hdf5").unlink(),
    "one max_seq_length in all files, found 128 in part_0_of_2.hdf5, 256 in part_1_of_2.hdf5": another_width,
    "the parts of one data set in .*, found part_0_of_2.hdf5, part_1_of_2.hdf5, part_1_of_3.hdf5": another_total,
    r"instances \(memory-mapped, HDF5, TFRecord\) in .*, found a web page": web_page,
    r"files of instances .* in .*, found none": empty,
}


@pytest.mark.parametrize("expected", WRONG)
def test_what_is_no_data_set_is_refused(tmp_path: Path, expected: str) -> None:
    convert(open_instances(own(tmp_path)), tmp_path / "h", "hdf5", 2)
    WRONG[expected](tmp_path / "h")
    with pytest.raises(ShardError, match=f"expected {expected}"):
        open_instances(tmp_path / "h")


def test_nothing_at_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"expected instances at .*none, found: No such file"):
        open_instances(tmp_path / "none")


@pytest.mark.parametrize("make", [own, hdf5_file, tfrecord_file])
def test_ids_beyond_the_vocabulary_are_refused(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(ShardError, match=r"expected token ids (below 2000|from 0 to 1999), found"):
        open_instances(make(tmp_path), 2_000).take(ROWS)


def test_a_description_has_the_figures_of_the_rows(tmp_path: Path) -> None:
    found = describe(tfrecord_file(tmp_path))
    lengths = [len(row.input_ids) for row in GOLDEN]
    masked = sum(len(row.masked_lm_ids) for row in GOLDEN)
    assert (found.form, found.files, found.instances, found.sha256) == ("TFRecord", 1, 4, GOLDEN_SHA256)
    assert (found.tokens, found.longest, found.max_seq_length) == (sum(lengths), max(lengths), 128)
    assert (found.mean_length, found.padding_share) == (sum(lengths) / 4, 1 - sum(lengths) / 512)
    assert (found.masked, found.masked_per_instance) == (masked, masked / 4)
    assert found.random_next_share == sum(row.is_random_next for row in GOLDEN) / 4
    assert found.largest_id == max(max(row.input_ids + row.masked_lm_ids) for row in GOLDEN)


def test_a_description_compares_every_checksum(tmp_path: Path) -> None:
    path = own(tmp_path)
    shard = path / mapped.shard_name(1, 2)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ShardError, match=r"part-00001-of-00002.shard: expected sha256 \w+, found"):
        describe(path)


def test_a_description_of_nothing_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "a", from_rows([]))
    with pytest.raises(ShardError, match="expected instances in 1 file of memory-mapped, found none"):
        describe(tmp_path / "a")


def test_shards_differ_by_one_instance_at_most() -> None:
    assert shard_sizes(10, 4) == [2, 2, 3, 3]
    assert shard_sizes(8, 4) == [2] * 4
    for wrong in (0, 5):
        with pytest.raises(ShardError, match=f"expected 1 to 4 shards for 4 instances, found {wrong}"):
            shard_sizes(4, wrong)


@pytest.mark.parametrize("form", WRITERS)
def test_instances_go_from_each_form_to_each(tmp_path: Path, form: str) -> None:
    for make in (own, hdf5_file, tfrecord_file):
        target = tmp_path / "made" / make.__name__
        convert(open_instances(make(tmp_path)), target, form, 3)
        found = open_instances(target)
        assert [len(shard) for shard in found.shards] == [1, 1, 2]
        assert fingerprint(found) == GOLDEN_SHA256
        assert (found.metadata.max_seq_length, found.metadata.max_predictions) == (128, 20)


@pytest.mark.parametrize("form", WRITERS)
def test_a_full_disk_leaves_nothing_in_any_form(tmp_path: Path, form: str) -> None:
    source = open_instances(own(tmp_path))
    with (
        full_disk(600),
        pytest.raises(ShardWriteError, match=r"expected to write .*/made/part.*, found: File too large"),
    ):
        convert(source, tmp_path / "made", form, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_evaluation_samples_say_which_they_are(tmp_path: Path) -> None:
    convert(open_instances(own(tmp_path)), tmp_path / "eval", "mapped", definition="reference", samples=2)
    found = open_instances(tmp_path / "eval")
    assert found.take(np.arange(2)) == FOUR.take(np.array([0, 2]))
    assert found.metadata.evaluation == "2 samples, evenly spread over 4 (reference)"


def test_the_two_definitions_of_the_evaluation_samples() -> None:
    assert evaluation_set.rows("reference", 25, 10).tolist() == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]
    assert evaluation_set.rows("first", 25, 10).tolist() == list(range(10))
    assert evaluation_set.rows("reference", 122, 14)[7] == 60  # the reference's rounding: 7 * 122 / 14 is 61
    assert evaluation_set.in_words("first", 25, 10) == "10 samples, the first of 25 (first)"
    assert evaluation_set.in_words("reference", 25, 10) == "10 samples, evenly spread over 25 (reference)"
    for samples in (0, 26):
        with pytest.raises(ShardError, match=f"expected 1 to 25 evaluation samples of 25 instances, found {samples}"):
            evaluation_set.rows("reference", 25, samples)


def test_a_data_set_without_shards_is_empty() -> None:
    assert len(DataSet(form="none", shards=(), metadata=METADATA)) == 0
