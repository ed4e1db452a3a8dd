"""Weights on disk: what is read, and the error for each broken file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file
from small_bert import SMALL, random_tensors, write_model

from backends.bert.checkpoints import find_model, read_tensors
from backends.errors import BackendError


@pytest.fixture
def directory(model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_dir, tmp_path / "model"))


def as_torch_file(directory: Path, tensors: dict[str, np.ndarray]) -> Path:
    (directory / "model.safetensors").unlink()
    path = directory / "pytorch_model.bin"
    torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, path)
    return path


def test_safetensors_and_pytorch_files_hold_the_same(directory: Path) -> None:
    tensors = read_tensors(find_model(str(directory)))
    as_torch_file(directory, tensors)
    again = read_tensors(find_model(str(directory)))
    assert list(again) == list(SMALL.shapes())
    for name, tensor in again.items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_half_precision_old_names_and_unused_parts_are_accepted(directory: Path) -> None:
    tensors = random_tensors(SMALL, 1)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in tensors.items()
    }
    extra = {"bert.pooler.dense.weight": np.zeros((64, 64)), "bert.embeddings.position_ids": np.zeros((1, 512))}
    save_file({name: t.astype(np.float16) for name, t in (old | extra).items()}, directory / "model.safetensors")
    for name, tensor in read_tensors(find_model(str(directory))).items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, tensors[name].astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_a_file_cut_short_is_named(directory: Path, form: str, share: float) -> None:
    path = directory / "model.safetensors"
    if form == "torch":
        path = as_torch_file(directory, random_tensors(SMALL, 1))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BackendError, match=path.name):
        read_tensors(find_model(str(directory)))


def test_a_torch_file_cannot_run_code(directory: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

    (directory / "model.safetensors").unlink()
    torch.save({"bert": Trap()}, directory / "pytorch_model.bin")
    with pytest.raises(BackendError):
        read_tensors(find_model(str(directory)))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["qa_outputs.bias", "bert.encoder.layer.2.output.dense.weight"])
def test_a_missing_tensor_is_named(directory: Path, name: str) -> None:
    tensors = random_tensors(SMALL, 1)
    del tensors[name]
    write_model(directory, SMALL, tensors)
    with pytest.raises(BackendError, match=name):
        read_tensors(find_model(str(directory)))


def test_a_tensor_of_another_shape_is_named(directory: Path) -> None:
    name = "bert.embeddings.word_embeddings.weight"
    write_model(directory, SMALL, random_tensors(SMALL, 1) | {name: np.zeros((7, 64), np.float32)})
    with pytest.raises(BackendError, match=rf"{name}.*\(300, 64\).*\(7, 64\)"):
        read_tensors(find_model(str(directory)))


def test_an_unknown_tensor_is_named(directory: Path) -> None:
    write_model(directory, SMALL, random_tensors(SMALL, 1) | {"classifier.weight": np.zeros((2, 64), np.float32)})
    with pytest.raises(BackendError, match=r"classifier\.weight"):
        read_tensors(find_model(str(directory)))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"model_type": "roberta"}, "roberta"),
        ({"hidden_act": "relu"}, "relu"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"is_decoder": True}, "is_decoder"),
        ({"hidden_size": None}, "hidden_size"),
    ],
)
def test_a_config_of_another_model_is_refused(directory: Path, change: dict[str, str | None], word: str) -> None:
    path = directory / "config.json"
    data = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}), encoding="utf-8")
    with pytest.raises(BackendError, match=word):
        find_model(str(directory))


WRONG_CONFIGS: dict[str, tuple[object, str]] = {
    "another model, sizes under other names": ({"model_type": "distilbert", "dim": 768}, "model_type 'distilbert'"),
    "text for a number": ({"layer_norm_eps": "1e-12"}, "'1e-12' instead of a number at layer_norm_eps"),
    "NaN": ({"layer_norm_eps": float("nan")}, "layer_norm_eps"),
    "negative": ({"layer_norm_eps": -1.0}, "layer_norm_eps -1.0"),
    "zero": ({"layer_norm_eps": 0.0}, "layer_norm_eps 0.0"),
    "no layers": ({"num_hidden_layers": 0}, "num_hidden_layers 0"),
    "layers beyond memory": ({"num_hidden_layers": 10**8}, "num_hidden_layers 100000000"),
    "a fraction": ({"hidden_size": 64.5}, "64.5 instead of a whole number"),
    "true": ({"vocab_size": True}, "True instead of a whole number"),
    "heads that do not divide": ({"num_attention_heads": 5}, "hidden_size 64 for 5 heads"),
}


@pytest.mark.parametrize("case", WRONG_CONFIGS)
def test_a_config_that_no_model_can_have_is_refused(directory: Path, case: str) -> None:
    change, words = WRONG_CONFIGS[case]
    path = directory / "config.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | change if "dim" not in str(change) else change), encoding="utf-8")
    with pytest.raises(BackendError, match=words):
        find_model(str(directory))


INSTEAD: dict[str, tuple[bytes, str]] = {
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "type: git lfs pull"),
    "a web page": (b"\n<!DOCTYPE html><html>Sign in</html>", "a web page"),
    "JSON": (b'{"error": "not found"}', "found JSON"),
    "an archive": (b"\x1f\x8b\x08" + bytes(40), "a gzip archive"),
    "nothing": (b"", "an empty file"),
}


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.onnx", "config.json"])
@pytest.mark.parametrize("case", INSTEAD)
def test_another_file_in_place_of_weights_is_called_what_it_is(directory: Path, name: str, case: str) -> None:
    content, words = INSTEAD[case]
    if name != "config.json":
        (directory / "model.safetensors").unlink()
    (directory / name).write_bytes(content)
    if name == "config.json":
        words = words.replace("found JSON", "instead of a whole number")
    with pytest.raises(BackendError, match=words) as caught:
        read_tensors(find_model(str(directory)))
    assert "weights_only" not in str(caught.value) and "code" not in str(caught.value)


WRAPPED = {
    "torch.compile": "_orig_mod.{}",
    "DDP of torch.compile": "module._orig_mod.{}",
    "Lightning": "model.{}",
    "FSDP": "_fsdp_wrapped_module.{}",
    "all of them": "model.module._orig_mod._fsdp_wrapped_module.{}",
}


@pytest.mark.parametrize("case", WRAPPED)
def test_names_lose_what_wrapped_the_model(directory: Path, case: str) -> None:
    tensors = random_tensors(SMALL, 1)
    inside = {name.replace("layer.0.", "layer.0._checkpoint_wrapped_module."): one for name, one in tensors.items()}
    save_file({WRAPPED[case].format(name): one for name, one in inside.items()}, directory / "model.safetensors")
    for name, tensor in read_tensors(find_model(str(directory))).items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_a_wrapper_of_another_name_is_shown_by_one_of_its_tensors(directory: Path) -> None:
    tensors = {f"student.{name}": one for name, one in random_tensors(SMALL, 1).items()}
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(BackendError, match=r"it has others, such as student\.bert\."):
        read_tensors(find_model(str(directory)))


def test_two_models_in_one_file_are_refused(directory: Path) -> None:
    tensors = random_tensors(SMALL, 1)
    both = tensors | {f"module.{name}": one for name, one in tensors.items()}
    save_file({name: one.copy() for name, one in both.items()}, directory / "model.safetensors")
    with pytest.raises(BackendError, match=r"found two for .*: .* and module\."):
        read_tensors(find_model(str(directory)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_every_floating_type_is_read_in_both_forms(directory: Path, dtype: torch.dtype, form: str) -> None:
    tensors = {name: torch.from_numpy(one).to(dtype) for name, one in random_tensors(SMALL, 1).items()}
    if form == "safetensors":
        safetensors.torch.save_file(tensors, directory / "model.safetensors")
    else:
        (directory / "model.safetensors").unlink()
        torch.save(tensors, directory / "pytorch_model.bin")
    for name, tensor in read_tensors(find_model(str(directory))).items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, tensors[name].float().numpy())


NAME = "bert.encoder.layer.1.output.dense.weight"
NO_WEIGHTS: dict[str, tuple[object, str]] = {
    "integers": (torch.ones(64, 160, dtype=torch.int32), "int32"),
    "complex": (torch.ones(64, 160, dtype=torch.complex64), "complex64"),
    "truth values": (torch.ones(64, 160, dtype=torch.bool), "bool"),
    "NaN": (torch.full((64, 160), float("nan")), "NaN or infinity"),
    "one infinity": (torch.ones(64, 160).index_fill_(0, torch.tensor(7), float("-inf")), "NaN or infinity"),
    "beyond float32": (torch.full((64, 160), 1e300, dtype=torch.float64), "NaN or infinity"),
    "sparse": (torch.ones(64, 160).to_sparse(), "sparse"),
    "meta": (torch.empty(64, 160, device="meta"), "meta"),
    "repeated": (torch.ones(1).expand(64, 160), "repeats 4 bytes"),
    "a number": (3, f"{NAME}': int"),
}


@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_a_tensor_that_holds_no_weights_is_named(directory: Path, case: str) -> None:
    value, words = NO_WEIGHTS[case]
    tensors = {name: torch.from_numpy(one) for name, one in random_tensors(SMALL, 1).items()} | {NAME: value}
    (directory / "model.safetensors").unlink()
    torch.save(tensors, directory / "pytorch_model.bin")
    with pytest.raises(BackendError, match=words) as caught:
        read_tensors(find_model(str(directory)))
    assert NAME in str(caught.value)


def test_integers_and_nan_in_safetensors_are_named_too(directory: Path) -> None:
    for value in (np.ones((64, 160), np.int32), np.full((64, 160), np.nan, np.float32)):
        save_file(random_tensors(SMALL, 1) | {NAME: value}, directory / "model.safetensors")
        with pytest.raises(BackendError, match=NAME):
            read_tensors(find_model(str(directory)))


def test_a_type_that_numpy_lacks_is_named(directory: Path) -> None:
    tensors = {NAME: torch.ones(64, 160).to(torch.float8_e5m2)}
    safetensors.torch.save_file(tensors, directory / "model.safetensors")
    with pytest.raises(BackendError, match=r"float8_e5m2.*Save the model in float32"):
        read_tensors(find_model(str(directory)))


def test_keys_that_are_numbers_are_named(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    torch.save({7: torch.ones(3)}, directory / "pytorch_model.bin")
    with pytest.raises(BackendError, match="the key 7"):
        read_tensors(find_model(str(directory)))


IN_A_DIRECTORY: dict[str, tuple[list[str], str]] = {
    "TensorFlow": (["tf_model.h5"], "weights of TensorFlow"),
    "Flax": (["flax_model.msgpack"], "weights of Flax"),
    "another name": (["model.fp16.safetensors", "tf_model.h5"], r"--model .*model\.fp16\.safetensors"),
    "an adapter": (["adapter_model.safetensors"], "an adapter"),
    "nothing": ([], "found none of them"),
}


@pytest.mark.parametrize("case", IN_A_DIRECTORY)
def test_a_directory_without_weights_is_described_by_what_it_has(directory: Path, case: str) -> None:
    names, words = IN_A_DIRECTORY[case]
    (directory / "model.safetensors").unlink()
    for name in names:
        (directory / name).write_bytes(b"x")
    with pytest.raises(BackendError, match=words):
        find_model(str(directory))


@pytest.mark.parametrize("index", [{"weight_map": {"a": ""}}, {"weight_map": {"a": ".."}}, {"weight_map": {"a": 5}}, 3])
def test_an_index_without_shards_is_refused(directory: Path, index: object) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(BackendError, match=r"index\.json"):
        read_tensors(find_model(str(directory)))


@pytest.mark.parametrize("spec", ["nowhere", "random:bert-huge", "", "vocab.txt"])
def test_a_path_without_a_model_is_refused_with_a_hint(spec: str) -> None:
    with pytest.raises(BackendError, match="random:bert-large"):
        find_model(spec)
