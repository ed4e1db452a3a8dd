"""How peers are measured: by any clock, all samples together, one at a time, or both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from backends.bert.model import Model
from benchmarks import peers
from benchmarks.peers.__main__ import measure
from benchmarks.peers.base import Peer, Sample, samples_of
from qsl.base import Features

LENGTHS = (4, 1, 3, 2)


class OneAtATime(Peer):
    """A sample takes as many seconds as it has tokens."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def load(self, model: Model, folder: Path, threads: int) -> None: ...

    def answer(self, sample: Sample) -> object:
        self.now_s += sample.input_ids.shape[1]
        return None


class Together(OneAtATime):
    def answer_all(self, samples: Sequence[Sample]) -> None:
        self.now_s += 1


class Both(Together):
    one_by_one = True


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (OneAtATime, {"samples_per_s": 0.4, "p90_ms": 4000}),
        (Together, {"samples_per_s": 4}),
        (Both, {"samples_per_s": 4, "p90_ms": 4000}),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_peer_is_measured_by_a_clock_after_its_warm_up(kind: type[OneAtATime], found: dict[str, float]) -> None:
    ids, offsets = np.ones(sum(LENGTHS), np.int32), np.cumsum((0, *LENGTHS))
    peer = kind()
    assert measure(peer, samples_of(Features(ids, ids, offsets), None), lambda: peer.now_s) == pytest.approx(found)


def test_what_a_missing_peer_needs_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.peer_class("ctranslate2-int8"), "needs", ("no_such_module",))
    assert peers.missing("ctranslate2-int8") == "not installed: no_such_module (pip install ctranslate2)"
