"""Compares ways to choose ranges and balance channels: data for the defaults of CalibrationSettings.

Everything runs in ONNX Runtime. The score is F1 on the development set for the embedded demo, and the share of right
answers for the model with outliers (benchmarks/outlier_model.py). In addition it prints the share of samples with the
start and end of fp32, and the error of the logits relative to the standard deviation of fp32's.

    python -m benchmarks.calibration demo
    python -m benchmarks.calibration outliers --layers 6
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.table import Table

from accuracy.log import PAD_LOGIT
from accuracy.squad import score_logits
from backends.base import Batch, Options
from backends.bert.architectures import require_bert
from backends.bert.checkpoints import find_model, read_tensors
from backends.bert.config import BertConfig
from backends.formats.base import Tensors
from backends.formats.onnx_io_names import INPUTS
from backends.onnxruntime_cpu import graph as onnx_graph
from backends.onnxruntime_cpu import int8_graph
from backends.onnxruntime_cpu import session as onnxruntime_cpu_session
from backends.onnxruntime_cpu.graph_builder import BuiltGraph
from backends.quantization.calibration import CalibrationSettings, observe, quantize
from backends.quantization.int8_model import QuantizedModel
from benchmarks import outlier_model
from foundation import program, terminal
from foundation.arrays import Float32
from qsl import demo, squad, squad_examples
from qsl.wordpiece import WordPiece
from sut.fetch import resolve as asset_paths
from sut.machine import facts as machine_facts

DEFAULT = CalibrationSettings()
NEAREST = replace(DEFAULT, compensated=False)
PLAIN = replace(NEAREST, ranges="minmax", alphas=(0.0,))
NAIVE = replace(PLAIN, per_channel=False)
WAYS = {
    "naive: min/max, one weight scale per tensor": NAIVE,
    "min/max": PLAIN,
    "percentile 99.99": replace(PLAIN, ranges="percentile"),
    "least error": replace(PLAIN, ranges="mse"),
    "min/max, alpha 0.5": replace(PLAIN, alphas=(0.5,)),
    "least error, alpha 0.5": replace(NEAREST, alphas=(0.5,)),
    "least error, alpha 0.8": replace(NEAREST, alphas=(0.8,)),
    "percentile 99.99, best alpha": replace(NEAREST, ranges="percentile"),
    "least error, best alpha": NEAREST,
    "least error, best alpha, compensated (default)": DEFAULT,
    "the same with bounded groups (default without VNNI)": replace(DEFAULT, bounded=True),
}


@dataclass(frozen=True)
class CalibrationCase:
    """A model with its calibration batches, its evaluation batches and its score."""

    config: BertConfig
    tensors: Tensors
    calibration: list[Batch]
    trial: list[Batch]  # one sample each
    score: Callable[[list[Float32]], float]  # from the logits [S, 2] of each sample, in percent


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """How near a model's answers are to fp32's."""

    score: float
    agree: float  # share of samples with fp32's start and end
    error: float  # root of the mean square of the logits' distances, over fp32's deviation
    mean: float  # distance of a logit
    greatest: float


def demo_case(samples: int) -> CalibrationCase:
    """The embedded demo on its development set, calibrated on generated training questions."""
    model, vocab = find_model(str(asset_paths.demo_model())), asset_paths.demo_model() / "vocab.txt"
    with tempfile.TemporaryDirectory() as folder:
        paths = {split: Path(folder) / f"{split}.json" for split in demo.SPLITS}
        demo.write(paths["dev"], "dev")
        demo.write(paths["train"], "train", seed=3, questions=samples)
        dev, train = (squad.load(paths[split], vocab, None) for split in ("dev", "train"))
        examples = squad_examples.read_examples(paths["dev"])

    def score(logits: list[Float32]) -> float:
        padded = np.full((len(logits), max(len(one) for one in logits), 2), PAD_LOGIT, np.float32)
        for row, one in zip(padded, logits, strict=True):
            row[: len(one)] = one
        return score_logits(padded, np.ones(len(logits), np.bool_), examples, dev, WordPiece(vocab)).f1

    assert model.config is not None
    trial = [Batch.of([dev.features.sample(i)]) for i in range(len(dev.features))]
    calibration = [Batch.of([train.features.sample(i)]) for i in range(samples)]
    return CalibrationCase(
        require_bert(model.config, "benchmarks.calibration"), read_tensors(model), calibration, trial, score
    )


def _outliers(samples: int, layers: int) -> CalibrationCase:
    config = outlier_model.geometry(layers)
    trial, answers = outlier_model.samples(300, seed=1)

    def score(logits: list[Float32]) -> float:
        return float(100 * (np.stack([one.argmax(0) for one in logits]) == answers).all(1).mean())

    return CalibrationCase(config, outlier_model.build(config), outlier_model.samples(samples, seed=2)[0], trial, score)


def infer(built: BuiltGraph, trial: list[Batch]) -> list[Float32]:
    """Logits [S, 2] of each sample; eight of similar length run at a time."""
    session, found = (
        onnxruntime_cpu_session.open_built(built, Options(threads=machine_facts.cores())),
        dict[int, Float32](),
    )
    order = sorted(range(len(trial)), key=lambda index: trial[index].tokens)
    for start in range(0, len(order), 8):
        chosen = order[start : start + 8]
        batch = outlier_model.together([trial[index] for index in chosen])
        padded = batch.padded()
        fields = (padded.input_ids, padded.attention_mask, padded.token_type_ids)
        answers = session.run(None, dict(zip(INPUTS, fields, strict=True)))
        logits = np.split(batch.pack(np.stack(answers, axis=-1)), batch.cu_seqlens[1:-1])
        found |= dict(zip(chosen, logits, strict=True))
    return [found[index] for index in range(len(trial))]


def measure(case: CalibrationCase) -> Iterator[tuple[str, Nearness]]:
    """fp32 and each way."""
    reference = infer(onnx_graph.build(case.config, case.tensors), case.trial)
    yield "fp32", compare(case, reference, reference)
    dynamic = int8_graph.build_dynamic(case.config, case.tensors)
    yield "int8-dynamic", compare(case, infer(dynamic, case.trial), reference)
    sites = observe(case.config, case.tensors, case.calibration, DEFAULT, machine_facts.cores())
    for way, settings in WAYS.items():
        print(way, file=sys.stderr)
        model = quantize(case.config, case.tensors, sites, settings)
        yield way, compare(case, infer_int8(model, case.trial), reference)


def infer_int8(model: QuantizedModel, trial: list[Batch]) -> list[Float32]:
    """Logits of each sample."""
    return infer(int8_graph.build(model), trial)


def compare(case: CalibrationCase, found: list[Float32], reference: list[Float32]) -> Nearness:
    """A model's logits against fp32's."""
    agree = [(a.argmax(0) == b.argmax(0)).all() for a, b in zip(found, reference, strict=True)]
    exact = np.concatenate(reference)
    distance = np.abs(np.concatenate(found) - exact)
    return Nearness(
        score=case.score(found),
        agree=float(np.mean(agree)),
        error=float(np.sqrt(np.square(distance).mean()) / exact.std()),
        mean=float(distance.mean()),
        greatest=float(distance.max()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("model", choices=("demo", "outliers"))
    parser.add_argument("--samples", type=int, default=128, help="number of samples for calibration")
    parser.add_argument("--layers", type=int, default=6, help="layers of the model with outliers")
    options = parser.parse_args()
    case = demo_case(options.samples) if options.model == "demo" else _outliers(options.samples, options.layers)
    found = list(measure(case))
    table = Table("way", "score", "agrees with fp32", "error of the logits", box=None)
    for way, one in found:
        table.add_row(way, f"{one.score:.2f}", f"{one.agree:.2%}", f"{one.error:.4f}")
    terminal.console().print(table)
    rows = [(way, one.score, one.agree, one.error) for way, one in found]
    print(json.dumps({"model": options.model, "samples": options.samples, "found": rows}))


if __name__ == "__main__":
    sys.exit(program.run(main))
