"""What a peer is: another way to run the same BERT on the same samples, as somebody would who knows its engine.

A peer is prepared once (export, quantize: written below a folder), then each turn is a process of its own that loads
what was prepared. The models are the ones that `backends.bert.checkpoints` finds, so weights and geometry are the same.
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

PADDED_LENGTH = MAX_SEQ_LENGTH  # what the MLPerf reference pads every sample to


class Sample(NamedTuple):
    """One sample as every engine here wants it, each int64 [1, S]."""

    input_ids: Int64
    attention_mask: Int64
    token_type_ids: Int64


def samples_of(features: Features, padded_to: int | None) -> list[Sample]:
    """All samples, at their own lengths or padded."""
    return [_sample(*features.sample(index), padded_to) for index in range(len(features))]


def _sample(ids: Int32, types: Int32, padded_to: int | None) -> Sample:
    found = np.zeros((3, 1, padded_to or len(ids)), np.int64)
    found[:, 0, : len(ids)] = ids, np.ones_like(ids), types
    return Sample(*found)


class Peer(ABC):
    """`prepare` once and ever; then, in each process, `load` and any number of answers."""

    needs: Sequence[str]  # modules that it imports
    precision: ClassVar[str]
    padded_to: ClassVar[int | None] = None
    about: ClassVar[str]  # how it runs, in a few words
    on_gpu: ClassVar[bool] = False  # it needs one

    def prepare(self, model: Model, folder: Path, calibration: Sequence[Sample]) -> None:  # noqa: B027 - or nothing
        """Write what `load` opens below `folder`; does nothing where it is there already."""

    @abstractmethod
    def load(self, model: Model, folder: Path, threads: int) -> None:
        """Make the engine ready."""

    @abstractmethod
    def answer(self, sample: Sample) -> object:
        """Start and end logits of one sample, in whatever form the engine gives them."""

    def answer_all(self, samples: Sequence[Sample]) -> None:
        """Answer all, as fast as the engine can: one after the other, unless it has something better."""
        for sample in samples:
            self.answer(sample)
