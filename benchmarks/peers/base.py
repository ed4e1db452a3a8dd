"""The base class of peers: other ways to run the same BERT on the same samples, as an expert in the engine would.

A peer is prepared once (exported and quantized graphs in a folder); then each turn is a separate process that loads
these files. Models are those of `backends.bert.checkpoints`, so weights and geometry are the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from backends.bert.model import Model
from foundation.arrays import Int32, Int64
from foundation.rules import MAX_SEQ_LENGTH
from qsl.base import Features

PADDED_LENGTH = MAX_SEQ_LENGTH  # the MLPerf reference pads every sample to this length


class Sample(NamedTuple):
    """One sample in the form that all engines here take, each int64[1, S]."""

    input_ids: Int64
    attention_mask: Int64
    token_type_ids: Int64


def samples_of(features: Features, padded_to: int | None) -> list[Sample]:
    """All samples, at their natural lengths or padded."""
    return [_sample(*features.sample(index), padded_to) for index in range(len(features))]


def _sample(ids: Int32, types: Int32, padded_to: int | None) -> Sample:
    found = np.zeros((3, 1, padded_to or len(ids)), np.int64)
    found[:, 0, : len(ids)] = ids, np.ones_like(ids), types
    return Sample(*found)


class Peer(ABC):
    """`prepare` is called once; then, in each process, `load` and any number of `answer`."""

    needs: Sequence[str]  # modules that it imports
    install: ClassVar[str] = ""  # what installs those that the extra `bench` lacks
    precision: ClassVar[str]
    padded_to: ClassVar[int | None] = None
    about: ClassVar[str]  # a short description of how it runs
    on_gpu: ClassVar[bool] = False  # whether it needs a GPU
    side_by_side: ClassVar[bool] = False  # whether it differs from its base class on several cores alone
    one_by_one: ClassVar[bool] = False  # whether single samples are timed, too, where `answer_all` is its own

    def prepare(self, model: Model, folder: Path, calibration: Sequence[Sample]) -> None:  # noqa: B027 - optional
        """Write the files that `load` opens to `folder`, unless they exist."""

    @abstractmethod
    def load(self, model: Model, folder: Path, threads: int) -> None:
        """Load the model into the engine."""

    @abstractmethod
    def answer(self, sample: Sample) -> object:
        """Start and end logits of one sample, in the engine's own form."""

    def answer_all(self, samples: Sequence[Sample]) -> None:
        """Answer all samples as fast as the engine can; by default one after the other."""
        for sample in samples:
            self.answer(sample)
