"""A model with BERT-Large's geometry and a trained model's outliers, and a task that it solves in fp32.

Trained BERT has a few channels in every layer with LayerNorm outputs 20 to 50 times larger than the rest, and a few
neurons with GELU outputs of some tens; random weights have neither, and their answers are random. Here

* every LayerNorm scales a few channels to ±SIZE (standard deviation of the rest: 1); they vary more between tokens than
  the others, and the weights that read them are smaller, so that they matter without dominating;
* a few neurons of every inner layer have large weights, and the weights that read them are smaller;
* the rows of a weight differ in size, as in trained models;
* the head is fitted by ridge regression on the last layer's output to find two tokens, one of STARTS and one of ENDS.
  These ids are arbitrary, so the head depends on all layers. Each sample also has a decoy of each kind, with an
  embedding near that of a right token, as a passage also has other names than the one asked for.

Weights are scaled layer by layer by their outputs on the samples that the head is fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backends.base import Batch
from backends.bert.config import RANDOM_GEOMETRIES, SOURCES, BertConfig
from backends.bert.numpy_reference import encode, normalized
from backends.formats.base import Tensors
from foundation.arrays import Float32, Int64

VOCABULARY = 1000
STARTS, ENDS, OTHERS = range(0, 12), range(12, 24), range(48, VOCABULARY)
DECOY = 24  # offset of a decoy's id from the right token's
_NEAR = 0.7  # correlation of a decoy's embedding with the right one's
LENGTH = 32  # tokens of a sample
CHANNELS, SIZE, SPREAD = 6, 48.0, 6.0  # outliers: number, size, standard deviation between tokens
_READ = 0.1  # weights that read an outlier, relative to others
_NEURONS, _LOUD = 12, 4.0  # neurons with large GELU outputs, and the factor of their weights
# Standard deviation of each linear layer's output, where the other channels of a LayerNorm's output have 1.
_GIVES = {"qkv": 1.2, "attention_output": 0.3, "ffn_inner": 1.0, "ffn_output": 0.3}


def geometry(layers: int) -> BertConfig:
    """BERT-Large, cut to `layers`, with a small vocabulary: embeddings are not quantized."""
    return replace(RANDOM_GEOMETRIES["bert-large"], num_hidden_layers=layers, vocab_size=VOCABULARY)


def samples(count: int, seed: int) -> tuple[list[Batch], Int64]:
    """`count` samples as batches of one, and the positions of start and end, int64[count, 2]."""
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
    """The weights; the head is fitted on samples with a seed that is not used elsewhere."""
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
        x = normalized(x, self.config.layer_norm_eps)
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
    target = np.zeros((len(x), 2))
    for column in range(2):
        target[np.arange(len(answers)) * LENGTH + answers[:, column], column] = 1
    deviation = x.std(0)
    scaled = (x - x.mean(0)) / deviation
    ridge = scaled.T @ scaled + 0.1 * len(x) * np.eye(x.shape[1])
    head = 10 * np.linalg.solve(ridge, scaled.T @ (target - target.mean(0))) / deviation[:, None]
    tensors["qa_outputs.weight"] = np.ascontiguousarray(head.T, np.float32)
    tensors["qa_outputs.bias"] = (-x.mean(0) @ head).astype(np.float32)
