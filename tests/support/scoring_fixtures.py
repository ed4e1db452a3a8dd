"""The cases of `squad_by_hand.py`, and the article of SQuAD next to the checkout, if there is one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from paths import SHARED
from squad_by_hand import QUESTIONS, SETTINGS, Case, make_case

from qsl.squad import SquadDataSet, SquadFeatureSettings


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("small"), QUESTIONS, SETTINGS)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """One question, one window, a passage of 44 one-piece words: fox owl fox owl …"""
    questions = [(" ".join(["fox", "owl"] * 22), "who?", ("fox",))]
    return make_case(tmp_path_factory.mktemp("wide"), questions, SquadFeatureSettings(max_seq_length=64))


@pytest.fixture(scope="session")
def article() -> Case:
    """The article of SQuAD next to the checkout."""
    if not (SHARED / "scorer-case.npz").exists():
        pytest.skip(f"the shared trial data are not at {SHARED}")
    dataset, vocab = SHARED / "dev-v1.1-super-bowl-50.json", SHARED / "vocab.txt"
    return Case(SquadDataSet(dataset, vocab, None))


@pytest.fixture(scope="session")
def article_logits(article: Case) -> list[np.ndarray]:
    with np.load(SHARED / "scorer-case.npz") as arrays:
        return np.split(arrays["logits"], article.features.features.offsets[1:-1])


@pytest.fixture(scope="session")
def article_predictions(article: Case) -> dict[str, str]:
    found: dict[str, str] = json.loads((SHARED / "scorer-case-predictions.json").read_text(encoding="utf-8"))
    return found
