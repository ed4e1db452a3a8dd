"""Builds OpenVINO's int8 engines: NNCF's post-training quantization, checked against the answers of fp32.

NNCF balances channels (SmoothQuant), calibrates and corrects biases. The result then answers the calibration samples:
if fewer than MIN_AGREEMENT of its answers equal those of fp32, NNCF's accuracy control returns layers to floating point
until enough do. Models with random weights are not checked: their answers are arbitrary.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from backends import narrowing
from backends.base import Batch
from backends.bert.checkpoints import read_weights
from backends.bert.heads import SPANS
from backends.bert.layer_widths import Widths
from backends.bert.model import Model
from backends.errors import BackendError
from backends.formats.graph_calls import Feed, GraphCalls
from backends.quantization import engine_store, int8_builder
from backends.quantization.engine_store import JSON, About, EngineBuilder, Progress, sources
from foundation import cpu_info, installation
from foundation.arrays import Int64
from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_json
from foundation.typed_json import decode

GRAPH, WEIGHTS = "openvino.xml", "openvino.bin"
MIN_AGREEMENT = 0.99  # share of the answers (first and last token) that must equal fp32's
_RANKED_SAMPLES = 32  # samples by which accuracy control ranks the layers
_BITS = "weight_bits"  # in engine.json
_DISTRIBUTIONS = ("openvino", "nncf")
Reference = tuple[Feed, Int64]  # one sample and fp32's answer


def _settings(_model: Model) -> dict[str, Any]:
    """The libraries' versions and the weights' bits are part of the key: they determine the engine."""
    settings = {"least_agreement": MIN_AGREEMENT, _BITS: _weight_bits()}
    try:
        return {name: metadata.version(name) for name in _DISTRIBUTIONS} | settings
    except metadata.PackageNotFoundError as error:
        raise _not_installed(str(error.name)) from error


def fits_16_bits(directory: Path) -> bool:
    """True if no two products of bytes of the engine in `directory` exceed 16 bits together.

    Raises:
        BackendError: there is no complete engine.
    """
    try:
        return bool(engine_store.read(directory)["settings"].get(_BITS, 8) < 8)
    except UnreadableError as error:
        raise engine_store.missing(directory, error) from error


def _weight_bits() -> int:
    """7 where products of bytes are added in 16 bits, which two of them by 8 bits exceed."""
    return 7 if cpu_info.adds_bytes_in_16_bits() else 8


def _not_installed(module: str) -> BackendError:
    return BackendError(
        f"an int8 engine of backend 'openvino' needs {module}, which is not installed. Type: "
        f"{installation.command('openvino')}"
    )


def _build(
    directory: Path, model: Model, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> None:
    import openvino as ov

    from backends.openvino_cpu import graph as openvino_cpu_graph

    weights = read_weights(model)
    tensors, narrowed = narrowing.floats(weights.config, weights.tensors)
    fp32 = openvino_cpu_graph.build(weights.config, tensors)
    graph, agreement = quantize(fp32, samples, controlled=not model.is_random)

    def fill(temporary: Path) -> About:
        try:
            ov.save_model(graph, str(temporary / GRAPH), compress_to_fp16=False)
        except RuntimeError as error:  # a full disk
            raise OSError(str(error)) from error
        settings = {**about, "agreement_with_fp32": agreement, _BITS: _weight_bits()}
        return {"settings": settings, "widths": narrowed and asdict(narrowed), "files": _sizes(temporary)}

    engine_store.write(directory, fill, is_complete)


def quantize(graph: Any, samples: Sequence[Batch], *, controlled: bool) -> tuple[Any, float]:
    """An int8 model of `graph`, and the share of samples on which its answer equals that of `graph`.

    Args:
        graph: an fp32 openvino.Model.
        samples: batches of one sample each.
        controlled: return layers to floating point while that share is below MIN_AGREEMENT.
    """
    nncf = _nncf()
    compiled = _compile(graph)
    calls = GraphCalls.of_built(SPANS)  # the inputs are those of every head
    feeds = [calls.feed(sample) for sample in samples]
    references = [(feed, _answer(compiled, feed)) for feed in feeds]
    data = nncf.Dataset(references, lambda pair: pair[0])
    options: dict[str, Any] = {"model_type": nncf.ModelType.TRANSFORMER, "subset_size": len(references)}
    advanced = nncf.AdvancedQuantizationParameters()
    if _weight_bits() < 8:  # and queries, keys and values have 8 bits
        advanced.overflow_fix = nncf.OverflowFix.ENABLE
        options["ignored_scope"] = nncf.IgnoredScope(names=_without_weights(graph))
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results, and NNCF prints progress bars
        found = nncf.quantize(graph, data, advanced_parameters=advanced, **options)
        agreement, _ = _agreement(_compile(found), references)
        if controlled and agreement < MIN_AGREEMENT:
            ranked = nncf.AdvancedAccuracyRestorerParameters(ranking_subset_size=min(_RANKED_SAMPLES, len(references)))
            found = nncf.quantize_with_accuracy_control(
                graph, data, data, _agreement, max_drop=1 - MIN_AGREEMENT,
                advanced_quantization_parameters=advanced, advanced_accuracy_restorer_parameters=ranked, **options,
            )  # fmt: skip
            agreement, _ = _agreement(_compile(found), references)
    return found, agreement


def _without_weights(graph: Any) -> list[str]:
    """The names of a graph's products of two activations."""
    products = (one for one in graph.get_ops() if one.get_type_name() == "MatMul")
    return [one.get_friendly_name() for one in products if "Constant" not in _sources(one)]


def _sources(operation: Any) -> set[str]:
    """The types of the operations whose outputs it reads."""
    return {port.get_source_output().get_node().get_type_name() for port in operation.inputs()}


def _nncf() -> Any:
    try:
        import nncf
    except ModuleNotFoundError as error:
        raise _not_installed(error.name or "nncf") from error
    nncf.set_log_level(logging.ERROR)
    return nncf


def _compile(graph: Any) -> Any:
    import openvino as ov

    return ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _answer(compiled: Any, feed: Feed) -> Int64:
    """The index of the largest logit of each output: start and end, int64 [2]; or the class, int64 [1]."""
    found = compiled(feed)
    return np.array([int(found[output].argmax()) for output in compiled.outputs])


def _agreement(compiled: Any, references: Iterable[Reference]) -> tuple[float, list[float]]:
    """The share of samples with fp32's answer, and 1 or 0 for each sample."""
    each = [float((_answer(compiled, feed) == answer).all()) for feed, answer in references]
    return sum(each) / max(1, len(each)), each


def widths(directory: Path) -> Widths | None:
    """How wide the layers of the engine in `directory` are; None: as their geometry says.

    Raises:
        BackendError: there is no complete engine.
    """
    try:
        found = engine_store.read(directory).get("widths")
        return decode(Widths, found, "widths") if found else None
    except UnreadableError as error:
        raise engine_store.missing(directory, error) from error


def is_complete(directory: Path) -> bool:
    """True if engine.json and the two model files are there with the sizes recorded in engine.json."""
    try:
        return bool(read_json(directory / JSON, SETTINGS_BYTES)["files"] == _sizes(directory))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sizes(directory: Path) -> dict[str, int]:
    return {name: (directory / name).stat().st_size for name in (GRAPH, WEIGHTS)}


BUILDER = EngineBuilder(
    sources(
        *(f"openvino_cpu/{name}" for name in ("quantizer", "graph", "graph_parts", "mobilebert_graph")),
        *("narrowing", "bert/layer_widths"),
        *int8_builder.MODEL_BY,
    ),
    _settings,
    is_complete,
    _build,
)
