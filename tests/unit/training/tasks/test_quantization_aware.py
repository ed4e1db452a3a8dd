"""Quantization-aware training: its network computes what the engine of its checkpoint will."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_bert import SMALL, random_batch, random_tensors

from backends.base import Batch
from backends.bert.checkpoints import find_model, has_ranges, read_weights
from backends.bert.config import LINEARS
from backends.bert.numpy_reference import infer, infer_float
from backends.errors import BackendError
from backends.formats import state_dicts
from backends.formats.base import Tensors
from backends.quantization import calibration, qat_ranges
from backends.quantization.calibration import CalibrationSettings
from backends.quantization.int8_model import QuantizedModel
from qsl.base import Features
from training.network import model_files
from training.network.packed_batch import PackedBatch
from training.tasks.quantization_aware import RANGE_RATE, QuantizationAware, calibration_samples
from training.tasks.squad import SpanNetwork

SAMPLES = random_batch([30, 41, 26, 35], seed=7)
FEATURES = Features(SAMPLES.input_ids, SAMPLES.token_type_ids, SAMPLES.cu_seqlens.astype(np.int64))
QUERY = "bert.encoder.layer.1.attention.self.query"
RATE = 1e-3
Trained = tuple[SpanNetwork, QuantizationAware]


@pytest.fixture(scope="module")
def trained() -> Trained:
    """A network in int8, after a few steps that moved weights and ranges."""
    network = network_of(random_tensors(SMALL, 1))
    phase = QuantizationAware(network, SMALL, FEATURES, first_step=1, samples=3, seed=1, rate=RATE)
    phase.after_step(0)
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(network(packed(SAMPLES)).logits.square().mean())
        optimizer.step()
    return network.eval(), phase


def network_of(tensors: Tensors) -> SpanNetwork:
    network = SpanNetwork(SMALL, 0.0)
    network.load_state_dict({name: torch.from_numpy(one) for name, one in tensors.items()})
    return network


def packed(batch: Batch) -> PackedBatch:
    return PackedBatch(
        input_ids=torch.from_numpy(batch.input_ids.astype(np.int64)),
        token_type_ids=torch.from_numpy(batch.token_type_ids.astype(np.int64)),
        position_ids=torch.from_numpy(batch.position_ids.astype(np.int64)),
        cu_seqlens=torch.from_numpy(batch.cu_seqlens.astype(np.int32)),
        lengths=tuple(np.diff(batch.cu_seqlens).tolist()),
    )


def written(folder: Path, trained: Trained) -> Path:
    network, phase = trained
    model_files.write_model(folder, SMALL, ["[PAD]"], phase.exported(network.state_dict()))
    return folder


def engine(folder: Path) -> QuantizedModel:
    return qat_ranges.quantize(read_weights(find_model(str(folder))), {})


@torch.no_grad()
def test_the_engine_of_the_checkpoint_computes_what_was_trained(tmp_path: Path, trained: Trained) -> None:
    assert has_ranges(find_model(str(written(tmp_path, trained))))
    batch = random_batch([33, 50, 5, 20, 9, 41, 12, 27], seed=9)
    expected = trained[0](packed(batch)).logits.numpy()
    errors = np.abs(infer(engine(tmp_path), batch) - expected) / np.abs(expected).mean()
    # A number next to the middle of two steps may round the other way, by which a whole sample differs a little: in
    # which samples, depends on the machine. With a wrong scale none is equal.
    greatest = [one.max() for one in np.split(errors, batch.cu_seqlens[1:-1])]
    assert sum(one < 1e-5 for one in greatest) >= 2 and max(greatest) < 0.15


def test_it_starts_from_calibration_and_learns_ranges(tmp_path: Path, trained: Trained) -> None:
    samples = calibration_samples(FEATURES, 3, seed=1)
    before = calibration.calibrate(SMALL, random_tensors(SMALL, 1), samples, CalibrationSettings(), 1)
    after = engine(written(tmp_path, trained))
    for layer in range(SMALL.num_hidden_layers):
        for name in LINEARS:
            old, new = before.linear(layer, name), after.linear(layer, name)
            assert new.input_zero_point == old.input_zero_point
            np.testing.assert_allclose(new.input_smooth, old.input_smooth)
            assert 0.001 < abs(new.input_scale / old.input_scale - 1) < 3.1 * RANGE_RATE


def test_training_mends_what_too_short_a_calibration_clips(tmp_path: Path) -> None:
    """Ranges widen whatever the learning rate of the weights is, and the engine's logits come nearer to fp32's."""
    tensors = random_tensors(SMALL, 1)
    network = network_of(tensors)
    phase = QuantizationAware(network, SMALL, FEATURES, first_step=1, samples=1, seed=1, rate=1e-6)
    phase.after_step(0)
    learned, unseen = (random_batch([30] * 4, seed) for seed in (11, 12))
    target, expected = (infer_float(SMALL, tensors, batch) for batch in (learned, unseen))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-6)

    def error() -> float:
        engine_of = engine(written(tmp_path, (network, phase)))
        return float(np.square(infer(engine_of, unseen) - expected).mean())

    before = error()
    for _ in range(40):
        optimizer.zero_grad()
        torch.autograd.backward((network(packed(learned)).logits - torch.from_numpy(target)).square().mean())
        optimizer.step()
    assert error() < 0.7 * before


@torch.no_grad()
def test_nothing_is_rounded_before_its_first_step(trained: Trained) -> None:
    network = network_of(random_tensors(SMALL, 1)).eval()
    expected = network(packed(SAMPLES)).logits
    phase = QuantizationAware(network, SMALL, FEATURES, first_step=3, samples=3, seed=1, rate=RATE)
    phase.after_step(1)
    assert torch.equal(network(packed(SAMPLES)).logits, expected) and not phase.is_final
    phase.after_step(2)
    assert not torch.equal(network(packed(SAMPLES)).logits, expected) and phase.is_final


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (state_dicts.ZERO_POINT, torch.tensor(256.0), "whole number from 0 to 255"),
        (state_dicts.ZERO_POINT, torch.tensor(1.5), "whole number from 0 to 255"),
        (state_dicts.SMOOTH, torch.zeros(SMALL.hidden_size), "above 0"),
        (state_dicts.SMOOTH, torch.ones(7), f"one value or {SMALL.hidden_size}"),
        (state_dicts.SMOOTH, torch.full((SMALL.hidden_size,), 2.0), "one divisor of each input channel"),
    ],
)
def test_a_range_that_is_none_is_refused(
    tmp_path: Path, trained: Trained, part: str, value: torch.Tensor, message: str
) -> None:
    path = written(tmp_path, trained) / model_files.WEIGHTS
    save_file(load_file(path) | {f"{QUERY}{part}": value}, path)
    with pytest.raises(BackendError, match=message):
        engine(tmp_path)
