"""Compensated rounding gives closer outputs than rounding to nearest does, on inputs that it has not seen."""

from __future__ import annotations

import numpy as np

from backends.quantization.compensated_rounding import compensated
from backends.quantization.int8_model import round_weight
from foundation.arrays import Float32


def correlated(rows: int, seed: int) -> Float32:
    """Inputs of 100 channels that hang together, as a LayerNorm's do."""
    mix = np.random.default_rng(7).standard_normal((100, 100)) * 0.1 + np.eye(100)
    return (np.random.default_rng(seed).standard_normal((rows, 100)) @ mix).astype(np.float32)


WEIGHT = np.random.default_rng(1).standard_normal((40, 100)).astype(np.float32)


def error(steps: np.ndarray, scale: Float32, inputs: Float32) -> float:
    exact = inputs @ WEIGHT.T
    return float(np.linalg.norm(inputs @ (steps * scale[:, None]).T - exact) / np.linalg.norm(exact))


def test_outputs_are_closer_than_by_rounding_to_nearest() -> None:
    nearest, scale = round_weight(WEIGHT)
    found = compensated(WEIGHT, scale, correlated(2000, seed=2))
    assert found.dtype == np.int8 and np.abs(found.astype(int)).max() <= 127
    assert error(found, scale, correlated(500, seed=3)) < 0.9 * error(nearest, scale, correlated(500, seed=3))


def test_inputs_that_have_nothing_in_common_are_rounded_to_nearest() -> None:
    nearest, scale = round_weight(WEIGHT)
    np.testing.assert_array_equal(compensated(WEIGHT, scale, np.eye(100, dtype=np.float32)), nearest)


def test_an_input_that_is_always_zero_harms_nothing() -> None:
    nearest, scale = round_weight(WEIGHT)
    inputs = correlated(300, seed=4)
    inputs[:, 5:9] = 0
    np.testing.assert_array_equal(compensated(WEIGHT, scale, inputs)[:, 5:9], nearest[:, 5:9])
    np.testing.assert_array_equal(compensated(WEIGHT, scale, np.zeros((0, 100), np.float32)), nearest)


def test_pruned_weights_stay_zero() -> None:
    pruned = WEIGHT * (np.arange(WEIGHT.size).reshape(WEIGHT.shape) % 3 > 0)
    nearest, scale = round_weight(pruned)
    found = compensated(pruned, scale, correlated(500, seed=5))
    assert not found[pruned == 0].any() and (found != nearest).any()
