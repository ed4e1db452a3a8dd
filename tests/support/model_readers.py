"""The readers of models, data sets and caches, each with a file that it reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import tensorflow_bundle
from damage import Reader, text
from plain_onnx import write_plain_onnx
from pyarrow import parquet
from small_bert import random_tensors, write_model

from accuracy import log as accuracy_log
from backends.base import Options
from backends.bert.checkpoints import find_model, read_weights, with_signature
from backends.bert.config import BertConfig
from backends.bert.model import Model
from backends.onnxruntime_cpu import sparsity
from backends.quantization.engine_store import settings as settings_of
from backends.quantization.engine_tensors import Arrays, EngineFormat
from backends.replay import ReplayBackend, write_answers
from foundation import log_files, sealed_directory
from foundation.array_files import parse_array
from foundation.bounded_readers import read_bytes
from qsl import calibration_list, demo, feature_cache, squad, sst2
from qsl.wordpiece import WordPiece
from sut.fetch import resolve as asset_paths
from training.network import weights

TINY = BertConfig(vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
ENTRY = {"seq_id": 0, "qsl_idx": 0, "data": "0000803F00000040", "token_count": 1}


def stored_answers(folder: Path) -> Path:
    write_answers(folder / "a.npz", [(np.array(ids), np.ones((len(ids), 2), np.float32)) for ids in ([1, 2], [3])])
    return folder / "a.npz"


def answers_of(path: Path) -> object:
    backend = ReplayBackend(Options())
    backend.load(Model(f"replay:{path}", None, None))
    return backend


def data_set(folder: Path) -> Path:
    path = folder / "dev.json"
    demo.write(path, "dev", questions=2)
    return path


RECORD = {
    "id": "1",
    "context": "It is red.",
    "question": "What is?",
    "answers": {"text": ["red"], "answer_start": [6]},
}


def parquet_file(folder: Path) -> Path:
    parquet.write_table(pyarrow.table({"sentence": ["good", "bad"], "label": [1, 0]}), folder / "a.parquet")
    return folder / "a.parquet"


def vocabulary() -> Path:
    return asset_paths.demo_model() / "vocab.txt"


def model(name: str) -> Callable[[Path], Path]:
    return lambda folder: write_model(folder, TINY, random_tensors(TINY, 0)) / name


def sharded(folder: Path) -> Path:
    shutil.copytree(write_model(folder / "whole", TINY, random_tensors(TINY, 0)), folder, dirs_exist_ok=True)
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    where = {"weight_map": dict.fromkeys(random_tensors(TINY, 0), "a.safetensors")}
    return text("model.safetensors.index.json", json.dumps(where))(folder)


def onnx_graph(folder: Path) -> Path:
    return write_plain_onnx(folder / "model.onnx", find_model(str(write_model(folder, TINY, random_tensors(TINY, 0)))))


ENGINE: Arrays = {"a": np.ones((8, 8), np.float32), "b": np.ones(8, np.float32)}
FORMAT = EngineFormat("engine.safetensors", lambda config: {name: array.shape for name, array in ENGINE.items()})


def engine(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        FORMAT.write(folder / "engine", TINY, ENGINE, {"settings": {"samples": 5}})
        return folder / "engine" / name

    return make


def features() -> Arrays:
    kinds = {"input_ids": np.int32, "token_type_ids": np.int32, "offsets": np.int64}
    return {name: np.array([0, 2, 3], kind) for name, kind in kinds.items()}


def cached(folder: Path) -> Path:
    feature_cache.cached(folder, "entry", feature_cache.FEATURES, lambda: dict(features()))
    return folder / "entry" / "offsets.npy"


def sealed(folder: Path) -> Path:
    text("a.bin", "content")(folder)
    sealed_directory.seal(folder)
    return folder / sealed_directory.SUMS


VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b")
TOKENIZER = {
    "model": {
        "type": "WordPiece",
        "vocab": {word: place for place, word in enumerate(VOCABULARY)},
        "unk_token": "[UNK]",
    },
    "normalizer": {"type": "BertNormalizer", "lowercase": False, "strip_accents": None},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "added_tokens": [{"id": 0, "content": "[PAD]"}],
}


def beside(path: Path) -> object:
    """The vocabulary next to a tokenizer_config.json."""
    return WordPiece(text("vocab.txt", "\n".join(VOCABULARY))(path.parent))


READERS = {
    "SHA256SUMS": Reader(sealed, lambda path: sealed_directory.is_intact(path.parent)),
    "SQuAD": Reader(data_set, lambda path: squad.load(path, vocabulary(), None)),
    "SST-2": Reader(text("a.tsv", "sentence\tlabel\ngood .\t1\nbad .\t0\n"), sst2.read_labels),
    "SST-2, parquet": Reader(parquet_file, sst2.read_labels),
    "SQuAD, records": Reader(text("a.jsonl", json.dumps(RECORD)), lambda path: squad.load(path, vocabulary(), None)),
    "vocab.txt": Reader(text("vocab.txt", "\n".join(VOCABULARY)), WordPiece),
    "a calibration list": Reader(
        text("list.txt", "1\n2\n17\n"), lambda path: calibration_list.read_indices(path, path, 20)
    ),
    "features": Reader(cached, lambda path: cached(path.parents[1])),
    "an array": Reader(cached, lambda path: parse_array(read_bytes(path))),
    "config.json": Reader(model("config.json"), lambda path: read_weights(find_model(str(path.parent)))),
    "safetensors": Reader(model("model.safetensors"), lambda path: read_weights(find_model(str(path.parent)))),
    "model.safetensors.index.json": Reader(sharded, lambda path: read_weights(find_model(str(path.parent)))),
    "an ONNX graph": Reader(onnx_graph, lambda path: (with_signature(find_model(str(path))), sparsity.measure(path))),
    "an ONNX graph's weights": Reader(onnx_graph, lambda path: read_weights(find_model(str(path)))),
    "tokenizer.json": Reader(text("tokenizer.json", json.dumps(TOKENIZER)), WordPiece),
    "tokenizer_config.json": Reader(
        text("tokenizer_config.json", json.dumps({"do_lower_case": False, "tokenize_chinese_chars": True})), beside
    ),
    "a TensorFlow checkpoint": Reader(
        lambda folder: tensorflow_bundle.write_model(folder / "model.ckpt", random_tensors(TINY, 0)), weights.read
    ),
    "engine.json": Reader(engine("engine.json"), lambda path: (FORMAT.read(path.parent), settings_of(path.parent))),
    "engine.safetensors": Reader(engine("engine.safetensors"), lambda path: FORMAT.read(path.parent)),
    "an accuracy log": Reader(
        text(log_files.ACCURACY, json.dumps([ENTRY, ENTRY])), lambda path: accuracy_log.read_entries(path, 5)
    ),
    "stored answers": Reader(stored_answers, answers_of),
}
