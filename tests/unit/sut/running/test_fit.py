"""A number that indexes a table of the model is compared with the table before anything runs, whatever the engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from paths import ASSETS
from small_bert import SMALL, random_tensors, write_model

from backends.bert.heads import SPANS
from backends.bert.model import Model
from backends.bert.signature import Signature, Tables
from backends.errors import BackendError
from qsl.base import Features
from qsl.wordpiece import WordPiece
from sut.running import engines, fit
from sut.settings.resolve import resolve

VOCABULARY = WordPiece(ASSETS / "demo" / "vocab.txt")
ROWS = len(VOCABULARY)


def features(token: int = 5, types: int = 2, length: int = 30) -> Features:
    """Two samples, the second with these extremes."""
    ids, kinds = np.zeros((2, length + 4), np.int32)
    ids[-1], kinds[-1] = token, types - 1
    return Features(ids, kinds, np.array([0, 4, length + 4]))


def of_config(words: int = ROWS, types: int = 2, positions: int = 40) -> Model:
    config = replace(SMALL, vocab_size=words, type_vocab_size=types, max_position_embeddings=positions)
    return Model("weights", config, Path("weights"))


def of_graph(words: int = ROWS, types: int = 2, positions: int = 40) -> Model:
    graph = Signature(head=SPANS, inputs=(), outputs=(), tables=Tables(words, types, positions))
    return Model("graph", None, Path("model.onnx"), graph=graph)


@pytest.mark.parametrize("model", [of_config, of_graph])
def test_the_last_row_of_every_table_is_used_and_the_next_refused(model: Callable[..., Model]) -> None:
    fit.check(model(), VOCABULARY, features(token=ROWS - 1, types=2, length=40))
    fit.check(model(types=1), VOCABULARY, features(types=1))
    cases = {
        f"token ids below {ROWS}, .*found {ROWS}": (model(), features(token=ROWS)),
        "2 token types.*with 1": (model(types=1), features()),
        "samples of 41 tokens.*up to 40": (model(), features(length=41)),
        f"about {ROWS - 1} tokens; found {ROWS}": (model(words=ROWS - 1), features()),
        f"about {ROWS + 128} tokens; found {ROWS}": (model(words=ROWS + 128), features()),
    }
    for words, (one, data) in cases.items():
        with pytest.raises(BackendError, match=words):
            fit.check(one, VOCABULARY, data)


def test_a_fixed_length_is_a_limit_and_an_unknown_table_is_none() -> None:
    graph = Signature(head=SPANS, inputs=(), outputs=(), length=20, tables=Tables())
    model = Model("graph", None, Path("model.onnx"), graph=graph)
    fit.check(model, VOCABULARY, features(token=9999, types=9, length=20))
    with pytest.raises(BackendError, match="up to 20"):
        fit.check(model, VOCABULARY, features(length=21))
    fit.check(Model("fake", None, None), VOCABULARY, features(token=9999, types=9, length=999))


def test_an_engine_is_not_built_from_data_that_do_not_fit(tmp_path: Path) -> None:
    config = replace(SMALL, vocab_size=ROWS, type_vocab_size=1)
    folder = write_model(tmp_path / "model", config, random_tensors(config, 1))
    (folder / "vocab.txt").write_bytes(VOCABULARY.path.read_bytes())
    squad = [{"id": "a", "context": "The fox ran home.", "question": "Who ran?", "answers": {"text": ["fox"]}}]
    (tmp_path / "dev.json").write_text(json.dumps(squad), encoding="utf-8")
    asked = {"model": str(folder), "precision": "int8", "calibration_dataset": tmp_path / "dev.json"}
    with pytest.raises(BackendError, match="2 token types"):
        engines.build(resolve({**asked, "cache_dir": tmp_path / "cache"}))
