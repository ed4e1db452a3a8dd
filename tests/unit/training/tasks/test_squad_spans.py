"""Where answers are among the tokens of their windows."""

from __future__ import annotations

from pathlib import Path

import pytest
from squad_files import squad_file

from qsl.squad import SquadDataSet, SquadFeatureSettings
from training.tasks import squad_spans

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] who built the old mill ? by river stands , ##s anna berg built ##er".split()


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(dict.fromkeys(WORDS)) + "\n")
    return path


@pytest.mark.parametrize(
    ("passage", "answer", "expected"),
    [
        ("the old mill by the river stands", "river", ["river"]),
        ("the old mill, by anna berg, stands", "anna berg", ["anna", "berg"]),  # without the comma
        ("the mill  \n by anna berg", "anna berg", ["anna", "berg"]),
        ("the mills by anna", "mill", ["mill"]),  # a part of a word
        ("the mill by anna stands", "the mill", ["the", "mill"]),
        ("anna by anna", "anna", ["anna"]),
    ],
)
def test_a_span_is_the_answers_own_tokens(
    tmp_path: Path, vocab: Path, passage: str, answer: str, expected: list[str]
) -> None:
    start = passage.rindex(answer)
    data = SquadDataSet(squad_file(tmp_path / "a.json", passage, answer, start), vocab, None)
    ((first, last),) = squad_spans.spans(data.examples, data.squad_features, data.vocabulary)
    ids = data.squad_features.features.input_ids
    assert [data.vocabulary.tokens[one] for one in ids[first : last + 1]] == expected
    if passage.count(answer) > 1:
        assert last == len(ids) - 2  # the occurrence that answer_start says


def test_a_window_without_the_whole_answer_has_the_span_of_cls(tmp_path: Path, vocab: Path) -> None:
    passage = "the river " * 8 + "anna berg " + "the river " * 8
    settings = SquadFeatureSettings(max_seq_length=17, doc_stride=5)
    file = squad_file(tmp_path / "a.json", passage, "anna berg", passage.index("anna"))
    data = SquadDataSet(file, vocab, None, settings)
    found = squad_spans.spans(data.examples, data.squad_features, data.vocabulary)
    offsets, ids = data.squad_features.features.offsets, data.squad_features.features.input_ids
    answer = data.vocabulary.encode("anna berg")
    for (first, last), start, stop in zip(found, offsets[:-1], offsets[1:], strict=True):
        window = ids[start:stop].tolist()
        places = [at for at in range(len(window)) if window[at : at + 2] == answer]
        assert (first, last) == ((places[0], places[0] + 1) if places else (0, 0))
    assert (found == 0).all(1).any() and (found > 0).all(1).any()
