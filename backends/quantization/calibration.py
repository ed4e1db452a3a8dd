"""Post-training quantization: observe a float model on samples, balance channels, choose ranges, round.

For the input of every linear layer, the minimum and maximum of each channel over all tokens are recorded, and a random
sample of whole rows. Rows and not a histogram, because balancing changes the values after they were recorded.

Balancing (SmoothQuant, arXiv:2211.10438) divides an input channel by s and multiplies its weights by s, with
s = max|x|^alpha / max|w|^(1 - alpha) of that channel: outliers move from the activations, which share one scale, into
the weights. Alpha is chosen for each linear layer by the error of its output on the sampled rows. Then the weights are
rounded once more, so that their errors compensate each other on these rows. For x86 without VNNI the weights' steps are
larger, so that groups of them are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from backends.base import Batch
from backends.bert.architectures import Geometry
from backends.bert.encoder import LinearInputs
from backends.errors import BackendError
from backends.formats.base import Tensors
from backends.quantization import attention_ranges, bounded_groups, compensated_rounding, int8_model
from backends.quantization.engine_store import Progress
from backends.quantization.int8_model import QuantizedLinear, QuantizedModel, round_weight
from foundation.arrays import Float32, Int32

Interval = tuple[float, float]
_BATCH_TOKENS = 512
_BINS = 2048
_MOST_THREADS = 16  # each holds a product's samples, 100 MB for BERT-Large
_MOST_ERROR = 3.0  # squared, of a layer with bounded groups over that of one without, both rounded to nearest
_SHRINK = np.linspace(1.0, 0.02, 50)  # factors by which a range is narrowed in the search


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """How ranges and scales are chosen; the defaults are those of docs/results/experiments.md."""

    ranges: str = "mse"  # one of RANGES
    percentile: float = 99.99  # percent of the values that a "percentile" range keeps
    alphas: tuple[float, ...] = (0.0, 0.5, 0.65, 0.8, 0.9)  # candidates; 0: no balancing
    per_channel: bool = True  # True: one weight scale per output channel; False: one per tensor
    int8_attention: bool = True  # ranges of queries, keys and values too, for engines that can attend in int8
    compensated: bool = True  # rounding errors of a weight compensate each other; False: each is rounded to nearest
    bounded: bool = False  # groups of weights (`bounded_groups`), where that adds less than _MOST_ERROR to the error
    rows: int = 2048  # number of tokens to sample
    seed: int = 0  # selects the tokens

    def __post_init__(self) -> None:
        if self.ranges not in RANGES:
            raise BackendError(f"expected ranges to be one of {', '.join(RANGES)}, found {self.ranges!r}.")


@dataclass
class ObservedInput:
    """What was observed of the input of one linear layer, K channels."""

    low: Float32  # [K], minimum over all tokens
    high: Float32  # [K], maximum
    rows: Float32  # [R, K], the sampled tokens


InputsOf = Callable[[list[Batch]], Iterator[LinearInputs]]
ObservedInputs = dict[tuple[int, str], ObservedInput]  # (layer, one of `EncoderConfig.linears`) → its input


def calibrate(
    config: Geometry,
    tensors: Tensors,
    samples: Sequence[Batch],
    settings: CalibrationSettings,
    threads: int,
    progress: Progress = lambda *_: None,
    inputs_of: InputsOf | None = None,
) -> QuantizedModel:
    """The quantized model of float32 `tensors`, calibrated on `samples`, batches of one sample each.

    `inputs_of` runs the model elsewhere than in ONNX Runtime, on batches, one after the other.
    """
    observed_inputs = observe(config, tensors, samples, settings, threads, progress, inputs_of)
    return quantize(config, tensors, observed_inputs, settings, threads, progress)


def observe(
    config: Geometry,
    tensors: Tensors,
    samples: Sequence[Batch],
    settings: CalibrationSettings,
    threads: int,
    progress: Progress = lambda *_: None,
    inputs_of: InputsOf | None = None,
) -> ObservedInputs:
    """Run the float model on the samples and record what `quantize` needs of each linear layer's input."""
    batches = _batches(samples)
    kept_share = settings.rows / max(1, sum(batch.tokens for batch in batches))
    draw = np.random.default_rng(settings.seed)
    seen: dict[tuple[int, str], list[ObservedInput]] = {}
    runs = inputs_of(batches) if inputs_of else _in_onnxruntime(config, tensors, batches, threads)
    for done, found in enumerate(runs, 1):
        kept = draw.random(batches[done - 1].tokens) < kept_share
        for key, x in found.items():
            seen.setdefault(key, []).append(ObservedInput(x.min(0), x.max(0), x[kept]))
        progress("observing, batches", done, len(batches))
    return {key: _merged(parts) for key, parts in seen.items()}


def _in_onnxruntime(config: Geometry, tensors: Tensors, batches: list[Batch], threads: int) -> Iterator[LinearInputs]:
    from backends.onnxruntime_cpu import activations

    return activations.run(config, tensors, batches, threads)


def _batches(samples: Sequence[Batch]) -> list[Batch]:
    """Batches of samples of similar length, `_BATCH_TOKENS` at most."""
    pairs = sorted(((s.input_ids, s.token_type_ids) for s in samples), key=lambda pair: len(pair[0]))
    groups: list[list[tuple[Int32, Int32]]] = []
    for pair in pairs:
        if groups and (len(groups[-1]) + 1) * len(pair[0]) <= _BATCH_TOKENS:
            groups[-1].append(pair)
        else:
            groups.append([pair])
    return [Batch.of(group) for group in groups]


def _merged(parts: list[ObservedInput]) -> ObservedInput:
    return ObservedInput(
        np.min([part.low for part in parts], axis=0),
        np.max([part.high for part in parts], axis=0),
        np.concatenate([part.rows for part in parts]),
    )


def quantize(
    config: Geometry,
    tensors: Tensors,
    observed_inputs: ObservedInputs,
    settings: CalibrationSettings,
    threads: int = 1,
    progress: Progress = lambda *_: None,
) -> QuantizedModel:
    """Quantize every linear layer independently, `threads` at a time, given what was observed of its input."""
    shapes, linears = int8_model.engine_shapes(config), config.linears()
    found = {name: tensor for name, tensor in tensors.items() if name in shapes}

    def of_one(place: tuple[int, str]) -> Tensors:
        layer, name = place
        weight, bias = config.linear_weights(tensors, layer, name)
        observed = observed_inputs[place]
        linear = _quantize_linear(weight, bias, observed, settings, linears[name].balanced)
        made = linear.tensors(f"layers.{layer}.{name}")
        if name == "qkv" and settings.int8_attention:
            outputs = observed.rows @ weight.T + bias
            made |= attention_ranges.of_rows(outputs, config.num_attention_heads).tensors(f"layers.{layer}.attention")
        return made

    with ThreadPoolExecutor(min(threads, _MOST_THREADS)) as pool:
        for done, made in enumerate(pool.map(of_one, observed_inputs), 1):
            found |= made
            progress("rounding, linear layers", done, config.num_hidden_layers * len(linears))
    return QuantizedModel(config, found, asdict(settings))


def _quantize_linear(
    weight: Float32, bias: Float32, observed: ObservedInput, settings: CalibrationSettings, balanced: bool
) -> QuantizedLinear:
    alphas = settings.alphas if balanced else (0.0,)
    tried = (_rounded(weight, bias, observed, _smooth(weight, observed, alpha), settings) for alpha in alphas)
    best = min(tried, key=lambda one: _squared_error(one, weight, observed.rows))
    if settings.bounded and not _may_be_bounded(best, weight, bias, observed, settings):
        return _quantize_linear(weight, bias, observed, replace(settings, bounded=False), balanced)
    return _compensated(best, weight, observed, settings.bounded) if settings.compensated else best


def _may_be_bounded(
    within: QuantizedLinear, weight: Float32, bias: Float32, observed: ObservedInput, settings: CalibrationSettings
) -> bool:
    """Whether bounds, those of `within`, cost little, and are still there when the engine is loaded.

    Inputs that structured pruning made zero are then gone (`backends/narrowing.py`), and others are groups.
    """
    free = _rounded(weight, bias, observed, within.input_smooth, replace(settings, bounded=False))
    error, least = (_squared_error(one, weight, observed.rows) for one in (within, free))
    return bool(weight.any(0).all()) and error <= _MOST_ERROR * least


def _compensated(linear: QuantizedLinear, weight: Float32, observed: ObservedInput, bounded: bool) -> QuantizedLinear:
    """The layer with weights that are rounded for the bytes of three rows of four, if the fourth is closer then."""
    used = np.arange(len(observed.rows)) % 4 > 0
    inputs = _steps(linear, observed.rows[used]) * np.float32(linear.input_scale)
    steps = compensated_rounding.compensated(weight * linear.input_smooth, linear.weight_scale, inputs, bounded)
    others = observed.rows[~used]
    return min((linear, replace(linear, weight=steps)), key=lambda one: _squared_error(one, weight, others))


def _smooth(weight: Float32, observed: ObservedInput, alpha: float) -> Float32:
    """The divisor of each input channel, float32 [K], with a geometric mean of 1."""
    inputs = np.maximum(np.abs(observed.low), np.abs(observed.high))
    weights = np.abs(weight).max(0)
    smooth = np.ones_like(inputs)
    if alpha:
        used = (inputs > 0) & (weights > 0)
        smooth[used] = inputs[used] ** alpha / weights[used] ** (1 - alpha)
        smooth[used] /= np.exp(np.log(smooth[used]).mean()) if used.any() else 1
    return smooth.astype(np.float32)


def _rounded(
    weight: Float32, bias: Float32, observed: ObservedInput, smooth: Float32, settings: CalibrationSettings
) -> QuantizedLinear:
    rounded, weight_scale = _round_weight(weight * smooth, settings)
    low, high = RANGES[settings.ranges](observed, smooth, np.square(weight * smooth).sum(0), settings)
    low, high = min(low, 0.0), max(high, 0.0)  # zero must be represented exactly
    scale = max((high - low) / 255, 1e-12)
    return QuantizedLinear(
        weight=rounded,
        weight_scale=weight_scale,
        bias=bias,
        input_scale=float(np.float32(scale)),
        input_zero_point=round(-low / scale),
        input_smooth=smooth,
    )


def _round_weight(weight: Float32, settings: CalibrationSettings) -> tuple[npt.NDArray[np.int8], Float32]:
    """int8 [N, K] and its scales [N]."""
    least = bounded_groups.least_scale(weight) if settings.bounded else np.abs(weight).max(1) / 127
    scale = least if settings.per_channel else np.full(len(weight), least.max())
    return round_weight(weight, np.maximum(scale, 1e-12).astype(np.float32))


def _squared_error(linear: QuantizedLinear, weight: Float32, x: Float32) -> float:
    """Of the output of x [R, K], summed."""
    scale = linear.weight_scale * np.float32(linear.input_scale)
    found = (_steps(linear, x) @ linear.weight.T.astype(np.float32)) * scale
    return float(np.square(found - x @ weight.T).sum())


def _steps(linear: QuantizedLinear, x: Float32) -> Float32:
    """The input in steps from its zero point, [R, K]."""
    return linear.quantize(x).astype(np.float32) - np.float32(linear.input_zero_point)


def _minmax(observed: ObservedInput, smooth: Float32, weights: Float32, settings: CalibrationSettings) -> Interval:
    """From the minimum to the maximum over all tokens."""
    return float((observed.low / smooth).min()), float((observed.high / smooth).max())


def _percentile(observed: ObservedInput, smooth: Float32, weights: Float32, settings: CalibrationSettings) -> Interval:
    """The range that keeps `percentile` percent of the sampled values and clips as many above as below."""
    cut = (100 - settings.percentile) / 2
    low, high = np.percentile(observed.rows / smooth, (cut, 100 - cut))
    return float(low), float(high)


def _least_error(observed: ObservedInput, smooth: Float32, weights: Float32, settings: CalibrationSettings) -> Interval:
    """The range of least squared error on the sampled rows: first the upper end is searched, then the lower.

    The error of a channel is weighted by the sum of its squared weights, which is its effect on the output.
    """
    low, high = _minmax(observed, smooth, weights, settings)
    reach, counts = (min(low, 0.0), max(high, 1e-12)), np.broadcast_to(weights, observed.rows.shape)
    counts, edges = np.histogram(observed.rows / smooth, bins=_BINS, range=reach, weights=counts)
    centres = (edges[:-1] + edges[1:]) / 2
    high = min((float(high * share) for share in _SHRINK), key=lambda end: _error(counts, centres, low, end))
    low = min((float(low * share) for share in _SHRINK), key=lambda end: _error(counts, centres, end, high))
    return low, high


def _error(counts: Float32, centres: Float32, low: float, high: float) -> float:
    low, high = min(low, 0.0), max(high, 0.0)
    inside = np.clip(centres, low, high)
    # Clipping errors are exact; rounding errors are the mean over a step, step² / 12, as bins may be wider than steps.
    rounding = (inside == centres) * max(high - low, 1e-12) ** 2 / (255**2 * 12)
    return float((counts * (np.square(centres - inside) + rounding)).sum())


# By name: functions of (observed input, divisors [K], weight of each channel's error [K], settings).
RANGES: dict[str, Callable[[ObservedInput, Float32, Float32, CalibrationSettings], Interval]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "mse": _least_error,
}
