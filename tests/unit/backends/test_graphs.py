"""Graphs of every make run as they are and give their weights: names, order of outputs, types, sizes, files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import published
import pytest
from onnx import TensorProto, helper, numpy_helper
from plain_onnx import write_plain_onnx
from small_bert import SMALL as THREE_LAYERS
from small_bert import random_batch, random_tensors, write_model, write_onnx

from backends import backend_class
from backends.base import Batch, Options
from backends.bert.checkpoints import digest, find_model, read_weights, weight_files, with_signature
from backends.bert.heads import CLASSES
from backends.bert.model import Model
from backends.bert.signature import Tables
from backends.errors import BackendError
from backends.formats.base import Tensors

SMALL = replace(THREE_LAYERS, num_hidden_layers=1)
BATCH = random_batch([1, 9, 40, 64, 12])
ZOO = ("input_ids:0", "input_mask:0", "segment_ids:0")  # of the model zoo's bertsquad-10 and -12


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return random_tensors(SMALL, 1)


@pytest.fixture(scope="module")
def model(tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return find_model(str(write_model(tmp_path_factory.mktemp("models") / "small", SMALL, tensors)))


@pytest.fixture(scope="module")
def expected(model: Model) -> np.ndarray:
    return infer("onnxruntime", model)


def infer(engine: str, model: Model, precision: str = "fp32", batch: Batch = BATCH) -> np.ndarray:
    backend = backend_class(engine)(Options(precision))
    backend.load(model)
    return backend.infer(batch)


def exported(path: Path, tensors: Tensors, change: Callable[[Any], None], names: Any = published.MLPERF) -> Path:
    """A graph as torch.onnx wrote it in 2020, with a change."""
    proto = published.Exporter(SMALL, tensors).model(names)
    change(proto.graph)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, path)
    return path


def rename_outputs(graph: Any, names: Sequence[str]) -> None:
    """`names`: of the start and of the end; the graph lists the end first."""
    new = dict(zip(("output_start_logits", "output_end_logits"), names, strict=True))
    for node in graph.node:
        node.output[:] = [new.get(name, name) for name in node.output]
    listed = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "s"]) for name in (names[1], names[0])]
    del graph.output[:]
    graph.output.extend(listed)


def like_the_zoo(graph: Any) -> None:
    """unstack:1, unstack:0, unique_ids:0; and a fourth input, which only the third output depends on."""
    rename_outputs(graph, ("unstack:0", "unstack:1"))
    ids = "unique_ids_raw_output___9:0"
    graph.input.insert(0, helper.make_tensor_value_info(ids, TensorProto.INT64, ["unk__1"]))
    graph.output.append(helper.make_tensor_value_info("unique_ids:0", TensorProto.INT64, ["unk__2"]))
    graph.node.append(helper.make_node("Identity", [ids], ["unique_ids:0"]))


class TensorFlow(published.Exporter):
    """The same model as TensorFlow's exporter writes it: LayerNorm as a batch normalization, token types one-hot."""

    def norm(self, at: str, x: str) -> str:
        mean = self.node("ReduceMean", x, axes=[-1])
        squares = self.node(
            "ReduceMean", self.node("Pow", self.node("Sub", x, mean), self.const(np.float32(2))), axes=[-1]
        )
        root = self.node("Sqrt", self.node("Add", squares, self.const(np.float32(self.config.layer_norm_eps))))
        weight, bias = (self.const(self.tensors[f"{at}.LayerNorm.{part}"]) for part in ("weight", "bias"))
        factor = self.node("Mul", self.node("Reciprocal", root), weight)
        shift = self.node("Sub", bias, self.node("Mul", mean, factor))
        return self.node("Add", self.node("Mul", x, factor), shift)


def of_tensorflow(path: Path, tensors: Tensors) -> Path:
    proto = TensorFlow(SMALL, tensors).model(ZOO)
    one_hot_types(proto.graph)
    like_the_zoo(proto.graph)
    onnx.save(proto, path)
    return path


@pytest.mark.parametrize("engine", ["onnxruntime", "pytorch"])
def test_tensorflows_own_pieces_are_read(tmp_path: Path, tensors: Tensors, expected: np.ndarray, engine: str) -> None:
    model = find_model(str(of_tensorflow(tmp_path / "model.onnx", tensors)))
    np.testing.assert_allclose(infer(engine, model), expected, atol=1e-3)
    found = read_weights(model)
    assert found.config.layer_norm_eps == pytest.approx(SMALL.layer_norm_eps)
    for name, tensor in found.tensors.items():
        np.testing.assert_array_equal(tensor, tensors[name])


def with_int32(graph: Any) -> None:
    for value in graph.input:
        value.type.tensor_type.elem_type = TensorProto.INT32


def with_positions(graph: Any) -> None:
    index = next(node for node in graph.node if node.op_type == "Range").output[0]
    node = next(node for node in graph.node if index in node.input)
    node.input[1] = "position_ids"
    graph.input.append(helper.make_tensor_value_info("position_ids", TensorProto.INT64, ["batch", "sequence"]))


def with_sizes(batch: int | None, length: int | None) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        for value in (*graph.input, *graph.output):
            for axis, size in zip(value.type.tensor_type.shape.dim, (batch, length), strict=True):
                if size:
                    axis.dim_value = size

    return change


GRAPHS: dict[str, tuple[Callable[[Any], None], Any]] = {
    "the model zoo's": (like_the_zoo, ZOO),
    "end first, TensorFlow's names": (lambda graph: rename_outputs(graph, ("unstack:0", "unstack:1")), ZOO),
    "end first, no names": (lambda graph: rename_outputs(graph, ("1371", "1372")), published.EXPORTERS),
    "end first, known names": (lambda graph: rename_outputs(graph, ("start_logits", "end_logits")), published.MLPERF),
    "positions are an input": (with_positions, published.EXPORTERS),
    "int32": (with_int32, published.MLPERF),
    "one sample of 64 tokens": (with_sizes(1, 64), published.MLPERF),
    "two samples of free length": (with_sizes(2, None), published.MLPERF),
    "any samples of 100 tokens": (with_sizes(None, 100), published.MLPERF),
}


# OpenVINO compiles for a third of a second: one graph of each kind.
SLOWLY = ("the model zoo's", "int32", "one sample of 64 tokens")
ENGINES = [(case, engine) for case in GRAPHS for engine in ("onnxruntime", "pytorch")]
ENGINES += [(case, "openvino") for case in SLOWLY]


@pytest.mark.parametrize(("case", "engine"), ENGINES)
def test_every_graph_answers_as_the_model_it_was_exported_from(
    tmp_path: Path, tensors: Tensors, expected: np.ndarray, case: str, engine: str
) -> None:
    change, names = GRAPHS[case]
    path = exported(tmp_path / "model.onnx", tensors, change, names)
    np.testing.assert_allclose(infer(engine, find_model(str(path))), expected, atol=1e-3)


def test_weights_are_read_under_any_names(tmp_path: Path, tensors: Tensors, expected: np.ndarray) -> None:
    """Such a graph cannot be fed, but its structure says which weight is which."""
    path = exported(tmp_path / "model.onnx", tensors, lambda _: None, ("input.1", "mask", "input.3"))
    np.testing.assert_allclose(infer("pytorch", find_model(str(path))), expected, atol=1e-3)
    with pytest.raises(BackendError, match=r"found input\.1, mask, input\.3"):
        infer("onnxruntime", find_model(str(path)))


def test_names_that_say_start_and_end_count_more_than_the_half(tmp_path: Path, tensors: Tensors) -> None:
    path = exported(tmp_path / "m.onnx", tensors, lambda graph: rename_outputs(graph, ("my_end", "my_start")))
    assert with_signature(find_model(str(path))).graph.outputs == ("my_start", "my_end")  # type: ignore[union-attr]


def test_padding_of_a_fixed_size_is_counted(tmp_path: Path, tensors: Tensors) -> None:
    path = exported(tmp_path / "model.onnx", tensors, with_sizes(2, 100))
    backend = backend_class("onnxruntime")(Options())
    backend.load(with_signature(find_model(str(path))))
    assert backend.computed_tokens(BATCH) == 6 * 100
    with pytest.raises(BackendError, match="up to 100 tokens, the fixed length of the graph, found 101"):
        backend.infer(random_batch([101]))


FORMS: dict[str, Callable[[Path, Model, Tensors], Path]] = {
    "torch, 2020": lambda path, _, tensors: exported(path, tensors, lambda _: None),
    "torch, slices": lambda path, model, _: write_plain_onnx(path, model),
    "torch, int8": lambda path, model, _: write_plain_onnx(path, model, quantized=True),
    "fused by ONNX Runtime": lambda path, model, _: write_onnx(path, model, {}),
    "TensorFlow, one-hot types": lambda path, _, tensors: exported(path, tensors, one_hot_types),
}


def one_hot_types(graph: Any) -> None:
    """OneHot and a product in place of the Gather of token types."""
    node = next(node for node in graph.node if list(node.input[1:]) in (["segment_ids"], ["segment_ids:0"]))
    (table, types), out = node.input, node.output[0]
    place = list(graph.node).index(node)
    graph.initializer.append(numpy_helper.from_array(np.array([2]), "depth"))
    graph.initializer.append(numpy_helper.from_array(np.array([0, 1], np.float32), "off_on"))
    graph.node[place].CopyFrom(helper.make_node("OneHot", [types, "depth", "off_on"], ["hot"]))
    graph.node.insert(place + 1, helper.make_node("MatMul", ["hot", table], [out]))


@pytest.mark.parametrize("form", FORMS)
def test_the_tables_of_a_graph_are_found(tmp_path: Path, model: Model, tensors: Tensors, form: str) -> None:
    graph = with_signature(find_model(str(FORMS[form](tmp_path / "model.onnx", model, tensors))))
    assert graph.tables == Tables(SMALL.vocab_size, SMALL.type_vocab_size, SMALL.max_position_embeddings)
    assert graph.most_tokens == SMALL.max_position_embeddings


@pytest.mark.parametrize("form", FORMS)
def test_the_geometry_of_a_graph_is_its_structures_and_needs_no_weights(
    tmp_path: Path, model: Model, tensors: Tensors, form: str
) -> None:
    path = FORMS[form](tmp_path / "made.onnx", model, tensors)
    proto = onnx.load(path)
    onnx.save_model(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=17_000)
    (tmp_path / "m.bin").unlink()
    found = with_signature(find_model(str(tmp_path / "m.onnx")))
    assert found.config is None  # it runs as it is
    known = None if form == "fused by ONNX Runtime" else SMALL  # which hides the heads
    assert found.geometry == (known and replace(known, layer_norm_eps=found.geometry.layer_norm_eps))  # type: ignore[union-attr]


# --- where the weights lie ------------------------------------------------------------------------------------------


def outside(path: Path, tensors: Tensors, location: str) -> Path:
    """A graph with its weights in another file below its directory."""
    proto = published.Exporter(SMALL, tensors).model()
    (path.parent / location).parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(proto, path, save_as_external_data=True, location=location)  # what has 1 kB or more
    return path


def linked(path: Path, tensors: Tensors) -> Path:
    """As Hugging Face's cache has them: links from a snapshot to blobs."""
    made = outside(path.parent / "made.onnx", tensors, "model.onnx_data")
    blobs, snapshot = path.parent / "blobs", path.parent / "snapshots" / "0123"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for file, name in ((made, "model.onnx"), (made.with_name("model.onnx_data"), "model.onnx_data")):
        file.rename(blobs / name[::-1])
        (snapshot / name).symlink_to(blobs / name[::-1])
    return snapshot / "model.onnx"


def hard_linked(path: Path, tensors: Tensors) -> Path:
    made = outside(path, tensors, "model.bin")
    copy = path.parent / "copy"
    copy.mkdir()
    for file in (made, made.with_name("model.bin")):
        os.link(file, copy / file.name)
    return copy / path.name


PLACES: dict[str, Callable[[Path, Tensors], Path]] = {
    "next to it": lambda path, tensors: outside(path, tensors, "model.bin"),
    "in a sub-folder": lambda path, tensors: outside(path, tensors, "weights/deep/model.bin"),
    "behind links": linked,
    "hard links": hard_linked,
}


PAIRS = [(place, engine) for place in PLACES for engine in ("onnxruntime", "pytorch")]


@pytest.mark.parametrize(("place", "engine"), [*PAIRS, ("behind links", "openvino"), ("in a sub-folder", "openvino")])
def test_weights_are_read_wherever_they_lie(
    tmp_path: Path, tensors: Tensors, expected: np.ndarray, place: str, engine: str
) -> None:
    model = find_model(str(PLACES[place](tmp_path / "model.onnx", tensors)))
    np.testing.assert_allclose(infer(engine, model), expected, atol=1e-3)
    assert len(weight_files(model)) == 2 and digest(model)


@pytest.mark.parametrize("location", ["../model.bin", "/etc/hostname", "", "gone.bin", "a\0b"])
def test_weights_outside_the_directory_are_refused(tmp_path: Path, tensors: Tensors, location: str) -> None:
    path = outside(tmp_path / "model" / "model.onnx", tensors, "model.bin")
    proto = onnx.load(path, load_external_data=False)
    tensor = next(one for one in proto.graph.initializer if one.external_data)
    for entry in tensor.external_data:
        entry.value = location if entry.key == "location" else entry.value
    onnx.save(proto, path)
    with pytest.raises(BackendError, match=r"below its directory|found no file"):
        read_weights(find_model(str(path)))
    assert weight_files(find_model(str(path))) == (path, path.with_name("model.bin"))


@pytest.mark.parametrize("folder", ["", "onnx"])
def test_a_directory_with_a_graph_in_optimums_layout_is_a_model(tmp_path: Path, tensors: Tensors, folder: str) -> None:
    published.write_config(tmp_path, SMALL)
    path = exported(tmp_path / folder / "model.onnx", tensors, lambda _: None)
    assert find_model(str(tmp_path)).path == path


# --- hostile and broken graphs --------------------------------------------------------------------------------------


def cycle(op: str) -> Callable[[Any], None]:
    """The first residual sum reads itself through `op`."""

    def change(graph: Any) -> None:
        node = next(node for node in graph.node if node.op_type == "MatMul")
        back = helper.make_node(op, [node.output[0]], ["back"])
        back.input.extend([graph.initializer[0].name] if op == "Reshape" else [])
        back.attribute.extend([helper.make_attribute("to", 1)] if op == "Cast" else [])
        graph.node.append(back)
        node.input[0] = "back"

    return change


def before_a_weight(*nodes: Any) -> Callable[[Any], None]:
    """These nodes compute the last linear layer's weight: "first" is its old value, "last" the new one."""

    def change(graph: Any) -> None:
        node = [node for node in graph.node if node.op_type == "MatMul"][-1]
        first = next(one for one in graph.initializer if one.name == node.input[1])
        first.name, node.input[1] = "first", "last"
        for one in reversed(nodes):
            graph.node.insert(0, one)

    return change


def chain(length: int, op: str, doubled: bool, **attributes: Any) -> list[Any]:
    names = ["first", *(f"x{number}" for number in range(length - 1)), "last"]
    return [
        helper.make_node(op, [one] * (2 if doubled else 1), [other], **attributes) for one, other in pairwise(names)
    ]


def no_outputs(graph: Any) -> None:
    del graph.output[:]


HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "a cycle through Reshape": (cycle("Reshape"), "without cycles"),
    "a cycle through Identity": (cycle("Identity"), "without cycles"),
    "a cycle through Cast": (cycle("Cast"), "without cycles"),
    "a bomb of Concat": (before_a_weight(*chain(40, "Concat", True, axis=0)), "a Concat of constants"),
    "a bomb of Mul": (
        before_a_weight(
            helper.make_node("Unsqueeze", ["first"], ["wide"], axes=[2, 3]),
            helper.make_node("Transpose", ["wide"], ["turned"], perm=[2, 3, 0, 1]),
            helper.make_node("Mul", ["wide", "turned"], ["huge"]),
            helper.make_node("Unsqueeze", ["huge"], ["wider"], axes=[4, 5, 6, 7]),
            helper.make_node("Transpose", ["wider"], ["more"], perm=[4, 5, 6, 7, 0, 1, 2, 3]),
            helper.make_node("Mul", ["wider", "more"], ["last"]),
        ),
        "a Mul of constants",
    ),
    "shapes that do not fit": (
        before_a_weight(helper.make_node("Transpose", ["first"], ["last"], perm=[5, 6])),
        "expected",
    ),
    "no outputs": (no_outputs, "without nodes or outputs"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_graph_is_one_error(tmp_path: Path, tensors: Tensors, case: str) -> None:
    change, words = HOSTILE[case]
    path = exported(tmp_path / "model.onnx", tensors, change)
    with pytest.raises(BackendError, match=words):
        read_weights(find_model(str(path)))


def test_a_chain_deeper_than_python_is_folded(tmp_path: Path, tensors: Tensors) -> None:
    path = exported(tmp_path / "model.onnx", tensors, before_a_weight(*chain(3000, "Identity", False)))
    found = read_weights(find_model(str(path))).tensors["qa_outputs.weight"]
    np.testing.assert_array_equal(found, tensors["qa_outputs.weight"])


def not_squeezed(graph: Any) -> None:
    """Outputs [B, S, 1]."""
    for node in [node for node in graph.node if node.op_type == "Squeeze" and "logits" in node.output[0]]:
        node.op_type = "Identity"
        del node.attribute[:]
    for value in graph.output:
        value.type.tensor_type.shape.dim.add().dim_value = 1


def test_outputs_with_a_last_axis_of_one_are_read(tmp_path: Path, tensors: Tensors, expected: np.ndarray) -> None:
    path = exported(tmp_path / "model.onnx", tensors, not_squeezed)
    np.testing.assert_allclose(infer("onnxruntime", find_model(str(path))), expected, atol=1e-3)


def test_start_and_end_in_one_output_are_refused_by_name(tmp_path: Path, tensors: Tensors) -> None:
    def change(graph: Any) -> None:
        both = next(node for node in graph.node if node.op_type == "Split").input[0]
        graph.node.append(helper.make_node("Identity", [both], ["logits"]))
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "s", 2]))

    with pytest.raises(BackendError, match=r"found 3 axes\. Export start and end logits as two outputs"):
        with_signature(find_model(str(exported(tmp_path / "model.onnx", tensors, change))))


# --- classes --------------------------------------------------------------------------------------------------------

NAMES: dict[str, tuple[dict[str, Any], bool]] = {
    "none": ({}, False),
    "transformers' own": ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, False),
    "GLUE's": ({"id2label": {"0": "negative", "1": "positive"}}, False),
    "turned": ({"id2label": {"0": "POSITIVE", "1": "NEGATIVE"}}, True),
    "turned, short": ({"id2label": {"1": "neg", "0": "pos"}}, True),
    "turned, the reverse only": ({"label2id": {"Negative": 1, "Positive": 0}}, True),
    "others": ({"id2label": {"0": "toxic", "1": "fine"}}, False),
}


@pytest.mark.parametrize("case", NAMES)
def test_the_negative_class_comes_first_whatever_the_models_order(tmp_path: Path, case: str) -> None:
    config = replace(SMALL, head=CLASSES)
    names, turned = NAMES[case]
    tensors = random_tensors(config, 2)
    weights = write_model(tmp_path / "weights", config, tensors)
    plain = infer("onnxruntime", find_model(str(weights)))
    graph = published.mlperf_onnx(tmp_path / "graph", config, tensors).parent
    for folder in (weights, graph):
        content = published.write_config(folder, config) / "config.json"
        kind = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
        content.write_text(content.read_text()[:-1] + "," + json.dumps(kind | names)[1:])
    for engine, folder in (("onnxruntime", weights), ("pytorch", graph), ("onnxruntime", graph)):
        found = infer(engine, find_model(str(folder)))
        np.testing.assert_allclose(found, plain[:, ::-1] if turned else plain, atol=1e-3)
