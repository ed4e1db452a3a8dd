"""Where int8 loses: the error of the logits, with one kind of linear layer in int8 and the rest in fp32.

The inputs and the weights of a layer are rounded one at a time and together, and its inputs also with a scale for each
token, to show what that would gain. Errors are relative to the deviation of fp32's logits. The models are those of
`benchmarks.real_weights`; all is computed by the reference in numpy, so no engine adds errors of its own.

    python -m benchmarks.int8_error --model DIR --dataset dev-v1.1.json --samples 64
    python -m benchmarks.int8_error --model DIR --dataset dev-v1.1.json --layers      # each layer alone, too
    python -m benchmarks.int8_error --model DIR --dataset dev-v1.1.json --bounded     # as on x86 without VNNI
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from rich.table import Table

from backends.base import Batch
from backends.bert import numpy_reference
from backends.bert.architectures import require_bert
from backends.bert.checkpoints import find_model, read_tensors
from backends.bert.config import LINEARS, BertConfig
from backends.formats.base import Tensors
from backends.quantization.calibration import CalibrationSettings, calibrate
from backends.quantization.int8_model import QuantizedLinear, QuantizedModel
from benchmarks.real_weights import __main__ as real_weights
from benchmarks.real_weights.folds import Fold
from foundation import program, terminal
from foundation.arrays import Float32
from foundation.errors import VALID, UserError
from qsl.base import Features

Product = Callable[[QuantizedLinear, Float32, Float32], Float32]  # (layer, weight [N, K], x [T, K]) → [T, N]
Chosen = Callable[[int, str], bool]  # whether linear layer `name` of encoder layer `layer` is rounded


def _weights(linear: QuantizedLinear, weight: Float32, x: Float32) -> Float32:
    return x @ _rounded(linear).T


def _inputs(linear: QuantizedLinear, weight: Float32, x: Float32) -> Float32:
    return _read(linear, x) @ weight.T


def _inputs_by_token(linear: QuantizedLinear, weight: Float32, x: Float32) -> Float32:
    balanced = x / linear.input_smooth
    low, high = np.minimum(balanced.min(1, keepdims=True), 0), np.maximum(balanced.max(1, keepdims=True), 0)
    step = np.maximum((high - low) / 255, np.float32(1e-12))
    zero = np.rint(-low / step)
    steps = np.clip(np.rint(balanced / step) + zero, 0, 255) - zero
    read: Float32 = steps * step * linear.input_smooth
    return read @ weight.T


def _both(linear: QuantizedLinear, weight: Float32, x: Float32) -> Float32:
    return _read(linear, x) @ _rounded(linear).T


PARTS: dict[str, Product] = {
    "weights": _weights,
    "inputs": _inputs,
    "inputs, a scale for each token": _inputs_by_token,
    "both": _both,
}


def _rounded(linear: QuantizedLinear) -> Float32:
    """The weight that the bytes stand for, [N, K]."""
    return linear.weight * linear.weight_scale[:, None] / linear.input_smooth


def _read(linear: QuantizedLinear, x: Float32) -> Float32:
    """The input that the bytes stand for, [T, K]."""
    steps = linear.quantize(x).astype(np.float32) - np.float32(linear.input_zero_point)
    return steps * np.float32(linear.input_scale) * linear.input_smooth


@dataclass(frozen=True)
class Case:
    """A model in fp32, the same calibrated, and samples to try both on."""

    config: BertConfig
    tensors: Tensors
    quantized: QuantizedModel
    batch: Batch

    @cached_property
    def exact(self) -> Float32:
        """fp32's logits, [T, 2]."""
        return numpy_reference.infer_float(self.config, self.tensors, self.batch)

    def error(self, product: Product, chosen: Chosen) -> float:
        """The error of the logits with the chosen layers rounded, over the deviation of fp32's."""
        found = self._logits(product, chosen)
        return float(np.sqrt(np.square(found - self.exact).mean()) / self.exact.std())

    def _logits(self, product: Product, chosen: Chosen) -> Float32:
        def linear(layer: int, name: str, x: Float32) -> Float32:
            weight, bias = self.config.linear_weights(self.tensors, layer, name)
            if not chosen(layer, name):
                return x @ weight.T + bias
            return product(self.quantized.linear(layer, name), weight, x) + bias

        return numpy_reference.infer_by(self.config, self.tensors, self.batch, linear)


def _case(fold: Fold, options: argparse.Namespace) -> Case:
    model = find_model(str(fold.model))
    assert model.config is not None
    config = require_bert(model.config, "this benchmark")
    tensors, cache_dir = read_tensors(model), options.cache_dir.expanduser()
    data = fold.data(cache_dir)
    calibration = _samples(data.sibling(fold.trained_on).features, None)
    settings = replace(CalibrationSettings(), compensated=not options.nearest, bounded=options.bounded)
    quantized = calibrate(config, tensors, calibration, settings, options.threads)
    tried = _samples(data.features, options.samples)
    together = Batch.of([(one.input_ids, one.token_type_ids) for one in tried])
    return Case(config, tensors, quantized, together)


def _samples(features: Features, most: int | None) -> list[Batch]:
    """Batches of one sample each."""
    return [Batch.of([features.sample(row)]) for row in range(len(features))[:most]]


def measure(case: Case, each_layer: bool) -> Iterator[tuple[str, list[float]]]:
    """Rows of (what is rounded, the error of each part)."""

    def is_kind(names: Sequence[str], only: int | None, layer: int, name: str) -> bool:
        return name in names and only in (None, layer)

    every = {**{name: (name,) for name in LINEARS}, "all": LINEARS}
    rows = {name: partial(is_kind, names, None) for name, names in every.items()}
    if each_layer:
        places = [(layer, name) for layer in range(case.config.num_hidden_layers) for name in LINEARS]
        rows |= {f"layer {layer}, {name}": partial(is_kind, (name,), layer) for layer, name in places}
    for what, chosen in rows.items():
        yield what, [case.error(product, chosen) for product in PARTS.values()]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _options(argv)
    try:
        fold = next(real_weights.made_of(options))
        rows = list(measure(_case(fold, options), options.layers))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    table = Table("in int8", *PARTS, box=None)
    for what, errors in rows:
        table.add_row(what, *(f"{error:.4f}" for error in errors))
    terminal.console().print(table)
    print(json.dumps({"parts": list(PARTS), "errors": dict(rows)}))
    return VALID


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.int8_error",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    real_weights.add_flags(parser)
    parser.add_argument("--samples", type=int, default=64, help="to try (default: %(default)s)")
    parser.add_argument("--layers", action="store_true", help="each layer alone, too")
    parser.add_argument("--bounded", action="store_true", help="weights with bounded groups, as without VNNI")
    parser.add_argument("--nearest", action="store_true", help="weights rounded to nearest, without compensation")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
