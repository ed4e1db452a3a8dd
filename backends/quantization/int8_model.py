"""A model with int8 linear layers in a neutral format that every engine can read, in memory and on disk.

Activations are uint8 with one scale and zero point per tensor, weights int8 with one scale per output channel:

    q = clip(round(x / (input_smooth * input_scale)) + input_zero_point, 0, 255)               round half to even
    y = (q - input_zero_point) * input_scale @ (weight * weight_scale[:, None]).T + bias

An engine is a directory with engine.json and engine.safetensors. Its tensors are views of the mapped file, so that
instances share one copy in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.bert.architectures import Geometry
from backends.bert.encoder import EncoderConfig
from backends.bert.model import Model
from backends.quantization import engine_store
from backends.quantization.attention_ranges import QkvRanges
from backends.quantization.engine_tensors import Arrays, EngineFormat
from foundation.arrays import Float32


@dataclass(frozen=True, kw_only=True)
class QuantizedLinear:
    """One linear layer of K inputs and N outputs."""

    weight: npt.NDArray[np.int8]  # [N, K], -127 to 127; -128 too where a model brings its own steps
    weight_scale: Float32  # [N]
    bias: Float32  # [N]
    input_scale: float
    input_zero_point: int  # 0 to 255
    input_smooth: Float32  # [K], the input is divided by this first

    def quantize(self, x: Float32) -> npt.NDArray[np.uint8]:
        """float32 [T, K] → uint8 [T, K]."""
        steps = np.rint(x / (self.input_smooth * np.float32(self.input_scale))) + np.float32(self.input_zero_point)
        return np.clip(steps, 0, 255).astype(np.uint8)

    def tensors(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """Its arrays as the file holds them, by name."""
        scalars = {"input_scale": np.float32, "input_zero_point": np.uint8}
        return {
            f"{prefix}.{field.name}": np.asarray(getattr(self, field.name), scalars.get(field.name))
            for field in fields(self)
        }


@dataclass(frozen=True)
class QuantizedModel:
    """The linear layers under `layers.{i}.{name}.*`; everything else float32 under its Hugging Face name."""

    config: Geometry
    tensors: Arrays
    settings: Mapping[str, Any]  # how it was built, and from what

    def linear(self, layer: int, name: str) -> QuantizedLinear:
        """The linear layer `name`, one of `EncoderConfig.linears`, of encoder layer `layer`."""
        at = f"layers.{layer}.{name}."
        found: dict[str, Any] = {field.name: self.tensors[at + field.name] for field in fields(QuantizedLinear)}
        found |= {"input_scale": float(found["input_scale"]), "input_zero_point": int(found["input_zero_point"])}
        return QuantizedLinear(**found)

    def attention(self, layer: int) -> QkvRanges | None:
        """How int8 queries, keys and values of encoder layer `layer` are stored; None if it was not calibrated."""
        at = f"layers.{layer}.attention."
        if f"{at}scale" not in self.tensors:
            return None
        return QkvRanges(*(self.tensors[at + part] for part in QkvRanges._fields))


def round_weight(
    weight: Float32, scale: Float32 | None = None, least: int = -127
) -> tuple[npt.NDArray[np.int8], Float32]:
    """int8 [N, K], `least` to 127, and its scales float32 [N]; without `scale`, each row's largest magnitude is 127."""
    if scale is None:
        scale = np.maximum(np.abs(weight).max(1) / 127, 1e-12).astype(np.float32)
    return np.clip(np.rint(weight / scale[:, None]), least, 127).astype(np.int8), scale


def engine_shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of an engine, by name."""
    linears, layers = config.linears(), range(config.num_hidden_layers)
    sources = [source for linear in linears.values() for source in linear.sources]
    inside = {
        config.layer_name(layer) + f"{at}.{part}" for layer in layers for at in sources for part in ("weight", "bias")
    }
    found = {name: shape for name, shape in config.shapes().items() if name not in inside}
    for layer in layers:
        for name, linear in linears.items():
            at, rows, columns = f"layers.{layer}.{name}", linear.outputs, linear.inputs
            found |= {f"{at}.weight": (rows, columns), f"{at}.weight_scale": (rows,), f"{at}.bias": (rows,)}
            found |= {f"{at}.input_scale": (), f"{at}.input_zero_point": (), f"{at}.input_smooth": (columns,)}
    return found


def attention_shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that int8 attention needs, by name; models with ranges of their own have none."""
    places = [(layer, part) for layer in range(config.num_hidden_layers) for part in QkvRanges._fields]
    return {f"layers.{layer}.attention.{part}": (3 * config.hidden_size,) for layer, part in places}


FORMAT = EngineFormat("engine.safetensors", engine_shapes, attention_shapes)


def write_engine(directory: Path, model: QuantizedModel) -> Path:
    """Write the engine. Raises BackendError as `EngineFormat.write`."""
    FORMAT.write(directory, model.config, model.tensors, {"settings": dict(model.settings)})
    return directory


def read_engine(directory: Path) -> QuantizedModel:
    """The engine in `directory`. Raises BackendError as `EngineFormat.read`."""
    config, tensors, about = FORMAT.read(directory)
    return QuantizedModel(config, tensors, about["settings"])


def read_model_engine(model: Model) -> tuple[QuantizedModel, Path]:
    """The engine that was built for `model`, and its directory.

    Raises:
        BackendError: none was built, or it is not complete.
    """
    directory = engine_store.built_for(model)
    return read_engine(directory), directory
