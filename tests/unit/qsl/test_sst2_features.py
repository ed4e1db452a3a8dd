"""Features of SST-2 files: GLUE's TSV, parquet, labels, and files of other formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qsl import sst2
from qsl.base import DatasetError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fine", "film", "dull", '"', "##y", ","]
IDS = {word: row for row, word in enumerate(WORDS)}
SENTENCES = ['a "fine" film ', "dully , dull", "a film"]
LABELS = [1, 0, 1]


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return path


def write_tsv(path: Path, header: str = "sentence\tlabel", rows: tuple[str, ...] | None = None) -> Path:
    lines = [f"{text}\t{label}" for text, label in zip(SENTENCES, LABELS, strict=True)] if rows is None else list(rows)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def write_parquet(path: Path, labels: list[int] | None = None) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"sentence": SENTENCES, "label": LABELS if labels is None else labels, "idx": [0, 1, 2]}
    parquet.write_table(arrow.table(columns), path)
    return path


def tokens(*words: str) -> list[int]:
    return [IDS[word] for word in ("[CLS]", *words, "[SEP]")]


EXPECTED = [tokens("a", '"', "fine", '"', "film"), tokens("dull", "##y", ",", "dull"), tokens("a", "film")]


@pytest.mark.parametrize("write", [write_tsv, write_parquet])
def test_both_formats_give_the_features_by_hand(tmp_path: Path, vocab: Path, write) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path / "dev")
    for _ in range(2):  # built, then from the cache
        features = sst2.load(path, vocab, tmp_path / "cache")
        assert [features.sample(i)[0].tolist() for i in range(len(features))] == EXPECTED
        assert not features.token_type_ids.any()
    assert sst2.read_labels(path).tolist() == LABELS
    assert sst2.read_sentences(path) == SENTENCES
    assert features.digest() == sst2.load(write_tsv(tmp_path / "other.tsv"), vocab, None).digest()


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    plain = write_tsv(tmp_path / "plain.tsv")
    other = tmp_path / "other.tsv"
    other.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n"))
    assert sst2.read_sentences(other) == SENTENCES
    assert sst2.read_labels(other).tolist() == LABELS


def test_quotation_marks_are_literal(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "dev.tsv", rows=('"a film\t1', "dull\t0"))
    assert sst2.read_sentences(path) == ['"a film', "dull"]


def test_a_long_sentence_is_cut_and_keeps_its_end(tmp_path: Path, vocab: Path) -> None:
    path = write_tsv(tmp_path / "dev.tsv", rows=("film " * 300 + "\t1",))
    ids = sst2.load(path, vocab, None).sample(0)[0]
    assert len(ids) == 128
    assert ids[[0, -1]].tolist() == [IDS["[CLS]"], IDS["[SEP]"]]
    assert set(ids[1:-1].tolist()) == {IDS["film"]}


def test_a_set_without_labels_has_features_and_no_score(tmp_path: Path, vocab: Path) -> None:
    hidden = write_tsv(tmp_path / "test.tsv", "index\tsentence", ("0\ta film", "1\tdull"))
    assert len(sst2.load(hidden, vocab, None)) == 2
    with pytest.raises(DatasetError, match=r"no column.*dev set"):
        sst2.read_labels(hidden)


@pytest.mark.parametrize("label", ["-1", "2", "positive", ""])
def test_an_invalid_label_is_named_with_its_row(tmp_path: Path, label: str) -> None:
    path = write_tsv(tmp_path / "dev.tsv", rows=("a film\t1", f"dull\t{label}"))
    with pytest.raises(DatasetError, match=rf"'{label}' in row 1"):
        sst2.read_labels(path)


def test_hidden_labels_of_parquet(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"-1 in row 0"):
        sst2.read_labels(write_parquet(tmp_path / "test.parquet", [-1, -1, -1]))


def _nothing(path: Path) -> None: ...


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _header_alone(path: Path) -> None:
    write_tsv(path, rows=())


def _squad(path: Path) -> None:
    path.write_text('{"version": "1.1", "data": []}', encoding="utf-8")


def _ragged(path: Path) -> None:
    write_tsv(path, rows=("a film\t1", "dull\t0\tand more"))


def _binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


def _cut_parquet(path: Path) -> None:
    write_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_nothing, "found: .*--dataset"),
        (_empty, "sentence<tab>label"),
        (_header_alone, "sentences .*found none"),
        (_squad, "sentence<tab>label"),
        (_ragged, "2 columns.*row 1 .*found 3"),
        (_binary, "UTF-8"),
        (_cut_parquet, "parquet .*cut short"),
    ],
)
def test_a_file_of_another_format_is_one_error(tmp_path: Path, make, words: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "file"
    make(path)
    with pytest.raises(DatasetError, match=words):
        sst2.read_sentences(path)


def test_the_cache_key_includes_the_vocabulary(tmp_path: Path, vocab: Path) -> None:
    path = write_tsv(tmp_path / "dev.tsv")
    before = sst2.load(path, vocab, tmp_path / "cache").digest()
    vocab.write_text("\n".join([*WORDS[:5], "zebra", *WORDS[5:]]) + "\n", encoding="utf-8")
    assert sst2.load(path, vocab, tmp_path / "cache").digest() != before
    assert np.array(list((tmp_path / "cache").iterdir())).size == 2
