"""The three files of an embedded model. An interruption leaves the last complete ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor

from backends.bert.config import BertConfig
from backends.bert.heads import HEADS
from foundation import atomic_write

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocab.txt"


def write_model(folder: Path, config: BertConfig, entries: list[str], weights: Mapping[str, Tensor]) -> None:
    write_vocabulary(folder, entries)
    write_config(folder, config)
    write_weights(folder, weights)


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    tensors = {name: tensor.float().cpu().contiguous() for name, tensor in weights.items()}
    atomic_write.write_bytes(folder / WEIGHTS, save(tensors, {"format": "pt"}))


def read_weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / WEIGHTS)


def write_config(folder: Path, config: BertConfig, architecture: str | None = None) -> None:
    fields = {
        "architectures": [architecture or HEADS[config.head].architecture],
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_act": config.hidden_act,
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": config.layer_norm_eps,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "pad_token_id": 0,
    }
    atomic_write.write_text(folder / CONFIG, json.dumps(fields, indent=2) + "\n")


def write_vocabulary(folder: Path, entries: list[str]) -> None:
    atomic_write.write_text(folder / VOCABULARY, "\n".join(entries) + "\n")


def read_vocabulary(folder: Path) -> list[str]:
    return (folder / VOCABULARY).read_text(encoding="utf-8").split("\n")[:-1]
