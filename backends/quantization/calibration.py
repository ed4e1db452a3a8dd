"""From a float model and some of its inputs to a quantized one: observe, balance, choose ranges, round.

Observed are, for the input of every linear layer, each channel's least and greatest value over all tokens, and a
random sample of whole rows. Rows, and not a histogram, because balancing changes the values after they were seen.

Balancing (SmoothQuant) divides an input channel by s and multiplies the weights that read it by s, with
s = max|x|^alpha / max|w|^(1 - alpha) of that channel: outliers move out of the activations, which share one scale,
into weights. Alpha is chosen for each linear layer by the error of its output on the sampled rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from backends.base import Batch
from backends.bert.config import BertConfig
from backends.errors import BackendError
from backends.formats.base import Tensors
from backends.quantization import int8_model
from backends.quantization.engine_store import Progress
from backends.quantization.int8_model import LINEARS, QuantizedLinear, QuantizedModel, round_weight
from foundation.arrays import Float32, Int64

Interval = tuple[float, float]
_BATCH_TOKENS = 512
_BINS = 2048
_SHRINK = np.linspace(1.0, 0.02, 50)  # of a range, what is tried
_CLIP = np.linspace(1.0, 0.7, 7)  # of a weight row's greatest, what is tried


@dataclass(frozen=True)
class CalibrationSettings:
    """How ranges and scales are chosen; the defaults are those of docs/results/experiments.md."""

    ranges: str = "mse"  # one of RANGES
    percentile: float = 99.99  # of the values, what a "percentile" range keeps
    alphas: tuple[float, ...] = (0.0, 0.5, 0.65, 0.8, 0.9)  # what is tried; 0 stands for no balancing
    clip_weights: bool = False  # scales of least squared error instead of each row's greatest weight
    per_channel: bool = True  # one weight scale an output channel; False: one a tensor
    rows: int = 1024  # tokens whose inputs are kept
    seed: int = 0  # which tokens

    def __post_init__(self) -> None:
        if self.ranges not in RANGES:
            raise BackendError(f"expected ranges out of {', '.join(RANGES)}, found {self.ranges!r}.")


@dataclass
class ObservedInput:
    """The input of one linear layer: K channels."""

    low: Float32  # [K], over all tokens
    high: Float32  # [K]
    rows: Float32  # [R, K], some tokens


ObservedInputs = dict[tuple[int, str], ObservedInput]


def calibrate(
    config: BertConfig,
    tensors: Tensors,
    samples: Sequence[Batch],
    settings: CalibrationSettings,
    threads: int,
    progress: Progress = lambda *_: None,
) -> QuantizedModel:
    """The quantized model of float32 `tensors`, calibrated on `samples`, batches of one sample each."""
    sites = observe(config, tensors, samples, settings, threads, progress)
    return quantize(config, tensors, sites, settings, progress)


def observe(
    config: BertConfig,
    tensors: Tensors,
    samples: Sequence[Batch],
    settings: CalibrationSettings,
    threads: int,
    progress: Progress = lambda *_: None,
) -> ObservedInputs:
    """Run the float model over the samples and keep what `quantize` needs."""
    from backends.onnxruntime_cpu import activations

    batches = _batches(samples)
    kept_share = settings.rows / max(1, sum(batch.tokens for batch in batches))
    draw = np.random.default_rng(settings.seed)
    seen: dict[tuple[int, str], list[ObservedInput]] = {}
    for done, found in enumerate(activations.run(config, tensors, batches, threads), 1):
        kept = draw.random(batches[done - 1].tokens) < kept_share
        for place, x in found.items():
            seen.setdefault(place, []).append(ObservedInput(x.min(0), x.max(0), x[kept]))
        progress("observing, batches", done, len(batches))
    return {place: _together(parts) for place, parts in seen.items()}


def _batches(samples: Sequence[Batch]) -> list[Batch]:
    """Samples of like length together, `_BATCH_TOKENS` at most."""
    pairs = sorted(((s.input_ids, s.token_type_ids) for s in samples), key=lambda pair: len(pair[0]))
    groups: list[list[tuple[Int64, Int64]]] = []
    for pair in pairs:
        if groups and (len(groups[-1]) + 1) * len(pair[0]) <= _BATCH_TOKENS:
            groups[-1].append(pair)
        else:
            groups.append([pair])
    return [Batch.of(group) for group in groups]


def _together(parts: list[ObservedInput]) -> ObservedInput:
    return ObservedInput(
        np.min([part.low for part in parts], axis=0),
        np.max([part.high for part in parts], axis=0),
        np.concatenate([part.rows for part in parts]),
    )


def quantize(
    config: BertConfig,
    tensors: Tensors,
    sites: ObservedInputs,
    settings: CalibrationSettings,
    progress: Progress = lambda *_: None,
) -> QuantizedModel:
    """Round every linear layer, each for itself, after what was observed of its input."""
    found = {name: tensor for name, tensor in tensors.items() if name in int8_model.engine_shapes(config)}
    for done, ((layer, name), site) in enumerate(sites.items(), 1):
        weight, bias = (stacked(tensors, layer, name, part) for part in ("weight", "bias"))
        linear = _quantize_linear(weight, bias, site, settings, balanced=name != "ffn_output")
        found |= linear.tensors(f"layers.{layer}.{name}")
        progress("rounding, linear layers", done, config.num_hidden_layers * len(LINEARS))
    return QuantizedModel(config, found, asdict(settings))


def stacked(tensors: Tensors, layer: int, name: str, part: str) -> Float32:
    """`part` (weight or bias) of the layers that are multiplied as one, stacked by rows: query, key and value."""
    at = f"bert.encoder.layer.{layer}."
    return np.concatenate([tensors[f"{at}{source}.{part}"] for source in int8_model.SOURCES[name]])


def _quantize_linear(
    weight: Float32, bias: Float32, site: ObservedInput, settings: CalibrationSettings, balanced: bool
) -> QuantizedLinear:
    wanted = site.rows @ weight.T
    best, least = None, np.inf
    for alpha in settings.alphas if balanced else (0.0,):
        linear = _rounded(weight, bias, site, _smooth(weight, site, alpha), settings)
        error = float(np.square(_multiply(linear, site.rows) - wanted).sum())
        if best is None or error < least:
            best, least = linear, error
    assert best is not None
    return best


def _smooth(weight: Float32, site: ObservedInput, alpha: float) -> Float32:
    """What to divide each input channel by, float32 [K]; its geometric mean is 1."""
    inputs = np.maximum(np.abs(site.low), np.abs(site.high))
    weights = np.abs(weight).max(0)
    smooth = np.ones_like(inputs)
    if alpha:
        used = (inputs > 0) & (weights > 0)
        smooth[used] = inputs[used] ** alpha / weights[used] ** (1 - alpha)
        smooth[used] /= np.exp(np.log(smooth[used]).mean()) if used.any() else 1
    return smooth.astype(np.float32)


def _rounded(
    weight: Float32, bias: Float32, site: ObservedInput, smooth: Float32, settings: CalibrationSettings
) -> QuantizedLinear:
    rounded, weight_scale = _round_weight(weight * smooth, settings)
    low, high = RANGES[settings.ranges](site, smooth, np.square(weight * smooth).sum(0), settings)
    low, high = min(low, 0.0), max(high, 0.0)  # zero must be a step of its own
    scale = max((high - low) / 255, 1e-12)
    return QuantizedLinear(rounded, weight_scale, bias, float(np.float32(scale)), round(-low / scale), smooth)


def _round_weight(weight: Float32, settings: CalibrationSettings) -> tuple[npt.NDArray[np.int8], Float32]:
    """int8 [N, K] and its scales [N]."""
    greatest = np.abs(weight).max(1) if settings.per_channel else np.full(len(weight), np.abs(weight).max())
    widest = np.maximum(greatest / 127, 1e-12).astype(np.float32)
    best, least = widest, np.full(len(weight), np.inf)
    for share in _CLIP if settings.clip_weights else ():
        steps, scale = round_weight(weight, widest * np.float32(share))
        error = np.square(steps * scale[:, None] - weight).sum(1)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    return round_weight(weight, best)


def _multiply(linear: QuantizedLinear, x: Float32) -> Float32:
    """The layer's product without its bias."""
    steps = linear.quantize(x).astype(np.float32) - np.float32(linear.input_zero_point)
    return (steps @ linear.weight.T.astype(np.float32)) * (linear.weight_scale * np.float32(linear.input_scale))


def _minmax(site: ObservedInput, smooth: Float32, weights: Float32, settings: CalibrationSettings) -> Interval:
    """From the least to the greatest value of any token."""
    return float((site.low / smooth).min()), float((site.high / smooth).max())


def _percentile(site: ObservedInput, smooth: Float32, weights: Float32, settings: CalibrationSettings) -> Interval:
    """What holds the named percentage of the sampled values, as many cut off above as below."""
    cut = (100 - settings.percentile) / 2
    low, high = np.percentile(site.rows / smooth, (cut, 100 - cut))
    return float(low), float(high)


def _least_error(site: ObservedInput, smooth: Float32, weights: Float32, settings: CalibrationSettings) -> Interval:
    """The range of least squared error on the sampled rows: first its upper end is moved in, then its lower.

    An error counts as much as the weights that read its channel, squared and summed: what it does to the output.
    """
    low, high = _minmax(site, smooth, weights, settings)
    reach, counts = (min(low, 0.0), max(high, 1e-12)), np.broadcast_to(weights, site.rows.shape)
    counts, edges = np.histogram(site.rows / smooth, bins=_BINS, range=reach, weights=counts)
    centres = (edges[:-1] + edges[1:]) / 2
    high = min((float(high * share) for share in _SHRINK), key=lambda end: _error(counts, centres, low, end))
    low = min((float(low * share) for share in _SHRINK), key=lambda end: _error(counts, centres, end, high))
    return low, high


def _error(counts: Float32, centres: Float32, low: float, high: float) -> float:
    low, high = min(low, 0.0), max(high, 0.0)
    inside = np.clip(centres, low, high)
    # What is cut off counts as it is; rounding as a step's average, since a bin may be wider than a step.
    rounding = (inside == centres) * max(high - low, 1e-12) ** 2 / (255**2 * 12)
    return float((counts * (np.square(centres - inside) + rounding)).sum())


# By name, of (what was seen, what it is divided by, how much each channel counts [K], the settings).
RANGES: dict[str, Callable[[ObservedInput, Float32, Float32, CalibrationSettings], Interval]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "mse": _least_error,
}
