"""How much of a weight is zero, and in which blocks: pruning leaves its zeros in place.

SparseML's `block4` is four neighbouring inputs of one output; Intel's `4x1` is four neighbouring outputs of one input.
A file says neither, so both axes of each tensor are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backends.quantization.int8_model import QuantizedModel

_BLOCK = 4
_EVERY = 8  # of the groups of outputs, one of these is counted: enough for a share
_IN_BLOCKS = 0.9  # of the zeros, for a pattern; rounding to int8 adds a few single ones
PRUNED = 0.1  # zeros of a pruned weight; rounding alone gives one or two per cent


@dataclass(frozen=True)
class Zeros:
    """Shares of a weight [N, K]."""

    weights: int  # their number
    share: float  # that are zero
    along_inputs: float  # of its blocks of four inputs of an output, that are zero
    along_outputs: float  # likewise of four outputs of an input

    @property
    def is_pruned(self) -> bool:
        return self.share >= PRUNED

    @property
    def blocks(self) -> float:
        """The share of zero blocks, of inputs or of outputs: whichever are more."""
        return max(self.along_inputs, self.along_outputs)

    @property
    def of_outputs(self) -> bool:
        """Whether more blocks of outputs are zero than of inputs."""
        return self.along_outputs > self.along_inputs

    @property
    def where(self) -> str:
        """Where the zeros are, in words."""
        if self.along_inputs >= _IN_BLOCKS * self.share:
            return "in blocks of four inputs"
        if self.along_outputs >= _IN_BLOCKS * self.share:
            return "in blocks of four outputs"
        return "in no blocks of four"


def of(weight: npt.NDArray[np.int8]) -> Zeros:
    """The zeros of int8 [N, K], counted in a part of its outputs."""
    outputs, inputs = (size - size % _BLOCK for size in weight.shape)
    sample = weight[:outputs, :inputs].reshape(outputs // _BLOCK, _BLOCK, inputs)[::_EVERY]
    if not sample.size:
        return Zeros(weight.size, 0.0, 0.0, 0.0)
    kept_inputs = np.ascontiguousarray(sample).view(np.int32)
    kept_outputs = sample.any(1)
    return Zeros(
        weight.size, *(1 - float(np.count_nonzero(kept) / kept.size) for kept in (sample, kept_inputs, kept_outputs))
    )


def of_all(zeros: Iterable[Zeros]) -> Zeros:
    """The zeros of several weights together."""
    found = list(zeros)
    total = sum(one.weights for one in found)
    shares = ("share", "along_inputs", "along_outputs")
    return Zeros(total, *(sum(getattr(one, name) * one.weights for one in found) / max(total, 1) for name in shares))


def of_engine(engine: QuantizedModel) -> Zeros:
    """The zeros in the weights of all layers."""
    layers, names = range(engine.config.num_hidden_layers), engine.config.linears()
    return of_all(of(engine.linear(layer, name).weight) for layer in layers for name in names)
