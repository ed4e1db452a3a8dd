"""Input that cannot be used ends in exit code 2 and one message that says what to type, without a run.

One of each kind is a process, as a user starts it; the others are the same command lines in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from command import Case, Run, assert_refused

from backends.bert.config import BertConfig

FAKE = ("--backend", "fake", "--model", "fake")


@pytest.mark.parametrize(
    ("name", "content", "flags", "words"),
    (
        ("", b"", ("--scenario", "Ofline"), ("Did you mean Offline",)),
        ("", b"", ("--modle", "demo"), ("unrecognized arguments: --modle",)),
        ("dev.json", b'{"data": [', (*FAKE, "--dataset", "dev.json"), ("dev.json", "JSON")),
        ("words.txt", b"[PAD]\n", (*FAKE, "--vocab", "words.txt"), ("words.txt", "[CLS]")),
        ("model.onnx", b"no graph at all", ("--model", "model.onnx"), ("model.onnx",)),
    ),
    ids=("word", "flag", "data set", "vocabulary", "model"),
)
def test_one_message_on_standard_error(
    run: Run, tmp_path: Path, name: str, content: bytes, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (tmp_path / "work").mkdir()
    if name:
        (tmp_path / "work" / name).write_bytes(content)
    ended = run(*flags)
    assert_refused(ended, *words)
    assert ended.out == "" and ended.runs == []


def test_unknown_words_suggest_the_nearest(refuse: Run) -> None:
    for flag, word, nearest in (
        ("--scenario", "Ofline", "Offline"),
        ("--scenario", "singlestrem", "SingleStream"),
        ("--mode", "acuracy", "accuracy"),
        ("--backend", "onnxruntim", "onnxruntime"),
        ("--backend", "torch", "pytorch"),
        ("--execution-mode", "vald", "valid"),
        ("--executor", "process", "processes"),
        ("--target", "bert-9", "bert-99"),
    ):
        ended = refuse(*(("--mode", "accuracy") if flag == "--target" else ()), flag, word)
        _, _, hint = assert_refused(ended, repr(word)).partition("Did you mean ")
        assert hint.startswith((nearest, repr(nearest)))
        assert ended.runs == []


@pytest.mark.parametrize(
    ("flags", "words"),
    (
        (("--backend", "pytorch", "--precision", "int3"), ("'pytorch'", "fp32", "int3")),
        ((*FAKE, "--precision", "bf16"), ("'fake'", "fp32", "bf16")),
        (("--model", "random:bert-huge"), ("random:bert-large", "random:bert-huge")),
        (("--model", "nowhere"), ("--model", "'nowhere'", "'demo'")),
        (("--model", "n" * 300), ("--model",)),
        ((*FAKE, "--log-dir", "dev.json/logs"), ("--log-dir",)),
        ((*FAKE, "--log-dir", "n" * 300), ("--log-dir",)),
        (("--backend", "fake", "--model", "fake:brake_at=3"), ("raise_at", "fake:brake_at=3")),
        (("--model",), ("--model", "expected one argument")),
        (("--modle", "demo"), ("unrecognized arguments: --modle",)),
        (("walk",), ("walk",)),
        (("--instances", "two"), ("--instances", "'two'")),
        ((*FAKE, "--executor", "inline", "--instances", "2"), ("--executor inline", "--instances 2")),
    ),
)
def test_flags_that_cannot_be_used(refuse: Run, tmp_path: Path, flags: tuple[str, ...], words: tuple[str, ...]) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "dev.json").touch()
    ended = refuse(*flags)
    assert_refused(ended, *words)
    assert ended.runs == []


@pytest.mark.parametrize("value", ("0", "-1", "nan", "inf", "1e30"))
def test_numbers_out_of_range(refuse: Run, value: str) -> None:
    for flag in ("--target-qps", "--min-duration-s"):
        if (flag, value) != ("--min-duration-s", "0"):
            assert flag in assert_refused(refuse(*FAKE, flag, value))


@pytest.mark.parametrize("flag", ("--test-query-count", "--instances", "--threads", "--max-batch-tokens"))
def test_counts_out_of_range(refuse: Run, flag: str) -> None:
    for value in ("0", "-1", "99999999999999999999"):
        assert_refused(refuse(*FAKE, flag, value), flag, value)


def test_a_log_directory_that_holds_a_run_is_left_as_it_is(run: Run) -> None:
    assert run(*FAKE, "--test-query-count", 60).code == 0
    first = run(*FAKE, "--test-query-count", 60)
    before = {path: path.read_bytes() for path in first.runs}
    assert_refused(first, "run.json", "--log-dir")
    assert {path: path.read_bytes() for path in run(*FAKE).runs} == before


def test_the_backend_is_not_there_without_its_extra(run: Run, tmp_path: Path) -> None:
    ended = run("--backend", "pytorch", "--model", "random:bert-tiny", path=(without_torch(tmp_path),))
    assert_refused(ended, "'pytorch'", "torch", "pip install ", "[pytorch]'")
    assert ended.runs == []


def without_torch(folder: Path) -> Path:
    """A directory for PYTHONPATH that makes torch as absent as on a core install."""
    hidden = folder / "without-torch"
    hidden.mkdir()
    text = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    (hidden / "torch.py").write_text(text, encoding="utf-8")
    return hidden


# ---- data sets and vocabularies: (what the file holds, made from the good one; words of the message)

Edit = Callable[[Any], object]


def first_paragraph(data: Any) -> Any:
    return data["data"][0]["paragraphs"][0]


def first_question(data: Any) -> Any:
    return first_paragraph(data)["qas"][0]


# Each spoils the good data set in place.
SPOILT: dict[str, tuple[Edit, str]] = {
    "no data": (lambda data: data.pop("data"), "'data'"),
    "no articles": (lambda data: data["data"].clear(), "found none"),
    "data that are a number": (lambda data: data.update(data=5), "form"),
    "an article that is a list": (lambda data: data["data"].insert(0, []), "form"),
    "no context": (lambda data: first_paragraph(data).pop("context"), "'context'"),
    "no id": (lambda data: first_question(data).pop("id"), "'id'"),
    "a context that is a number": (lambda data: first_paragraph(data).update(context=5), "form"),
    "a question that is a number": (lambda data: first_question(data).update(question=5), "form"),
    "an answer that is a number": (lambda data: first_question(data)["answers"][0].update(text=5), "form"),
    "an id that is a list": (lambda data: first_question(data).update(id=["a"]), "form"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_data_set_of_another_shape(refuse: Run, case: Case, tmp_path: Path, name: str) -> None:
    spoil, word = SPOILT[name]
    data = json.loads(case.dataset.read_bytes())
    spoil(data)
    path = tmp_path / "other.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    ended = refuse(*FAKE, "--mode", "accuracy", "--dataset", path)
    assert_refused(ended, str(path), word)
    assert ended.runs == []


@pytest.mark.parametrize("share", (0.0, 0.1, 0.5, 0.999), ids=str)
def test_a_data_set_cut_short(refuse: Run, case: Case, tmp_path: Path, share: float) -> None:
    ended = refuse(*FAKE, "--dataset", cut(case.dataset, tmp_path / "short.json", share))
    assert_refused(ended, "short.json", "JSON")
    assert ended.runs == []


def cut(whole: Path, short: Path, share: float) -> Path:
    """The first part of a file."""
    content = whole.read_bytes()
    short.write_bytes(content[: int(share * len(content))])
    return short


FILES: dict[str, bytes | None] = {
    "nothing there": None,
    "not text": bytes(range(256)),
    "brackets without end": b"[" * 200_000,
    "a page": b"<html>404</html>",
    "a number": b"5",
    "a list": b"[1]",
}


@pytest.mark.parametrize("name", FILES)
def test_an_invalid_data_set(refuse: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / "none.json"
    if (content := FILES[name]) is not None:
        path.write_bytes(content)
    ended = refuse(*FAKE, "--dataset", path)
    assert_refused(ended, "none.json")
    assert ended.runs == []


@pytest.mark.parametrize(
    ("content", "words"),
    (
        (None, ("--vocab",)),
        (b"", ("an empty file", "--vocab")),
        (b"[PAD]\n[UNK]\n[SEP]\nthe\n", ("[CLS]", "4 tokens")),
        (b"\xff\xfe\x00", ("UTF-8", "--vocab")),
    ),
    ids=("nothing there", "empty", "without [CLS]", "not text"),
)
def test_an_invalid_vocabulary(refuse: Run, tmp_path: Path, content: bytes | None, words: tuple[str, ...]) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    ended = refuse(*FAKE, "--vocab", path)
    assert_refused(ended, "words.txt", *words)
    assert ended.runs == []


# ---- models: a directory in Hugging Face's form, spoilt in one way each


def geometry(vocab_size: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocab_size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )


def weights(vocab_size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {name: rng.normal(0, 0.02, shape).astype("f4") for name, shape in geometry(vocab_size).shapes().items()}


def write_config(folder: Path, rows: int, **changed: object) -> Path:
    folder.mkdir()
    content = {"model_type": "bert", **vars(geometry(rows)), **changed}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_whole(folder: Path, rows: int) -> Path:
    safetensors.numpy.save_file(weights(rows), write_config(folder, rows) / "model.safetensors")
    return folder


@pytest.fixture
def vocab_size(case: Case) -> int:
    return len(case.vocab.read_text(encoding="utf-8").splitlines())


@pytest.fixture
def model(tmp_path: Path, vocab_size: int) -> Path:
    """A whole model of the right vocabulary."""
    return write_whole(tmp_path / "model", vocab_size)


@pytest.fixture(scope="session")
def torch_file(tmp_path_factory: pytest.TempPathFactory, case: Case) -> Path:
    """The same weights as torch.save writes them."""
    torch = pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("torch") / "pytorch_model.bin"
    size = len(case.vocab.read_text(encoding="utf-8").splitlines())
    torch.save({name: torch.from_numpy(array) for name, array in weights(size).items()}, path)
    return path


def test_whole_models_run_and_are_not_random(run: Run, model: Path, torch_file: Path) -> None:
    """The files that are spoilt below are good ones before."""
    assert run("--model", model, "--test-query-count", 60).code == 0
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(torch_file.read_bytes())
    ended = run("--model", model, "--test-query-count", 60, "--log-dir", "again")
    assert ended.code == 0 and ended.record("again")["random_weights"] is False


@pytest.mark.parametrize("share", (0.0, 0.00002, 0.001, 0.5, 0.9999), ids=str)
def test_safetensors_cut_short(refuse: Run, model: Path, tmp_path: Path, share: float) -> None:
    file = model / "model.safetensors"
    cut(file, tmp_path / "short", share).replace(file)
    ended = refuse("--model", model)
    assert_refused(ended, "model.safetensors", "cut short" if share else "an empty file")
    assert ended.runs == []


def test_two_instances_say_it_once(run: Run, model: Path, tmp_path: Path) -> None:
    file = model / "model.safetensors"
    cut(file, tmp_path / "short", 0.5).replace(file)
    ended = run("--model", model, "--instances", 2)
    assert_refused(ended, "model.safetensors", "cut short")
    assert ended.runs == []


@pytest.mark.parametrize("share", (0.0, 0.5, 0.999), ids=str)
def test_a_torch_file_cut_short(refuse: Run, model: Path, torch_file: Path, share: float) -> None:
    (model / "model.safetensors").unlink()
    cut(torch_file, model / "pytorch_model.bin", share)
    assert_refused(refuse("--model", model), "pytorch_model.bin", "cut short" if share else "an empty file")


def test_a_torch_file_without_torch(run: Run, model: Path, torch_file: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(torch_file.read_bytes())
    ended = run("--model", model, path=(without_torch(tmp_path),))
    assert_refused(ended, "pip install ", "[pytorch]'", "model.safetensors")


@pytest.mark.parametrize("backend", ("onnxruntime", "pytorch"))
@pytest.mark.parametrize("spoilt", ("missing", "turned round", "one too many"))
def test_a_tensor_that_does_not_fit_is_named(
    refuse: Run, model: Path, vocab_size: int, backend: str, spoilt: str
) -> None:
    tensors = weights(vocab_size)
    own, other = "bert.encoder.layer.0.intermediate.dense.weight", "bert.encoder.layer.1.output.dense.bias"
    word, changed = {
        "missing": (own, {name: array for name, array in tensors.items() if name != own}),
        "turned round": (own, tensors | {own: np.ascontiguousarray(tensors[own].T)}),
        "one too many": (other, tensors | {other: np.zeros(16, "f4")}),
    }[spoilt]
    safetensors.numpy.save_file(changed, model / "model.safetensors")
    ended = refuse("--model", model, "--backend", backend)
    assert_refused(ended, word, "model.safetensors")
    assert ended.runs == []


def test_a_model_without_weights(refuse: Run, model: Path) -> None:
    (model / "model.safetensors").unlink()
    assert_refused(refuse("--model", model), "model.safetensors", "pytorch_model.bin")


@pytest.mark.parametrize("rows", (-5, 500), ids=("too few rows", "too many rows"))
def test_a_vocabulary_that_does_not_fit_the_model(refuse: Run, tmp_path: Path, vocab_size: int, rows: int) -> None:
    ended = refuse("--model", write_whole(tmp_path / "other", vocab_size + rows))
    assert_refused(ended, str(vocab_size), str(vocab_size + rows), "--vocab")
    assert ended.runs == []


@pytest.mark.parametrize(
    ("changed", "words"),
    (
        ({"model_type": "roberta"}, ("'roberta'",)),
        ({"hidden_act": "relu"}, ("'relu'",)),
        ({"hidden_size": "16"}, ("config.json",)),
        ({"hidden_size": None}, ("config.json",)),
        ({"vocab_size": "3055"}, ("config.json",)),
        ({"num_attention_heads": 3}, ("config.json",)),
        ({"max_position_embeddings": 128}, ("128",)),
    ),
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_config_that_is_not_berts(
    refuse: Run, tmp_path: Path, vocab_size: int, changed: dict[str, object], words: tuple[str, ...]
) -> None:
    folder = write_config(tmp_path / "other", vocab_size, **changed)
    tensors = weights(vocab_size)
    place = "bert.embeddings.position_embeddings.weight"
    tensors[place] = tensors[place][: changed.get("max_position_embeddings", 512)]
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    ended = refuse("--model", folder)
    assert_refused(ended, *words)
    assert ended.runs == []


@pytest.mark.parametrize("content", (b"", b"[]", b'"bert"', b"{", b'{"model_type": "bert"}'), ids=repr)
def test_a_config_that_is_broken(refuse: Run, model: Path, content: bytes) -> None:
    (model / "config.json").write_bytes(content)
    assert_refused(refuse("--model", model), "config.json")


@pytest.mark.parametrize("content", (b"", b"no graph at all", bytes(range(256)) * 40), ids=("empty", "text", "bytes"))
def test_an_invalid_onnx_file(refuse: Run, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    ended = refuse("--model", path)
    assert_refused(ended, "model.onnx")
    assert ended.runs == []


def test_an_invalid_onnx_file_has_no_weights(refuse: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"whatever")
    assert_refused(refuse("--model", path, "--backend", "pytorch"), "model.onnx", "fetch it again")


def test_weights_that_are_not_numbers_are_refused(refuse: Run, model: Path, vocab_size: int) -> None:
    tensors = weights(vocab_size) | {"qa_outputs.bias": np.full(2, np.nan, "f4")}
    safetensors.numpy.save_file(tensors, model / "model.safetensors")
    ended = refuse("--model", model, "--mode", "accuracy")
    assert_refused(ended, "NaN", "qa_outputs.bias")
    assert ended.runs == []
