"""Weights with bounded groups: which inputs are one, what rounding gives, that no sum exceeds 16 bits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from backends.quantization import bounded_groups, compensated_rounding
from backends.quantization.bounded_groups import Room, is_bounded, least_scale
from backends.quantization.compensated_rounding import compensated

GROUPS = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_a_group_is_what_the_kernels_add() -> None:
    found = bounded_groups.of_inputs(16)
    assert [np.flatnonzero(found == group).tolist() for group in range(4)] == GROUPS
    assert bounded_groups.MOST * 255 < 2**15 <= (bounded_groups.MOST + 1) * 255


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_one_step_too_many_is_found_wherever_it_is(group: list[int], sign: int) -> None:
    weight = np.zeros((3, 16), np.int8)
    for steps in ([126, 2, 0, 0], [1, 0, 1, 126], [32, 32, 32, 32], [0, 64, 64, 0]):
        weight[1, group] = sign * np.array(steps)
        assert is_bounded(weight)
        for one in group:
            larger = weight.copy()
            larger[1, one] += sign
            assert not is_bounded(larger)


def test_signs_have_bounds_of_their_own_and_the_smallest_byte_is_within() -> None:
    assert is_bounded(np.array([[100, -100, 5, -9, 28, -28, 123, -119]], np.int8))
    assert is_bounded(np.array([[-128, 127, 0, 0, 0, 1]], np.int8))
    assert not is_bounded(np.array([[-128, 127, 0, 0, -1]], np.int8))
    for one in ([-128, -128], [0, 0, 0, 0, -128, -128], [-128, 0, 0, 0, -128], [-128] * 8):
        assert not is_bounded(np.array([one], np.int8))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("inputs", [1, 8, 61, 64])
def test_rounded_to_nearest_with_the_least_scale_it_is_bounded(seed: int, inputs: int) -> None:
    weight = np.random.default_rng(seed).standard_t(3, (200, inputs)).astype(np.float32)
    scale = least_scale(weight)
    assert (np.abs(weight) <= 127 * scale[:, None]).all()
    steps = np.rint(weight / scale[:, None]).astype(np.int8)
    assert is_bounded(steps)
    if inputs > 8:
        assert not is_bounded(np.rint(weight / scale[:, None] * 1.1).clip(-127, 127).astype(np.int8))


def test_halves_that_are_all_rounded_up_are_within() -> None:
    weight = np.array([[31.5, 31.5, 0, 0, 31.5, 31.5, 0, 0]], np.float32)
    assert least_scale(weight) == 1 and is_bounded(np.rint(weight).astype(np.int8))


def test_room_is_what_a_group_has_left() -> None:
    room = Room(16, 3)
    taken = [room.taken(at, np.array([50.0, -50.0, 0.0], np.float32)).tolist() for at in (0, 1, 4, 2, 5)]
    assert taken == [[50, -50, 0], [50, -50, 0], [28, -28, 0], [50, -50, 0], [0, 0, 0]]
    assert room.taken(5, np.array([-50.0, 50.0, 128.0], np.float32)).tolist() == [-50, 50, 128]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("together", [2048, 40], ids=["all-inputs", "in-three-parts"])
def test_errors_compensate_each_other_within_the_bounds(
    seed: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compensated_rounding, "_GROUP", together)
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((40, 100)).astype(np.float32)
    inputs = (rng.standard_normal((500, 100)) @ (rng.standard_normal((100, 100)) * 0.1 + np.eye(100))).astype(
        np.float32
    )
    scale = least_scale(weight)
    steps, nearest = compensated(weight, scale, inputs, bounded=True), np.rint(weight / scale[:, None])
    errors = [np.linalg.norm(inputs @ (one * scale[:, None] - weight).T) for one in (steps, nearest)]
    assert is_bounded(steps) and errors[0] < errors[1]
    finer = scale * np.float32(0.9)
    assert not is_bounded(compensated(weight, finer, inputs))
    assert is_bounded(compensated(weight, finer, inputs, bounded=True))


STEPS = ([127, 1, -127, -1], [64, 64, -128, 0], [-32, -32, -32, -32], [127, 2, 0, 0], [-65, -65, 0, 0])


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_a_group_is_bounded_if_no_bytes_take_its_sum_out_of_16_bits(steps: list[int]) -> None:
    weight = np.zeros((1, 8), np.int8)
    weight[0, GROUPS[0]] = steps
    sums = [np.dot(steps, x) for x in product((0, 255), repeat=4)]
    assert is_bounded(weight) == (min(sums) >= -(2**15) and max(sums) < 2**15)
