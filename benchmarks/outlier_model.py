"""A model of BERT-Large's geometry with the outliers of a trained one, and a task that it solves in fp32.

Real BERT has a few channels of its LayerNorms' outputs at 20 to 50 times the rest, in every layer, and a few neurons
whose GELU gives tens; random weights have neither, and their answers are coin tosses. Here

* every LayerNorm lifts a few channels to ±SIZE where the rest deviates by 1; they differ from token to token by more
  than the others do, and the weights that read them are smaller in turn, so that they matter without swamping all;
* a few neurons of every inner layer have large weights, and the weights that read them are smaller in turn;
* the rows of a weight differ in size, as trained ones do;
* the head is fitted by ridge regression on the last layer's output to find two tokens, one out of STARTS and one out of
  ENDS. Which ids those are is arbitrary, so the head reads what all layers have kept. Each sample also has a decoy of
  either kind, whose embedding is near that of a right one, as a passage has other names than the one that is asked for.

Sizes are exact where they can be: weights are scaled on the way through the layers, by what each gives on the samples
that the head is fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backends.base import Batch
from backends.bert.config import RANDOM_GEOMETRIES, BertConfig
from backends.bert.numpy_reference import encode, normalised
from backends.formats.base import Tensors
from backends.quantization.int8_model import SOURCES
from foundation.arrays import Float32, Int64

VOCABULARY = 1000
STARTS, ENDS, OTHERS = range(0, 12), range(12, 24), range(48, VOCABULARY)
DECOY = 24  # a decoy's id is that of the right token and so much
_NEAR = 0.7  # how a decoy's embedding correlates with the right one's
LENGTH = 32  # tokens of a sample
CHANNELS, SIZE, SPREAD = 6, 48.0, 6.0  # outliers: how many, their size, their deviation from token to token
_READ = 0.1  # weights that read an outlier, relative to others
_NEURONS, _LOUD = 12, 4.0  # heavy GELU outputs, and how many times larger their weights are
# Deviation of what a linear layer gives, where the rest of a LayerNorm's output has 1.
_GIVES = {"qkv": 1.2, "attention_output": 0.3, "ffn_inner": 1.0, "ffn_output": 0.3}


def geometry(layers: int) -> BertConfig:
    """BERT-Large, cut to `layers`, with a small vocabulary: embeddings are not quantized."""
    return replace(RANDOM_GEOMETRIES["bert-large"], num_hidden_layers=layers, vocab_size=VOCABULARY)


def samples(count: int, seed: int) -> tuple[list[Batch], Int64]:
    """`count` samples, each a batch of its own, and where the start and the end are, int64 [count, 2]."""
    draw = np.random.default_rng(seed)
    ids = draw.choice(OTHERS, (count, LENGTH))
    places = draw.permuted(np.tile(np.arange(1, LENGTH), (count, 1)), axis=1)
    answers = np.sort(places[:, :2], axis=1)
    for column, tokens in enumerate((STARTS, ENDS)):
        ids[np.arange(count), answers[:, column]] = draw.choice(tokens, count)
        ids[np.arange(count), places[:, 2 + column]] = DECOY + draw.choice(tokens, count)
    types = (np.arange(LENGTH) > LENGTH // 4).astype(np.int64)
    return [Batch.of([(row, types)]) for row in ids], answers


def together(batches: list[Batch]) -> Batch:
    return Batch.of([(batch.input_ids, batch.token_type_ids) for batch in batches])


def build(config: BertConfig, seed: int = 1, fitted_on: int = 100) -> Tensors:
    """The weights; the head is fitted on samples of another seed than any that `samples` is asked for elsewhere."""
    batches, answers = samples(fitted_on, seed=1_000_000 + seed)
    maker = _Maker.of(config, seed)
    hidden = encode(config, maker.tensors, together(batches), maker.linear, maker.norm)
    _fit_head(maker.tensors, hidden, answers)
    return maker.tensors


@dataclass(frozen=True)
class _Maker:
    """Makes weights while a batch goes through them."""

    config: BertConfig
    tensors: Tensors
    draw: np.random.Generator
    outliers: Int64  # [CHANNELS]

    @classmethod
    def of(cls, config: BertConfig, seed: int) -> _Maker:
        draw = np.random.default_rng(seed)
        shapes = {name: shape for name, shape in config.shapes().items() if "embeddings.weight" in name}
        scales = {name: np.float32(1.0 if "word" in name else 0.3) for name in shapes}
        tensors = {name: scales[name] * draw.standard_normal(shape, np.float32) for name, shape in shapes.items()}
        words = tensors["bert.embeddings.word_embeddings.weight"]
        words[DECOY : 2 * DECOY] *= np.float32(np.sqrt(1 - _NEAR**2))
        words[DECOY : 2 * DECOY] += np.float32(_NEAR) * words[:DECOY]
        return cls(config, tensors, draw, draw.choice(config.hidden_size, CHANNELS, replace=False))

    def linear(self, layer: int, name: str, x: Float32) -> Float32:
        shapes = self.config.shapes()
        at = [f"bert.encoder.layer.{layer}.{source}" for source in SOURCES[name]]
        rows, columns = sum(shapes[f"{one}.weight"][0] for one in at), x.shape[1]
        weight = self.draw.standard_normal((rows, columns), np.float32)
        weight *= np.exp(0.5 * self.draw.standard_normal((rows, 1), np.float32))
        if name in ("qkv", "ffn_inner"):
            weight[:, self.outliers] *= np.float32(_READ)
        if name == "ffn_output":  # the neurons that _lift made loud
            weight[:, :_NEURONS] /= np.float32(_LOUD)
        given = x @ weight.T
        weight *= np.float32(_GIVES[name] / given.std(0).mean())
        given *= np.float32(_GIVES[name] / given.std(0).mean())
        bias = -given.mean(0) + self.draw.standard_normal(rows, np.float32) * np.float32(0.1)
        if name == "ffn_inner":
            weight[:_NEURONS] *= np.float32(_LOUD)
            given[:, :_NEURONS] *= np.float32(_LOUD)
            bias[:_NEURONS] *= np.float32(_LOUD)
        for one, part, shift in zip(at, np.split(weight, len(at)), np.split(bias, len(at)), strict=True):
            self.tensors[f"{one}.weight"] = np.ascontiguousarray(part)
            self.tensors[f"{one}.bias"] = np.ascontiguousarray(shift)
        return given + bias  # type: ignore[no-any-return]

    def norm(self, at: str, x: Float32) -> Float32:
        x = normalised(x, self.config.layer_norm_eps)
        rest = np.delete(x, self.outliers, axis=1)
        weight: Float32 = np.full(x.shape[1], 1 / rest.std(), dtype=np.float32)
        bias: Float32 = self.draw.standard_normal((x.shape[1],), np.float32) * np.float32(0.1)
        weight[self.outliers] = SPREAD / x[:, self.outliers].std(0)
        signs = np.where(np.arange(CHANNELS) % 2, -1.0, 1.0)
        bias[self.outliers] = signs * SIZE - weight[self.outliers] * x[:, self.outliers].mean(0)
        self.tensors.update({f"{at}.weight": weight, f"{at}.bias": bias})
        return x * weight + bias


def _fit_head(tensors: Tensors, hidden: Float32, answers: Int64) -> None:
    x = hidden.astype(np.float64)
    wanted = np.zeros((len(x), 2))
    for column in range(2):
        wanted[np.arange(len(answers)) * LENGTH + answers[:, column], column] = 1
    deviation = x.std(0)
    scaled = (x - x.mean(0)) / deviation
    ridge = scaled.T @ scaled + 0.1 * len(x) * np.eye(x.shape[1])
    head = 10 * np.linalg.solve(ridge, scaled.T @ (wanted - wanted.mean(0))) / deviation[:, None]
    tensors["qa_outputs.weight"] = np.ascontiguousarray(head.T, np.float32)
    tensors["qa_outputs.bias"] = (-x.mean(0) @ head).astype(np.float32)
