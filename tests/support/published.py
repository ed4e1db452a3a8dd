"""One model in every format that publishers use: their file names, tensor names and graph shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from safetensors.numpy import save_file

from backends.base import Batch
from backends.bert.architectures import Geometry
from backends.bert.encoder import EncoderConfig
from backends.bert.heads import CLASSES
from backends.formats.base import QatRange, Tensors
from backends.quantization import calibration

LINEARS = (
    *(f"attention.self.{name}" for name in ("query", "key", "value")),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
)
Ranges = Mapping[str, QatRange]


def write_config(folder: Path, config: EncoderConfig, name: str = "config.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"model_type": config.model_type, **asdict(config)}), encoding="utf-8")
    return folder


def safetensors(folder: Path, config: EncoderConfig, tensors: Tensors) -> Path:
    save_file(tensors, write_config(folder, config) / "model.safetensors")
    return folder


def pytorch_bin(folder: Path, config: EncoderConfig, tensors: Tensors) -> Path:
    return _torch(write_config(folder, config) / "pytorch_model.bin", tensors).parent


def sharded_safetensors(folder: Path, config: EncoderConfig, tensors: Tensors) -> Path:
    return _sharded(write_config(folder, config), "model", "safetensors", tensors, lambda at, part: save_file(part, at))


def sharded_bin(folder: Path, config: EncoderConfig, tensors: Tensors) -> Path:
    return _sharded(write_config(folder, config), "pytorch_model", "bin", tensors, _torch)


def mlperf_pytorch(folder: Path, config: EncoderConfig, tensors: Tensors) -> Path:
    """Zenodo 3733896: the state dict of transformers 2.4's model, its pooler included."""
    width = config.hidden_size
    pooler = {"bert.pooler.dense.weight": np.ones((width, width), "f4"), "bert.pooler.dense.bias": np.ones(width, "f4")}
    return _torch(write_config(folder, config, "bert_config.json") / "model.pytorch", {**tensors, **pooler})


def mlperf_int8(folder: Path, config: EncoderConfig, tensors: Tensors, ranges: Ranges) -> Path:
    """Zenodo 4792496: with the maxima that pytorch-quantization stores next to the weights."""
    found: dict[str, Any] = dict(tensors)
    for name, one in ranges.items():
        found[f"{name}._input_quantizer._amax"] = np.float32(one.input_scale * 127)
        found[f"{name}._weight_quantizer._amax"] = np.float32(one.weight_scale[0] * 127)
    found["bert.encoder.layer.0.attention.self.matmul_q_input_quantizer._amax"] = np.float32(3)
    return _torch(write_config(folder, config) / "pytorch_model.bin", found).parent


def _torch(path: Path, tensors: Mapping[str, Any]) -> Path:
    torch.save({name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}, path)
    return path


def _sharded(folder: Path, stem: str, suffix: str, tensors: Tensors, write: Callable[[Path, Tensors], Any]) -> Path:
    names = list(tensors)
    shards = {f"{stem}-0000{i + 1}-of-00003.{suffix}": names[i::3] for i in range(3)}
    for file, held in shards.items():
        write(folder / file, {name: tensors[name] for name in held})
    where = {name: file for file, held in shards.items() for name in held}
    index = {"metadata": {"total_size": 0}, "weight_map": where}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


MLPERF = ("input_ids", "input_mask", "segment_ids")
EXPORTERS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass
class Exporter:
    """A graph as torch.onnx wrote it in 2020: nothing fused, matrices transposed, numbers for names."""

    config: EncoderConfig
    tensors: Tensors
    ranges: Ranges = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def const(self, value: Any, name: str = "") -> str:
        self.weights.append(
            numpy_helper.from_array(np.asarray(value), name or str(len(self.weights) + len(self.nodes)))
        )
        return str(self.weights[-1].name)

    def node(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        out = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out

    def rounded(self, x: str, scale: Any, axis: int = 0) -> str:
        """QuantizeLinear and DequantizeLinear, signed and symmetric, as fake-quant models have them."""
        pair = (self.const(np.asarray(scale, "f4")), self.const(np.zeros(np.shape(scale), np.int8)))
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *pair, axis=axis), *pair, axis=axis)

    def linear(self, at: str, x: str) -> str:
        weight, known = self.tensors[f"{at}.weight"], self.ranges.get(at)
        if known is None:
            turned = self.const(np.ascontiguousarray(weight.T))
        else:
            x = self.rounded(x, known.input_scale)
            scale = known.weight_scale[0] if np.ptp(known.weight_scale) == 0 else known.weight_scale
            turned = self.node("Transpose", self.rounded(self.const(weight, f"{at}.weight"), scale), perm=[1, 0])
        return self.node("Add", self.node("MatMul", x, turned), self.const(self.tensors[f"{at}.bias"]))

    def norm(self, at: str, x: str) -> str:
        centred = self.node("Sub", x, self.node("ReduceMean", x, axes=[-1]))
        variance = self.node("ReduceMean", self.node("Pow", centred, self.const(np.float32(2))), axes=[-1])
        root = self.node("Sqrt", self.node("Add", variance, self.const(np.float32(self.config.layer_norm_eps))))
        weight, bias = (self.const(self.tensors[f"{at}.LayerNorm.{part}"]) for part in ("weight", "bias"))
        return self.node("Add", self.node("Mul", self.node("Div", centred, root), weight), bias)

    def gelu(self, x: str) -> str:
        erf = self.node("Erf", self.node("Div", x, self.const(np.float32(np.sqrt(2)))))
        whole = self.node("Mul", x, self.node("Add", erf, self.const(np.float32(1))))
        return self.node("Mul", whole, self.const(np.float32(0.5)))

    def mixed(self, at: str, sources: tuple[str, str, str], mask: str) -> str:
        """Attention of queries, keys and values that are computed from these."""
        heads, size = self.config.num_attention_heads, self.config.head_size
        split, joined = (self.const(np.array(shape)) for shape in ((0, 0, heads, size), (0, 0, heads * size)))
        names = zip(("query", "key", "value"), sources, strict=True)
        parts = [self.node("Reshape", self.linear(f"{at}.{name}", x), split) for name, x in names]
        query, key, value = (
            self.node("Transpose", part, perm=perm)
            for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = self.node("Div", self.product(f"{at}.scores", query, key), self.const(np.float32(np.sqrt(size))))
        weights = self.node("Softmax", self.node("Add", scores, mask), axis=3)
        mixed = self.node("Transpose", self.product(f"{at}.context", weights, value), perm=[0, 2, 1, 3])
        return self.node("Reshape", mixed, joined)

    def product(self, at: str, left: str, right: str) -> str:
        """One of the two in attention."""
        return self.node("MatMul", left, right)

    def rows(self, at: str, indices: str) -> str:
        """Of a table of embeddings."""
        return self.node("Gather", self.const(self.tensors[f"{at}.weight"]), indices)

    def embedded(self, ids: str, types: str) -> str:
        length = self.node("Gather", self.node("Shape", ids), self.const(np.array(1)))
        positions = self.node("Range", self.const(np.array(0)), length, self.const(np.array(1)))
        where = {"word": ids, "position": positions, "token_type": types}
        word, position, kind = (
            self.rows(f"bert.embeddings.{name}_embeddings", indices) for name, indices in where.items()
        )
        return self.norm("bert.embeddings", self.node("Add", self.node("Add", word, position), kind))

    def spans(self, x: str) -> tuple[str, ...]:
        self.nodes.append(helper.make_node("Split", [self.linear("qa_outputs", x)], ["start", "end"], axis=-1))
        outputs = ("output_start_logits", "output_end_logits")
        for half, name in zip(("start", "end"), outputs, strict=True):
            self.node("Squeeze", half, name=name, axes=[-1])
        return outputs

    def classes(self, x: str) -> tuple[str, ...]:
        """A linear layer over [B, H] is exported as one Gemm."""
        x = self.node("Gather", x, self.const(np.array(0)), axis=1)
        for at, name in (("bert.pooler.dense", ""), ("classifier", "logits")):
            weight, bias = (self.const(self.tensors[f"{at}.{part}"]) for part in ("weight", "bias"))
            x = self.node("Gemm", x, weight, bias, name=name, transB=1)
            x = x if name else self.node("Tanh", x)
        return ("logits",)

    def layer(self, at: str, x: str, mask: str) -> str:
        context = self.mixed(f"{at}attention.self", (x, x, x), mask)
        attended = self.linear(f"{at}attention.output.dense", context)
        x = self.norm(f"{at}attention.output", self.node("Add", attended, x))
        inner = self.gelu(self.linear(f"{at}intermediate.dense", x))
        return self.norm(f"{at}output", self.node("Add", self.linear(f"{at}output.dense", inner), x))

    def model(self, inputs: tuple[str, str, str] = MLPERF) -> Any:
        ids, mask, types = inputs
        wide = self.node("Unsqueeze", self.node("Unsqueeze", mask, axes=[1]), axes=[2])
        off = self.node("Sub", self.const(np.float32(1)), self.node("Cast", wide, to=onnx.TensorProto.FLOAT))
        off = self.node("Mul", off, self.const(np.float32(-10000)))
        x = self.embedded(ids, types)
        for layer in range(self.config.num_hidden_layers):
            x = self.layer(self.config.layer_name(layer), x, off)
        outputs = self.classes(x) if self.config.head == CLASSES else self.spans(x)
        shape = ["batch", "sequence"]
        graph = helper.make_graph(
            self.nodes,
            "torch-jit-export",
            [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, shape) for name in inputs],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", None]) for name in outputs],
            self.weights,
        )
        opset = [helper.make_opsetid("", 11)]
        return helper.make_model(graph, opset_imports=opset, ir_version=7)


def mlperf_onnx(folder: Path, config: EncoderConfig, tensors: Tensors) -> Path:
    """Zenodo 3733910: fp32, input_mask and segment_ids."""
    return _onnx(folder / "model.onnx", Exporter(config, tensors).model(MLPERF))


def fake_quant_onnx(folder: Path, config: EncoderConfig, tensors: Tensors, ranges: Ranges) -> Path:
    """Zenodo 3750364: attention_mask and token_type_ids, every linear layer quantized."""
    return _onnx(folder / "bert_fake_quant.onnx", _opset_11(Exporter(config, tensors, ranges)))


def _onnx(path: Path, proto: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, path)
    return path


def _opset_11(exporter: Exporter) -> Any:
    proto = exporter.model(EXPORTERS)
    proto.opset_import[0].version = 11
    for node in proto.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            del node.attribute[:]  # it had one scale per tensor only
    return proto


def naive_ranges(config: EncoderConfig, tensors: Tensors, inputs: Mapping[tuple[int, str], float]) -> Ranges:
    """Symmetric ranges, one scale per tensor; `inputs`: the maximum of the input of each linear layer."""
    of = dict(zip(LINEARS, ("qkv", "qkv", "qkv", "attention_output", "ffn_inner", "ffn_output"), strict=True))
    found = {}
    for layer in range(config.num_hidden_layers):
        for name in LINEARS:
            at = f"bert.encoder.layer.{layer}.{name}"
            weight = tensors[f"{at}.weight"]
            scale = np.full(len(weight), np.abs(weight).max() / 127, np.float32)
            found[at] = QatRange.symmetric(inputs[layer, of[name]], scale)
    return found


def greatest(config: Geometry, tensors: Tensors, samples: list[Batch]) -> dict[tuple[int, str], float]:
    """For the input of each linear layer, a bound that nearly all of its values on these samples stay below."""
    sites = calibration.observe(config, tensors, samples, calibration.CalibrationSettings(), 1)
    return {place: float(np.percentile(np.abs(site.rows), 99.99)) for place, site in sites.items()}


# Each form of a model in float, and with learned ranges, by a name → what writes it.
FLOAT = {
    "safetensors": safetensors,
    "pytorch_model.bin": pytorch_bin,
    "sharded safetensors": sharded_safetensors,
    "sharded pytorch_model.bin": sharded_bin,
    "MLPerf PyTorch": mlperf_pytorch,
    "MLPerf ONNX": mlperf_onnx,
}
ROUNDED = {"fake-quant ONNX": fake_quant_onnx, "int8 PyTorch": mlperf_int8}
