"""A BERT whose linear layers were quantized to int8: neutral, the same for every engine, and how it lies on disk.

Activations are uint8 with one scale and zero point a tensor, weights int8 with one scale an output channel:

    q = clip(round(x / (input_smooth * input_scale)) + input_zero_point, 0, 255)               round half to even
    y = (q - input_zero_point) * input_scale @ (weight * weight_scale[:, None]).T + bias

An engine is a directory, engine.json beside engine.safetensors; its tensors are views of the mapped file, so that
instances which only read them share one copy in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from backends.bert.config import BertConfig
from backends.bert.model import Model
from backends.errors import BackendError
from backends.quantization import engine_store
from backends.quantization.engine_store import JSON
from foundation.arrays import Float32
from foundation.bounded_readers import SETTINGS_BYTES, read_json

LINEARS = ("qkv", "attention_output", "ffn_inner", "ffn_output")
# Where each of them lies in a checkpoint, below `bert.encoder.layer.{i}.`; several are stacked along the outputs.
SOURCES: dict[str, tuple[str, ...]] = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention_output": ("attention.output.dense",),
    "ffn_inner": ("intermediate.dense",),
    "ffn_output": ("output.dense",),
}
TENSORS = "engine.safetensors"
Arrays = Mapping[str, npt.NDArray[Any]]
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I8": np.dtype(np.int8), "U8": np.dtype(np.uint8)}


@dataclass(frozen=True)
class QuantizedLinear:
    """One linear layer of K inputs and N outputs."""

    weight: npt.NDArray[np.int8]  # [N, K], -127 to 127
    weight_scale: Float32  # [N]
    bias: Float32  # [N]
    input_scale: float
    input_zero_point: int  # 0 to 255
    input_smooth: Float32  # [K], what the input is divided by first; ones for ffn_output

    def quantize(self, x: Float32) -> npt.NDArray[np.uint8]:
        """uint8 [T, K] of an input float32 [T, K]."""
        steps = np.rint(x / (self.input_smooth * np.float32(self.input_scale))) + np.float32(self.input_zero_point)
        return np.clip(steps, 0, 255).astype(np.uint8)

    def tensors(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """What the file holds of it, by name."""
        scalars = {"input_scale": np.float32, "input_zero_point": np.uint8}
        return {
            f"{prefix}.{field.name}": np.asarray(getattr(self, field.name), scalars.get(field.name))
            for field in fields(self)
        }


@dataclass(frozen=True)
class QuantizedModel:
    """The linear layers under `layers.{i}.{name}.*`; everything else float32 under its Hugging Face name."""

    config: BertConfig
    tensors: Arrays
    settings: Mapping[str, Any]  # how it was made, and from what

    def linear(self, layer: int, name: str) -> QuantizedLinear:
        """One of LINEARS."""
        at = f"layers.{layer}.{name}."
        found: dict[str, Any] = {field.name: self.tensors[at + field.name] for field in fields(QuantizedLinear)}
        found |= {"input_scale": float(found["input_scale"]), "input_zero_point": int(found["input_zero_point"])}
        return QuantizedLinear(**found)


def round_weight(weight: Float32, scale: Float32 | None = None) -> tuple[npt.NDArray[np.int8], Float32]:
    """int8 [N, K] and its scales [N] (without one: each row's greatest at 127)."""
    if scale is None:
        scale = np.maximum(np.abs(weight).max(1) / 127, 1e-12).astype(np.float32)
    return np.clip(np.rint(weight / scale[:, None]), -127, 127).astype(np.int8), scale


def engine_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of an engine: name → shape."""
    linear = {
        f"bert.encoder.layer.{layer}.{name}.{part}"
        for layer in range(config.num_hidden_layers)
        for names in SOURCES.values()
        for name in names
        for part in ("weight", "bias")
    }
    found = {name: shape for name, shape in config.shapes().items() if name not in linear}
    hidden, inner = config.hidden_size, config.intermediate_size
    sizes = ((3 * hidden, hidden), (hidden, hidden), (inner, hidden), (hidden, inner))
    for layer in range(config.num_hidden_layers):
        for name, (rows, columns) in zip(LINEARS, sizes, strict=True):
            at = f"layers.{layer}.{name}"
            found |= {f"{at}.weight": (rows, columns), f"{at}.weight_scale": (rows,), f"{at}.bias": (rows,)}
            found |= {f"{at}.input_scale": (), f"{at}.input_zero_point": (), f"{at}.input_smooth": (columns,)}
    return found


def write_engine(directory: Path, model: QuantizedModel) -> Path:
    """Write the engine; where another process was first, its engine stays.

    Raises:
        BackendError: the disk does not take it.
    """

    def fill(aside: Path) -> Mapping[str, Any]:
        safetensors.numpy.save_file(dict(model.tensors), aside / TENSORS)
        return {"config": asdict(model.config), "settings": dict(model.settings)}

    engine_store.write(directory, fill, is_complete)
    return directory


def is_complete(directory: Path) -> bool:
    """True where `read_engine` would succeed."""
    try:
        read_engine(directory)
    except BackendError:
        return False
    return True


def read_engine(directory: Path) -> QuantizedModel:
    """The engine in `directory`, its tensors mapped read-only.

    Raises:
        BackendError: there is none, or it is not whole.
    """
    try:
        about = read_json(directory / JSON, SETTINGS_BYTES)
        config, settings = BertConfig(**about["config"]), about["settings"]
        tensors = map_tensors(directory / TENSORS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise engine_store.missing(directory, error) from error
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != engine_shapes(config):
        wrong = sorted(name for name, _ in set(found.items()) ^ set(engine_shapes(config).items()))
        raise BackendError(f"expected an engine in {directory}, found {wrong[0]} missing or of another shape.")
    return QuantizedModel(config, tensors, settings)


def read_model_engine(model: Model) -> tuple[QuantizedModel, Path]:
    """The engine that was built for `model`, and its directory.

    Raises:
        BackendError: none was, or it is not whole.
    """
    directory = engine_store.built_for(model)
    return read_engine(directory), directory


def map_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Views of a safetensors file: eight bytes of header length, the header as JSON, the tensors' bytes.

    Raises:
        OSError, ValueError, KeyError: it is not there, or not whole.
    """
    content = np.memmap(path, np.uint8, mode="r")
    start = 8 + int(content[:8].view("<u8")[0])
    header = json.loads(content[8:start].tobytes())
    header.pop("__metadata__", None)
    data = content[start:]
    if max(entry["data_offsets"][1] for entry in header.values()) != len(data):
        raise ValueError(f"{path.name} is cut short")
    return {
        name: data[slice(*entry["data_offsets"])].view(_DTYPES[str(entry["dtype"])]).reshape(entry["shape"])
        for name, entry in header.items()
    }
