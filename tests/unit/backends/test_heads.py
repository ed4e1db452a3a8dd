"""A classification head on every backend, in every format and precision, against the readable BERT and by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import published
import pytest
from small_bert import SMALL, random_batch, random_tensors, round_to_nearest, write_model, write_onnx

from backends import BACKENDS, backend_class
from backends.base import Backend, Batch, Options
from backends.bert import numpy_reference
from backends.bert.checkpoints import find_model, read_tensors, with_config, with_signature
from backends.bert.heads import CLASSES, HEADS, SPANS
from backends.bert.model import Model
from backends.errors import BackendError
from backends.formats.base import Tensors
from backends.quantization.int8_model import write_engine

CONFIG = replace(SMALL, head=CLASSES)
LENGTHS = [1, 40, 7, 128, 64]
ENGINES = ("onnxruntime", "pytorch", "openvino")


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return random_tensors(CONFIG, 3)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> Model:
    return find_model(str(write_model(tmp_path_factory.mktemp("models") / "classifier", CONFIG, tensors)))


def loaded(name: str, model: Model, precision: str = "fp32") -> Backend:
    pytest.importorskip(BACKENDS[name].needs)
    backend = backend_class(name)(Options(precision, threads=2))
    backend.load(model)
    return backend


def reference(tensors: Tensors, batch: Batch) -> np.ndarray:
    """transformers' class, sample by sample, so without padding."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    geometry = transformers.BertConfig(**{name: getattr(CONFIG, name) for name in sizes}, num_labels=2)
    model = transformers.BertForSequenceClassification(geometry).eval()
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, strict=True)
    ends = [slice(*pair) for pair in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False)]
    with torch.no_grad():
        return np.concatenate(
            [
                model(
                    input_ids=torch.from_numpy(batch.input_ids[one])[None],
                    token_type_ids=torch.from_numpy(batch.token_type_ids[one])[None],
                ).logits.numpy()
                for one in ends
            ]
        )


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_agrees_with_transformers_one_row_per_sample(
    classifier: Model, tensors: Tensors, name: str
) -> None:
    batch = random_batch(LENGTHS, seed=4)
    expected = reference(tensors, batch)
    found = loaded(name, classifier).infer(batch)
    assert found.shape == (len(LENGTHS), 2) and found.dtype == np.float32 and found.flags.c_contiguous
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_readable_bert_and_the_numpy_twin_agree_with_transformers(tensors: Tensors) -> None:
    torch = pytest.importorskip("torch")
    from backends.bert.torch_module import BertForSequenceClassification

    batch = random_batch(LENGTHS, seed=5)
    model = BertForSequenceClassification(CONFIG).eval()
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, strict=True)
    padded = batch.padded()
    arrays = (padded.input_ids, padded.token_type_ids, padded.attention_mask.astype(bool))
    with torch.no_grad():
        found = model(*map(torch.from_numpy, arrays)).numpy()
    expected = reference(tensors, batch)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(numpy_reference.infer_float(CONFIG, tensors, batch), expected, atol=1e-3)


def test_bf16_is_near(classifier: Model, tensors: Tensors) -> None:
    batch = random_batch(LENGTHS, seed=6)
    expected = reference(tensors, batch)
    assert np.abs(loaded("pytorch", classifier, "bf16").infer(batch) - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["onnxruntime", "pytorch"])
def test_int8_agrees_with_the_numpy_twin(classifier: Model, tensors: Tensors, tmp_path: Path, name: str) -> None:
    engine = round_to_nearest(CONFIG, tensors)
    built = replace(classifier, engine=write_engine(tmp_path / "engine", engine))
    batch = random_batch(LENGTHS, seed=7)
    expected = numpy_reference.infer(engine, batch)
    found = loaded(name, built, "int8").infer(batch)
    assert found.shape == expected.shape == (len(LENGTHS), 2)
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert np.abs(expected - reference(tensors, batch)).mean() < 0.3 * np.abs(expected).mean()


def test_int8_dynamic_is_near(classifier: Model, tensors: Tensors) -> None:
    batch = random_batch(LENGTHS, seed=8)
    expected = reference(tensors, batch)
    found = loaded("onnxruntime", classifier, "int8-dynamic").infer(batch)
    assert np.abs(found - expected).mean() < 0.1 * np.abs(expected).mean()


def test_the_fake_returns_the_sums_by_hand() -> None:
    fake = loaded("fake", Model("fake", None, None, answers=CLASSES))
    batch = Batch.of([(np.array([5, 7]), np.zeros(2, np.int32)), (np.array([100]), np.zeros(1, np.int32))])
    assert fake.infer(batch).tolist() == [[10.0, 14.0], [99.0, 101.0]]


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_graph_with_logits_runs_as_it_is(classifier: Model, tmp_path: Path, name: str) -> None:
    graph = with_signature(find_model(str(published.mlperf_onnx(tmp_path, CONFIG, read_tensors(classifier)))))
    assert graph.head == CLASSES
    batch = random_batch(LENGTHS, seed=9)
    expected = loaded("onnxruntime", classifier).infer(batch)
    np.testing.assert_allclose(loaded(name, graph).infer(batch), expected, atol=1e-4)


def test_weights_are_read_from_a_graph(tensors: Tensors, tmp_path: Path) -> None:
    graph = with_config(find_model(str(published.mlperf_onnx(tmp_path, CONFIG, tensors))))
    assert graph.config is not None
    assert replace(graph.config, layer_norm_eps=CONFIG.layer_norm_eps) == CONFIG  # a graph stores it in float32
    for name, tensor in read_tensors(graph).items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_a_graph_with_three_classes_is_refused(classifier: Model, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "model.onnx", classifier, {})
    proto = onnx.load(path)
    for one in proto.graph.initializer:
        if one.name in ("classifier.weight", "classifier.bias"):
            array = onnx.numpy_helper.to_array(one)
            one.CopyFrom(onnx.numpy_helper.from_array(np.concatenate([array, array], -1), one.name))
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
    onnx.save(proto, path)
    with pytest.raises(BackendError, match=r"two classes, \[5, 2\], found \[5, 4\]"):
        loaded("onnxruntime", find_model(str(path))).infer(random_batch(LENGTHS))


def test_a_checkpoint_with_another_head_than_its_config(tensors: Tensors, tmp_path: Path) -> None:
    """The tensors decide: config.json is often copied from the model before fine-tuning."""
    folder = write_model(tmp_path, SMALL, tensors)
    assert with_config(replace(find_model(str(folder)), config=None)).head == CLASSES


def test_three_labels_are_refused_by_name(tensors: Tensors, tmp_path: Path) -> None:
    wide = tensors | {"classifier.weight": np.zeros((3, 64), np.float32), "classifier.bias": np.zeros(3, np.float32)}
    with pytest.raises(BackendError, match=r"classifier\.(weight|bias) of shape \(2,"):
        read_tensors(find_model(str(write_model(tmp_path, CONFIG, wide))))


def test_a_head_that_lacks_its_pooler_is_named(tensors: Tensors, tmp_path: Path) -> None:
    rest = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    with pytest.raises(BackendError, match=r"classification of sentences.*bert\.pooler\.dense\.bias"):
        read_tensors(find_model(str(write_model(tmp_path, CONFIG, rest))))


@pytest.mark.parametrize("head", sorted(HEADS))
def test_random_weights_have_the_requested_head(head: str) -> None:
    model = find_model("random:bert-tiny", head)
    rows = {SPANS: 30, CLASSES: 2}[head]
    assert model.head == head
    assert loaded("onnxruntime", model).infer(random_batch([10, 20])).shape == (rows, 2)
