"""Features: the known hash on real SQuAD, windows computed by hand, and the cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ASSETS, SHARED

from qsl import demo, squad
from qsl.base import DatasetError
from qsl.squad import SquadFeatures, SquadFeatureSettings
from qsl.squad_examples import read_examples
from qsl.squad_windows import doc_spans, max_context
from qsl.wordpiece import WordPiece

DEMO_VOCAB = ASSETS / "demo" / "vocab.txt"
SHA256 = "209a3e519e55ea12dfa61a62c721809afeeb0db947dfff1c87189cafb5fa85a8"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("squad") / "dev.json"
    demo.write(path, "dev", questions=60)
    return path


def arrays(loaded: SquadFeatures) -> list[np.ndarray]:
    features = loaded.features
    ids, types, offsets = features.input_ids, features.token_type_ids, features.offsets
    return [ids, types, offsets, loaded.example_index, loaded.token_to_word, loaded.is_max_context]


def assert_same(first: SquadFeatures, second: SquadFeatures) -> None:
    for one, other in zip(arrays(first), arrays(second), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real SQuAD article at {SHARED}")
def test_the_article_of_squad_has_the_known_hash(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qsl", "describe", "--cache-dir", str(tmp_path)]
    files = ["--dataset", str(SHARED / "dev-v1.1-super-bowl-50.json"), "--vocab", str(SHARED / "vocab.txt")]
    for _ in range(2):  # built, then read from the cache
        done = subprocess.run([*command, *files], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        assert (found["examples"], found["features"], found["tokens"]) == (810, 830, 129_585)
        assert found["mean_length"] == round(129_585 / 830, 2)
        assert found["sha256"] == SHA256


def test_windows_by_hand() -> None:
    assert doc_spans(10, 10, 3) == [(0, 10)]
    assert doc_spans(11, 10, 3) == [(0, 10), (3, 8)]
    assert doc_spans(20, 10, 4) == [(0, 10), (4, 10), (8, 10), (12, 8)]
    assert doc_spans(0, 10, 4) == []
    # Token 3 has 3 tokens to its left in the first window and 0 in the second; token 8 has 1 and 2 to its right.
    assert max_context([(0, 10), (3, 8)], 11).tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]


@settings(max_examples=200)
@given(tokens=st.integers(1, 900), room=st.integers(1, 381), stride=st.integers(1, 300))
def test_windows_cover_every_token_and_each_has_one_best(tokens: int, room: int, stride: int) -> None:
    spans = doc_spans(tokens, room, min(stride, room))
    covered = np.zeros(tokens, int)
    for start, length in spans:
        assert 0 < length <= room
        covered[start : start + length] += 1
    assert covered.min() >= 1
    for token, row in enumerate(max_context(spans, tokens).tolist()):
        start, length = spans[row]
        assert start <= token < start + length


def test_a_feature_is_question_and_window_between_special_tokens(generated: Path) -> None:
    wordpiece = WordPiece(DEMO_VOCAB)
    loaded = squad.load(generated, DEMO_VOCAB, None)
    examples = read_examples(generated)
    offsets = loaded.features.offsets.tolist()
    for i, example_index in enumerate(loaded.example_index.tolist()):
        where = slice(offsets[i], offsets[i + 1])
        ids, words = loaded.features.input_ids[where], loaded.token_to_word[where]
        question = wordpiece.encode(examples[example_index].question)
        head = [wordpiece.ids["[CLS]"], *question, wordpiece.ids["[SEP]"]]
        assert len(ids) <= 384
        assert ids[: len(head)].tolist() == head
        assert ids[-1] == wordpiece.ids["[SEP]"]
        assert loaded.features.token_type_ids[where].tolist() == [0] * len(head) + [1] * (len(ids) - len(head))
        assert (words[: len(head)] == -1).all()
        assert words[-1] == -1
        doc_words = examples[example_index].doc_words
        first, last = words[len(head)], words[-2]
        window = [i for word in doc_words[first : last + 1] for i in wordpiece.encode_word(word)]
        assert " ".join(map(str, ids[len(head) : -1])) in " ".join(map(str, window))


def test_a_question_that_leaves_no_space_for_its_passage_is_refused(generated: Path) -> None:
    with pytest.raises(DatasetError, match="max_seq_length"):
        squad.load(generated, DEMO_VOCAB, None, SquadFeatureSettings(max_seq_length=8))


def test_the_cache_returns_what_was_built(generated: Path, tmp_path: Path) -> None:
    made = squad.load(generated, DEMO_VOCAB, None)
    first, second = (squad.load(generated, DEMO_VOCAB, tmp_path) for _ in range(2))
    assert_same(made, first)
    assert_same(made, second)
    assert not second.features.input_ids.flags.writeable
    assert len(list(tmp_path.iterdir())) == 1


def test_the_cache_key_is_the_content_not_the_name(generated: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.json"
    shutil.copy(generated, moved)
    cache = tmp_path / "cache"
    squad.load(generated, DEMO_VOCAB, cache)
    squad.load(moved, DEMO_VOCAB, cache)
    assert len(list(cache.iterdir())) == 1
    demo.write(moved, "dev", questions=61)
    assert len(squad.load(moved, DEMO_VOCAB, cache).features) > len(squad.load(generated, DEMO_VOCAB, cache).features)
    squad.load(moved, DEMO_VOCAB, cache, SquadFeatureSettings(doc_stride=64))
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("keep", [0, 40, 100])
@pytest.mark.parametrize("field", ["input_ids", "offsets", "is_max_context"])
def test_a_truncated_cache_file_is_rebuilt(generated: Path, tmp_path: Path, field: str, keep: int) -> None:
    made = squad.load(generated, DEMO_VOCAB, tmp_path)
    expected = [array.copy() for array in arrays(made)]
    file = next(tmp_path.glob(f"*/{field}.npy"))
    os.truncate(file, keep)
    for one, other in zip(arrays(squad.load(generated, DEMO_VOCAB, tmp_path)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("field", ["input_ids", "offsets", "is_max_context"])
def test_a_changed_cache_file_is_rebuilt(generated: Path, tmp_path: Path, field: str) -> None:
    expected = [array.copy() for array in arrays(squad.load(generated, DEMO_VOCAB, tmp_path))]
    file = next(tmp_path.glob(f"*/{field}.npy"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    for one, other in zip(arrays(squad.load(generated, DEMO_VOCAB, tmp_path)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("field", ["input_ids", "offsets", "is_max_context"])
def test_an_incomplete_cache_entry_is_rebuilt(generated: Path, tmp_path: Path, field: str) -> None:
    expected = [array.copy() for array in arrays(squad.load(generated, DEMO_VOCAB, tmp_path))]
    next(tmp_path.glob(f"*/{field}.npy")).unlink()
    for one, other in zip(arrays(squad.load(generated, DEMO_VOCAB, tmp_path)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_cache_that_cannot_be_written_does_not_fail_the_run(generated: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory", encoding="utf-8")
    assert_same(squad.load(generated, DEMO_VOCAB, blocked / "cache"), squad.load(generated, DEMO_VOCAB, None))


def test_a_passage_of_any_length_takes_memory_in_proportion_to_it() -> None:
    tokens = 400_000
    spans = doc_spans(tokens, 300, 128)
    best = max_context(spans, tokens)  # 3,000 windows by 400,000 tokens would be 10 GB
    starts = np.array([start for start, _ in spans])
    inside = np.arange(tokens) - starts[best]
    assert (inside >= 0).all() and (inside < 300).all() and (np.diff(best) >= 0).all()
