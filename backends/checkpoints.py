"""BERT's geometry and weights, read from where they lie into plain numpy arrays.

Everything downstream (the ONNX graph, the PyTorch module, later engines) takes a `BertConfig` and a mapping of
Hugging Face tensor names to float32 arrays, so that a new weight format is one more reader here and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from backends.base import BackendError, Float32, brief

Tensors = dict[str, Float32]
RANDOM_PREFIX = "random:"
RANDOM_SEED = 2018
# Parts of published checkpoints that question answering does not use.
_UNUSED = ("bert.pooler.", "bert.embeddings.position_ids", "cls.")


@dataclass(frozen=True)
class BertConfig:
    """BERT's geometry, under the names of Hugging Face's config.json."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def operations_per_token(self) -> int:
        """Multiplications and additions of all layers' matrix products; attention, a few per cent more, left out."""
        weights = self.hidden_size * (4 * self.hidden_size + 2 * self.intermediate_size)
        return 2 * weights * self.num_hidden_layers

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of BERT with a question-answering head: name → shape."""
        hidden, inner = self.hidden_size, self.intermediate_size
        found: dict[str, tuple[int, ...]] = {
            "bert.embeddings.word_embeddings.weight": (self.vocab_size, hidden),
            "bert.embeddings.position_embeddings.weight": (self.max_position_embeddings, hidden),
            "bert.embeddings.token_type_embeddings.weight": (self.type_vocab_size, hidden),
            "bert.embeddings.LayerNorm.weight": (hidden,),
            "bert.embeddings.LayerNorm.bias": (hidden,),
            "qa_outputs.weight": (2, hidden),
            "qa_outputs.bias": (2,),
        }
        linear = {
            "attention.self.query": (hidden, hidden),
            "attention.self.key": (hidden, hidden),
            "attention.self.value": (hidden, hidden),
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (inner, hidden),
            "output.dense": (hidden, inner),
        }
        for layer in range(self.num_hidden_layers):
            at = f"bert.encoder.layer.{layer}."
            for name, (rows, columns) in linear.items():
                found |= {f"{at}{name}.weight": (rows, columns), f"{at}{name}.bias": (rows,)}
            for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
                found |= {f"{at}{norm}.weight": (hidden,), f"{at}{norm}.bias": (hidden,)}
        return found


RANDOM_GEOMETRIES = {
    "bert-large": BertConfig(30522, 1024, 24, 16, 4096),
    "bert-base": BertConfig(30522, 768, 12, 12, 3072),
    "bert-tiny": BertConfig(30522, 128, 2, 2, 512),
}


@dataclass(frozen=True)
class Model:
    """A model that was found, not yet read: small enough to send to every instance."""

    spec: str  # what the user named
    config: BertConfig | None  # None: an ONNX graph, run as it is, or the fake backend's script
    path: Path | None  # the directory or file; None for random weights
    engine: Path | None = None  # the built engine's directory, for precisions that need one

    @property
    def is_random(self) -> bool:
        return self.spec.startswith(RANDOM_PREFIX)


def find_model(spec: str) -> Model:
    """The model that `spec` names: a directory in Hugging Face form, an .onnx file, or `random:<geometry>`.

    Raises:
        BackendError: there is no such thing, or its config.json is not BERT's.
    """
    if spec.startswith(RANDOM_PREFIX):
        return _find_random(spec)
    path = Path(spec)
    with suppress(OSError):  # a name that no file system takes
        if path.suffix == ".onnx" and path.is_file():
            return Model(spec, None, path)
        if (path / "config.json").is_file():
            return Model(spec, _read_config(path / "config.json"), path)
    wanted = f"'demo', a directory with config.json and weights, an .onnx file, or {_random_names()}"
    raise BackendError(f"wanted a model ({wanted}), found nothing of the kind at {spec!r}. Check --model.")


def _random_names() -> str:
    return ", ".join(RANDOM_PREFIX + name for name in RANDOM_GEOMETRIES)


def _find_random(spec: str) -> Model:
    geometry = RANDOM_GEOMETRIES.get(spec.removeprefix(RANDOM_PREFIX))
    if geometry is None:
        raise BackendError(f"wanted random weights out of {_random_names()}, found --model {spec}.")
    return Model(spec, geometry, None)


def _read_config(path: Path) -> BertConfig:
    try:
        data = json.loads(path.read_bytes())
        known = {field.name: data[field.name] for field in fields(BertConfig) if field.name in data}
        config = BertConfig(**known)
    except (OSError, ValueError, TypeError) as error:
        raise BackendError(f"wanted BERT's config.json at {path}, found: {error}.") from error
    if data.get("model_type", "bert") != "bert" or config.hidden_act != "gelu":
        found = f"model_type {data.get('model_type')!r}, hidden_act {config.hidden_act!r}"
        raise BackendError(f"wanted a BERT with exact GELU in {path}, found {found}.")
    sizes = {field.name: getattr(config, field.name) for field in fields(BertConfig) if field.type == "int"}
    wrong = [f"{name} {size!r}" for name, size in sizes.items() if not (isinstance(size, int) and size > 0)]
    if wrong or config.hidden_size % config.num_attention_heads:
        found = ", ".join(wrong) or f"hidden_size {config.hidden_size} for {config.num_attention_heads} heads"
        raise BackendError(f"wanted BERT's sizes in {path}, hidden_size a multiple of the heads, found {found}.")
    return config


def read_tensors(model: Model) -> Tensors:
    """The model's weights, float32, exactly the names and shapes of `model.config.shapes()`.

    Raises:
        BackendError: the file is missing, cut short, or a tensor is missing or has another shape (it is named).
    """
    if model.config is None:
        raise BackendError(f"{model.spec} is a graph, without weights by name; run it with --backend onnxruntime.")
    wanted = model.config.shapes()
    if model.path is None:
        return _random_tensors(model.spec, wanted)
    path, read = _weight_file(model.path)
    found = {_modern_name(name): tensor for name, tensor in read(path).items()}
    _check(path, wanted, found)
    return {name: np.ascontiguousarray(found[name], np.float32) for name in wanted}


def digest(model: Model) -> str:
    """sha256 of the bytes that the weights come from: config.json and the weight file, or what names random weights."""
    if model.path is None:
        return hashlib.sha256(f"{model.spec} {RANDOM_SEED}".encode()).hexdigest()
    sha = hashlib.sha256()
    for path in (model.path / "config.json", _weight_file(model.path)[0]) if model.config else (model.path,):
        with path.open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()


def weight_file(model: Model) -> Path | None:
    """The one file that the weights are read from; None for random ones."""
    if model.path is None or model.config is None:
        return model.path
    return _weight_file(model.path)[0]


def _weight_file(directory: Path) -> tuple[Path, Callable[[Path], Mapping[str, Any]]]:
    for name, read in _READERS.items():
        if (directory / name).is_file():
            return directory / name, read
    raise BackendError(f"wanted {' or '.join(_READERS)} in {directory}, found neither.")


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise BackendError(
            f"wanted whole safetensors in {path}, found a file cut short or broken ({error}). Copy or fetch it again."
        ) from error


def _read_torch(path: Path) -> Mapping[str, Any]:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise BackendError(
            f"{path} needs torch to be read. Type: pip install 'mlperf-bert-sut[pytorch]', or use model.safetensors."
        ) from error
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.float().numpy() for name, tensor in tensors.items()}
    except Exception as error:
        raise BackendError(
            f"wanted a PyTorch state dict in {path}, found a file cut short or broken "
            f"({brief(error)}). Copy or fetch it again."
        ) from error


_READERS: dict[str, Callable[[Path], Mapping[str, Any]]] = {
    "model.safetensors": _read_safetensors,
    "pytorch_model.bin": _read_torch,
}


def _modern_name(name: str) -> str:
    """Checkpoints converted from TensorFlow call LayerNorm's weight and bias gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _check(path: Path, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, Any]) -> None:
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise BackendError(
            f"wanted {len(wanted)} tensors of a question-answering BERT in {path}, "
            f"found {len(missing)} missing, among them {missing[0]}."
        )
    for name, shape in wanted.items():
        if tuple(found[name].shape) != shape:
            raise BackendError(f"wanted {name} of shape {shape} in {path}, found {tuple(found[name].shape)}.")
    extra = [name for name in found if name not in wanted and not name.startswith(_UNUSED)]
    if extra:
        raise BackendError(f"found {len(extra)} tensors in {path} that BERT has no place for, among them {extra[0]}.")


def _random_tensors(spec: str, wanted: Mapping[str, tuple[int, ...]]) -> Tensors:
    """BERT's own initialisation (normal, sigma 0.02; LayerNorm one and zero), each tensor from a seed of its own."""
    return {name: _random_tensor(f"{spec}/{name}", shape) for name, shape in wanted.items()}


def _random_tensor(name: str, shape: tuple[int, ...]) -> Float32:
    if name.endswith("LayerNorm.weight"):
        return np.ones(shape, np.float32)
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    rng = np.random.default_rng([RANDOM_SEED, zlib.crc32(name.encode())])
    tensor = rng.standard_normal(shape, np.float32)
    tensor *= np.float32(0.02)
    return tensor
