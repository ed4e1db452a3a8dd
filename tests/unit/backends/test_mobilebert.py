"""MobileBERT in every engine and precision against its numpy reference, and its forms on disk.

The reference itself is compared with transformers in tests/integration/backends/test_backends_reference.py, through
these engines.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import published
import published_mobilebert
import pytest
import torch
from small_bert import random_batch, round_to_nearest, write_model
from small_mobilebert import TINY, random_tensors

from backends import BACKENDS, backend_class
from backends.base import Batch, Options
from backends.bert import numpy_reference
from backends.bert.checkpoints import find_model, read_weights, with_signature
from backends.bert.mobilebert import MobileBertConfig
from backends.bert.model import Model
from backends.errors import BackendError
from backends.pytorch_cpu import packed_mobilebert
from backends.pytorch_cpu.backend import Run
from backends.pytorch_cpu.chained_mobilebert import ChainedMobileBert
from backends.pytorch_cpu.kernels import CpuKernels, best, bounded, chain
from backends.pytorch_cpu.linear import as_tensor
from backends.quantization import calibration
from backends.quantization.calibration import CalibrationSettings
from backends.quantization.int8_model import QuantizedModel, write_engine
from foundation.arrays import Float32

LENGTHS = [1, 2, 17, 64, 65, 384]
TENSORS = random_tensors(1)
BATCH = random_batch(LENGTHS, vocab_size=TINY.vocab_size)
EXACT = numpy_reference.infer_float(TINY, TENSORS, BATCH)
# Mean difference of logits, as a share of their mean size, from fp32's.
SLACK = {"fp32": 1e-5, "bf16": 0.03, "int8-dynamic": 0.03}


def difference(found: Float32, expected: Float32) -> float:
    return float(np.abs(found - expected).mean() / np.abs(expected).mean())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return find_model(str(write_model(tmp_path_factory.mktemp("mobilebert"), TINY, TENSORS)))


def calibrated(config: MobileBertConfig, in_bounds: bool = False) -> QuantizedModel:
    settings = CalibrationSettings(rows=200, bounded=in_bounds)
    samples = [random_batch([length], seed=length, vocab_size=TINY.vocab_size) for length in (50, 200)]
    return calibration.calibrate(config, TENSORS, samples, settings, 1)


@pytest.fixture(scope="module")
def quantized() -> QuantizedModel:
    return calibrated(TINY)


def answers(backend: str, precision: str, model: Model, batch: Batch = BATCH) -> Float32:
    with backend_class(backend)(Options(precision, threads=2)) as engine:
        engine.load(model)
        return np.array(engine.infer(batch))


FLOATS = [
    (name, precision)
    for name in ("pytorch", "onnxruntime", "openvino")
    for precision, kind in BACKENDS.own[name].precisions.items()
    if kind != "engine"
]


@pytest.mark.parametrize(("backend", "precision"), FLOATS)
def test_engines_agree_at_natural_length_padded_or_not(model: Model, backend: str, precision: str) -> None:
    if (backend, precision) == ("openvino", "bf16"):
        core = pytest.importorskip("openvino").Core()
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this processor has no bfloat16")
    assert difference(answers(backend, precision, model), EXACT) < SLACK[precision]


def test_int8_of_onnxruntime_is_its_numpy_twin(model: Model, quantized: QuantizedModel, tmp_path: Path) -> None:
    built = replace(model, engine=write_engine(tmp_path / "engine", quantized))
    assert difference(answers("onnxruntime", "int8", built), numpy_reference.infer(quantized, BATCH)) < 0.01


CHAINS = {"operators": None, **{name: chain.load(name) for name in chain.VARIANTS}}


def run(engine: QuantizedModel, kernels: CpuKernels, variant: str) -> Run:
    chains = CHAINS[variant]
    if variant != "operators" and chains is None:
        pytest.skip(f"{variant} was not built, or does not run here")
    found = packed_mobilebert.from_engine(engine, kernels, chains=chains)
    assert isinstance(found, ChainedMobileBert if chains else packed_mobilebert.PackedMobileBert)
    return found


@pytest.mark.parametrize("variant", CHAINS)
@pytest.mark.parametrize("lengths", [LENGTHS, [97, 1]], ids=str)
@torch.inference_mode()
def test_int8_is_its_numpy_twin(quantized: QuantizedModel, variant: str, lengths: list[int]) -> None:
    """bfloat16 before attention changes some bytes by one."""
    batch = random_batch(lengths, vocab_size=TINY.vocab_size)
    kernels = best(TINY.hidden_size, TINY.head_size)
    found = run(quantized, kernels, variant)(batch).numpy()
    twin, exact = numpy_reference.infer(quantized, batch), numpy_reference.infer_float(TINY, TENSORS, batch)
    assert difference(found, twin) < 0.02
    assert difference(found, exact) < 1.2 * difference(twin, exact) < 0.03


@pytest.mark.parametrize("variant", bounded.VARIANTS)
@torch.inference_mode()
def test_bounded_weights_give_the_same_answers_by_a_faster_chain(variant: str) -> None:
    engine, kernels = calibrated(TINY, in_bounds=True), chain.load(variant)
    if kernels is None:
        pytest.skip(f"{variant} was not built, or does not run here")
    weights = [as_tensor(engine.linear(layer, name).weight) for layer in range(2) for name in TINY.linears()]
    assert kernels.laid_out(weights)[0].name == bounded.VARIANTS[variant]
    for beyond in (33, -128):
        assert kernels.laid_out([*weights, torch.full((64, 64), beyond, dtype=torch.int8)])[0] is kernels
    found = run(engine, best(TINY.hidden_size, TINY.head_size), variant)(BATCH).numpy()
    assert difference(found, numpy_reference.infer(engine, BATCH)) < 0.02
    assert difference(found, EXACT) < 0.03


@pytest.mark.parametrize("variant", CHAINS)
@torch.inference_mode()
def test_heads_wider_than_a_cache_line(variant: str) -> None:
    engine = calibrated(replace(TINY, num_attention_heads=1))
    kernels = best(TINY.hidden_size, engine.config.head_size)
    found = run(engine, kernels, variant)(BATCH).numpy()
    assert difference(found, numpy_reference.infer(engine, BATCH)) < 0.02


LARGEST = {"of two products, which 16 bits do not hold": [1] * 8, "of bounded groups": [1, 0, 0, 1, 0, 0, 0, 0]}


@pytest.mark.parametrize("variant", chain.VARIANTS)
@pytest.mark.parametrize("pattern", LARGEST.values(), ids=LARGEST)
def test_the_largest_sums_of_a_chain_are_exact(variant: str, pattern: list[int]) -> None:
    kernels = chain.load(variant)
    if kernels is None:
        pytest.skip(f"{variant} was not built, or does not run here")
    steps = torch.tensor([127, -128], dtype=torch.int8).repeat(32)
    weight = steps[:, None] * torch.tensor(pattern, dtype=torch.int8).repeat(64)
    scale, offset = 1 / (64 * sum(pattern) * steps.float().abs()), torch.zeros(64)
    rows = kernels.rows_multiple
    stream, wide = torch.zeros(rows, 64), torch.zeros(rows, 64, dtype=torch.bfloat16)
    step = chain.Step(chain.WIDE, weight, scale, offset)
    chain.Chain(kernels, [step])(torch.full((rows, 512), 255, dtype=torch.uint8), stream, wide, 64)
    torch.testing.assert_close(wide.float(), torch.tensor([255.0, -255.0]).repeat(rows, 32), rtol=0, atol=0)


def test_sizes_that_the_chain_cannot_take_run_all_the_same() -> None:
    odd = replace(TINY, intermediate_size=100, num_hidden_layers=1)
    tensors = {name: np.full(shape, 0.01, np.float32) for name, shape in odd.shapes().items()}
    engine, kernels = round_to_nearest(odd, tensors), best(odd.hidden_size, odd.head_size)
    for variant in CHAINS.values():
        found = packed_mobilebert.from_engine(engine, kernels, chains=variant)
        assert isinstance(found, packed_mobilebert.PackedMobileBert)


def test_answers_do_not_depend_on_the_batch(model: Model, quantized: QuantizedModel, tmp_path: Path) -> None:
    built = replace(model, engine=write_engine(tmp_path / "engine", quantized))
    alone = random_batch([64], 5, TINY.vocab_size)
    among = Batch.of([(one.input_ids, one.token_type_ids) for one in (alone, random_batch([33], 6, TINY.vocab_size))])
    with backend_class("pytorch")(Options("int8", threads=2)) as engine:
        engine.load(built)
        found = np.array(engine.infer(among))[:64]
        np.testing.assert_allclose(found, engine.infer(alone), rtol=1e-4, atol=1e-4)


FORMS = {
    **{name: published.FLOAT[name] for name in ("safetensors", "pytorch_model.bin", "sharded safetensors")},
    "MLPerf ONNX": published_mobilebert.mlperf_onnx,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_tensors(tmp_path: Path, form: str) -> None:
    found = read_weights(find_model(str(FORMS[form](tmp_path, TINY, TENSORS))))
    assert found.config == TINY
    assert set(found.tensors) == set(TINY.shapes())
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found.tensors[name], tensor)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_graph_runs_as_it_is(tmp_path: Path, backend: str) -> None:
    """Alone, as in padded batches such a graph sees [PAD] next to the last token."""
    alone = random_batch([17], vocab_size=TINY.vocab_size)
    graph = with_signature(find_model(str(published_mobilebert.mlperf_onnx(tmp_path, TINY, TENSORS))))
    assert difference(answers(backend, "fp32", graph, alone), numpy_reference.infer_float(TINY, TENSORS, alone)) < 1e-5


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"use_bottleneck_attention": True}, "use_bottleneck_attention True"),
        ({"normalization_type": "layer_norm"}, "normalization_type 'layer_norm'"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"intra_bottleneck_size": 65}, "65 for 2 heads"),
        ({"architectures": ["MobileBertForSequenceClassification"]}, "classification of sentences"),
    ],
)
def test_a_config_that_is_not_computed_so_is_refused(tmp_path: Path, changed: dict[str, object], words: str) -> None:
    path = write_model(tmp_path, TINY, TENSORS) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(BackendError, match=f"MobileBERT.*{words}"):
        find_model(str(tmp_path))


def test_published_sizes() -> None:
    found = find_model("random:mobilebert").config
    assert found is not None
    shapes = found.shapes()
    assert len(shapes) == 1113
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == pytest.approx(24.58e6, rel=1e-3)
    parts = 2 * 835_584 * 24 + 2 * 384 * 512  # of the linear layers apart; queries and keys read x here
    assert found.operations_per_token == parts + 2 * 24 * (512 * 512 - 512 * 384 - 128 * 256)


def test_an_engine_without_it_says_so(model: Model) -> None:
    from backends.gpu import loading

    with pytest.raises(BackendError, match="expected a BERT for backend gpu, found a MobileBERT"):
        loading.read(model, "bf16", torch.device("cpu"))
