"""The packed PyTorch engine in every precision, with both kinds of kernels, against the padded model and the twin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_bert import SMALL, random_batch, random_tensors, round_to_nearest

from backends.base import Batch, Options
from backends.bert import numpy_reference
from backends.bert.model import Model
from backends.bert.torch_module import BertForQuestionAnswering
from backends.pytorch_cpu import packed_bert
from backends.pytorch_cpu.backend import PyTorchBackend
from backends.pytorch_cpu.kernels import CpuKernels, Encoding, best, float_product, int8_product, sparse_product
from backends.pytorch_cpu.kernels.base import BYTE_SHIFT, BYTES
from backends.pytorch_cpu.kernels.float_product import FloatProduct
from backends.pytorch_cpu.kernels.int8_product import VARIANTS, Int8Product
from backends.pytorch_cpu.kernels.reference import ReferenceKernels
from backends.pytorch_cpu.linear import FloatOwnLinear, Int8FloatLinear, Int8SparseLinear, LinearLayer, between
from backends.quantization.int8_model import QuantizedModel, round_weight, write_engine
from foundation.arrays import Float32

LENGTHS = [1, 2, 63, 64, 65, 200, 383, 384]
TENSORS = random_tensors(SMALL, 1)
# Mean difference of logits, as a share of the logits' mean size: what rounding to 8 bits of mantissa, or to 8 bits in
# all, leaves after three layers.
SLACK = {torch.float32: 1e-5, torch.bfloat16: 0.03}
PRODUCTS = {"onednn": None, **{one: found for one in VARIANTS if (found := int8_product.load(one))}}  # that run here
INT8_SLACK = 0.05  # bfloat16 before attention changes some bytes by one


@pytest.fixture(params=["native", "plain"])
def kernels(request: pytest.FixtureRequest) -> CpuKernels:
    return best(SMALL.hidden_size, SMALL.head_size) if request.param == "native" else ReferenceKernels()


def padded(batch: Batch) -> Float32:
    """The readable model's logits for the padded batch."""
    model = BertForQuestionAnswering(SMALL)
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in TENSORS.items()})
    model.eval()
    view = batch.padded()
    with torch.inference_mode():
        mask = torch.from_numpy(view.attention_mask).bool()
        answers = model(torch.from_numpy(view.input_ids), torch.from_numpy(view.token_type_ids), mask)
    return batch.pack(answers.numpy())


def difference(found: Float32, expected: Float32) -> float:
    return float(np.abs(found - expected).mean() / np.abs(expected).mean())


@torch.inference_mode()
def answers(bert: packed_bert.PackedBert, batch: Batch) -> Float32:
    return bert(batch).numpy()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("product", [None, float_product.find()], ids=["onednn", "ours"])
@pytest.mark.parametrize("dtype", SLACK, ids=str)
def test_packed_is_padded(kernels: CpuKernels, dtype: torch.dtype, product: FloatProduct | None, seed: int) -> None:
    batch = random_batch(np.random.default_rng(seed).permutation(LENGTHS).tolist(), seed)
    bert = packed_bert.from_floats(SMALL, TENSORS, dtype, kernels, product)
    own = {name for name in SMALL.linears() if isinstance(getattr(bert.layers[0], name), FloatOwnLinear)}
    fit = {name for name, one in SMALL.linears().items() if product and product.fits(one.inputs, one.outputs)}
    assert own == (fit if dtype == torch.float32 else set())
    assert difference(answers(bert, batch), padded(batch)) < SLACK[dtype]


@pytest.mark.parametrize("heads", [4, 8, 12, 16, 48])  # of 48, 24, 16, 12 and 4 channels
def test_heads_of_any_size_in_float32(heads: int) -> None:
    config = replace(SMALL, hidden_size=192, intermediate_size=128, num_attention_heads=heads)
    tensors, batch = random_tensors(config, 1), random_batch([1, 5, 40], 1)
    ways = (best(config.hidden_size, config.head_size), float_product.find()), (ReferenceKernels(), None)
    found, plain = (answers(packed_bert.from_floats(config, tensors, torch.float32, *way), batch) for way in ways)
    assert difference(found, plain) < SLACK[torch.float32]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_int8_is_its_numpy_twin(kernels: CpuKernels, product: Int8Product | None, seed: int, balanced: bool) -> None:
    engine = round_to_nearest(SMALL, TENSORS)
    engine = with_balanced_gelu(engine) if balanced else engine
    batch = random_batch(np.random.default_rng(seed).permutation(LENGTHS).tolist(), seed)
    found, twin = (
        answers(packed_bert.from_engine(engine, kernels, product), batch),
        numpy_reference.infer(engine, batch),
    )
    assert difference(found, twin) < INT8_SLACK
    exact = padded(batch)
    assert difference(found, exact) < 1.2 * difference(twin, exact)  # not further from the exact result than the twin


def made_sparse(
    bert: packed_bert.PackedBert, engine: QuantizedModel, of_outputs: bool, rest: Encoding
) -> packed_bert.PackedBert:
    """The same model with every product sparse, whatever is faster here; outputs that no product reads as `rest`."""
    product = sparse_product.find()
    if product is None:
        pytest.skip("not built: dense products run instead")

    def sparse(number: int, name: str, reader: LinearLayer | None) -> Int8SparseLinear:
        output = reader.input_encoding if reader else rest
        return Int8SparseLinear(product, engine.linear(number, name), output, reader is not None, of_outputs)

    layers = []
    for number, layer in enumerate(bert.layers):
        made: dict[str, Any] = {name: sparse(number, name, None) for name in SMALL.linears() if name != "ffn_inner"}
        layers.append(replace(layer, **made, ffn_inner=sparse(number, "ffn_inner", made["ffn_output"])))
    return replace(bert, layers=tuple(layers))


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
@pytest.mark.parametrize("of_outputs", [False, True], ids=["block4", "4x1"])
def test_sparse_products_give_the_answers_of_dense_ones(product: Int8Product | None, of_outputs: bool) -> None:
    config = replace(SMALL, intermediate_size=192)  # which tiles divide
    pruned = random_tensors(config, 1)
    for name, one in pruned.items():
        if name.startswith("bert.encoder.") and one.ndim == 2:
            rows = one.reshape(-1, 4, one.shape[1]).swapaxes(1, 2) if of_outputs else one.reshape(len(one), -1, 4)
            rows[np.random.default_rng(1).random(rows.shape[:2]) < 0.5] = 0
    engine, batch = round_to_nearest(config, pruned), random_batch(LENGTHS, 1)
    dense = packed_bert.from_engine(engine, best(SMALL.hidden_size, SMALL.head_size), product)
    dense = replace(dense, stream=None)  # sparse products add to none
    sparse = made_sparse(dense, engine, of_outputs, between(ours=product is not None))
    assert {type(one) for one in sparse.products} == {Int8SparseLinear}
    expected, found = answers(dense, batch), answers(sparse, batch)
    if product:  # the same formula after the same sums
        np.testing.assert_array_equal(found, expected)
    assert difference(found, expected) < INT8_SLACK


@pytest.mark.parametrize("gelu", [False, True], ids=["linear", "gelu"])
@pytest.mark.parametrize("to_bytes", [False, True], ids=["float32", "bytes"])
def test_a_product_in_float32_is_the_product_in_int8(gelu: bool, to_bytes: bool) -> None:
    """For sizes that no exact product in int8 takes, on machines where oneDNN's is wrong."""
    config = replace(SMALL, intermediate_size=150)
    linear = round_to_nearest(config, random_tensors(config, 1)).linear(0, "ffn_inner")
    x = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (37, SMALL.hidden_size), np.uint8)).view(BYTES)
    output = Encoding(BYTES, torch.full((150,), 20.0), 128 - BYTE_SHIFT) if to_bytes else Encoding(torch.float32)
    found, exact = Int8FloatLinear(linear, output, gelu)(x), output.empty(37, 150)
    weight, scale = torch.from_numpy(linear.weight), torch.from_numpy(linear.weight_scale * linear.input_scale)
    zero = (linear.input_zero_point - BYTE_SHIFT) * weight.double().sum(1)
    offset = torch.from_numpy(linear.bias) - zero * scale.double()
    int8_product.plain(x, weight, scale, offset, gelu, exact)
    torch.testing.assert_close(found.double(), exact.values.double(), rtol=1e-5, atol=1.0 if to_bytes else 1e-5)
    assert found.float().std() > 0.1


def with_balanced_gelu(engine: QuantizedModel) -> QuantizedModel:
    """The same model with a scale for each channel of what follows GELU."""
    smooth = np.random.default_rng(3).uniform(0.5, 1.5, SMALL.intermediate_size).astype(np.float32)
    found = dict(engine.tensors)
    for layer in range(SMALL.num_hidden_layers):
        linear = engine.linear(layer, "ffn_output")
        weight, scale = round_weight(linear.weight * linear.weight_scale[:, None] * smooth)
        balanced = replace(linear, weight=weight, weight_scale=scale, input_smooth=smooth)
        found |= balanced.tensors(f"layers.{layer}.ffn_output")
    return replace(engine, tensors=found)


@pytest.mark.parametrize("precision", PyTorchBackend.entry.precisions)
def test_answers_do_not_depend_on_the_batch(model: Model, tmp_path: Path, precision: str) -> None:
    """int8 inputs have one fixed scale, so not even rounding depends on other samples."""
    backend = PyTorchBackend(Options(precision, threads=2))
    engine = write_engine(tmp_path / "engine", round_to_nearest(SMALL, TENSORS))
    backend.load(Model(model.spec, model.config, model.path, engine))
    alone, among = random_batch([64], seed=5), random_batch([64, 1, 383, 200], seed=5)
    np.testing.assert_allclose(backend.infer(among)[:64], backend.infer(alone), rtol=1e-4, atol=1e-4)
    assert backend.computed_tokens(among) == among.tokens
