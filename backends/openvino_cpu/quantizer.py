"""The maker of OpenVINO's int8 engines: NNCF's post-training quantization, held to the answers of fp32.

NNCF balances (SmoothQuant), calibrates and corrects biases. What it made is then asked the calibration samples' own
questions: where fewer than LEAST_AGREEMENT of the answers are those of fp32, NNCF's accuracy control takes layers back
to floating point until enough are. Random weights have no answers to keep and are not asked.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from backends.base import Batch
from backends.bert.checkpoints import read_weights
from backends.bert.model import Model
from backends.errors import BackendError
from backends.formats import onnx_io_names
from backends.quantization import engine_store
from backends.quantization.engine_store import JSON, About, EngineBuilder, Progress, sources
from foundation.arrays import Int64
from foundation.bounded_readers import SETTINGS_BYTES, read_json

GRAPH, WEIGHTS = "openvino.xml", "openvino.bin"
LEAST_AGREEMENT = 0.99  # of the answers, first and last token, that must be fp32's
_RANKED_SAMPLES = 32  # what accuracy control judges each layer by
_DISTRIBUTIONS = ("openvino", "nncf")
Feed = dict[str, Int64]
Asked = tuple[Feed, Int64]  # one sample, and fp32's answer to it


def _settings() -> dict[str, Any]:
    """The versions count: they decide what an engine looks like."""
    try:
        return {name: metadata.version(name) for name in _DISTRIBUTIONS} | {"least_agreement": LEAST_AGREEMENT}
    except metadata.PackageNotFoundError as error:
        raise _not_installed(str(error.name)) from error


def _not_installed(module: str) -> BackendError:
    return BackendError(
        f"an int8 engine of backend 'openvino' is made by {module}, which is not installed: "
        f"pip install 'mlperf-bert-sut[openvino]'"
    )


def _make(
    directory: Path, model: Model, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> None:
    import openvino as ov

    from backends.openvino_cpu import graph as openvino_cpu_graph

    weights = read_weights(model)
    fp32 = openvino_cpu_graph.build(weights.config, weights.tensors)
    graph, agreement = quantize(fp32, samples, controlled=not model.is_random)

    def fill(aside: Path) -> About:
        ov.save_model(graph, str(aside / GRAPH), compress_to_fp16=False)
        return {"settings": {**about, "agreement_with_fp32": agreement}, "files": _sizes(aside)}

    engine_store.write(directory, fill, is_complete)


def quantize(graph: Any, samples: Sequence[Batch], *, controlled: bool) -> tuple[Any, float]:
    """An int8 model of `graph`, and the share of the samples that it answers as `graph` does."""
    nncf = _nncf()
    compiled = _compile(graph)
    feeds = [onnx_io_names.feed(_INPUTS, sample.padded()) for sample in samples]
    asked = [(feed, _answer(compiled, feed)) for feed in feeds]
    data = nncf.Dataset(asked, lambda pair: pair[0])
    wanted = {"model_type": nncf.ModelType.TRANSFORMER, "subset_size": len(asked)}
    with contextlib.redirect_stdout(sys.stderr):  # where its progress bars belong
        found = nncf.quantize(graph, data, **wanted)
        agreement, _ = _agreement(_compile(found), asked)
        if controlled and agreement < LEAST_AGREEMENT:
            ranked = nncf.AdvancedAccuracyRestorerParameters(ranking_subset_size=min(_RANKED_SAMPLES, len(asked)))
            found = nncf.quantize_with_accuracy_control(
                graph, data, data, _agreement, max_drop=1 - LEAST_AGREEMENT,
                advanced_accuracy_restorer_parameters=ranked, **wanted,
            )  # fmt: skip
            agreement, _ = _agreement(_compile(found), asked)
    return found, agreement


_INPUTS: onnx_io_names.Inputs = dict(
    zip(onnx_io_names.INPUTS, ("input_ids", "attention_mask", "token_type_ids"), strict=True)
)


def _nncf() -> Any:
    os.environ["NNCF_CI"] = "1"  # read on import: it reports nothing to its makers
    try:
        import nncf
    except ModuleNotFoundError as error:
        raise _not_installed(error.name or "nncf") from error
    nncf.set_log_level(40)  # errors
    return nncf


def _compile(graph: Any) -> Any:
    import openvino as ov

    return ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _answer(compiled: Any, feed: Feed) -> Int64:
    """Where the greatest logit of each output is: a start and an end, int64 [2]; or a class, int64 [1]."""
    found = compiled(feed)
    return np.array([int(found[output].argmax()) for output in compiled.outputs])


def _agreement(compiled: Any, asked: Iterable[Asked]) -> tuple[float, list[float]]:
    """The share of samples that are answered as fp32 does, and that of each sample."""
    each = [float((_answer(compiled, feed) == answer).all()) for feed, answer in asked]
    return sum(each) / max(1, len(each)), each


def is_complete(directory: Path) -> bool:
    """True where engine.json and the model's two files are there, of the sizes that they were written with."""
    try:
        return bool(read_json(directory / JSON, SETTINGS_BYTES)["files"] == _sizes(directory))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sizes(directory: Path) -> dict[str, int]:
    return {name: (directory / name).stat().st_size for name in (GRAPH, WEIGHTS)}


BUILDER = EngineBuilder(
    sources(
        "openvino_cpu/quantizer", "openvino_cpu/graph", "bert/config", "bert/heads", "bert/checkpoints", "formats/*"
    ),
    _settings,
    is_complete,
    _make,
)
