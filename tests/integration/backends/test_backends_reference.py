"""Every engine against transformers' models on the same weights, 1e-3 in the logits.

Each sample runs alone there: in a padded batch, transformers' MobileBERT sees the embedding of [PAD] next to the last
token, and its answer depends on the padding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_mobilebert
import torch
from small_bert import random_batch, random_tensors, write_model
from small_mobilebert import TINY

from backends import BACKENDS, backend_class
from backends.base import Batch, Options
from backends.bert.checkpoints import find_model, read_tensors
from backends.bert.config import RANDOM_GEOMETRIES, BertConfig
from backends.bert.encoder import EncoderConfig
from backends.formats.base import Tensors
from foundation.arrays import Float32

ENGINES = [name for name, row in BACKENDS.own.items() if row.first_precision == "fp32" and row.runs_model]
LENGTHS = [1, 2, 3, 7, 16, 17, 31, 63, 64, 65, 127, 128, 200, 255, 256, 300, 383, 384]
GEOMETRIES: dict[str, EncoderConfig] = {
    "narrow": BertConfig(
        vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=1, intermediate_size=64
    ),
    "odd": BertConfig(
        vocab_size=999,
        hidden_size=96,
        num_hidden_layers=5,
        num_attention_heads=3,
        intermediate_size=200,
        max_position_embeddings=400,
        layer_norm_eps=1e-6,
    ),
    "many heads": BertConfig(
        vocab_size=300, hidden_size=128, num_hidden_layers=2, num_attention_heads=8, intermediate_size=512
    ),
    "mobilebert": TINY,
}


def _tensors(config: EncoderConfig, seed: int) -> Tensors:
    return small_mobilebert.random_tensors(seed) if config is TINY else random_tensors(config, seed)


def reference_logits(directory: Path, batch: Batch) -> Float32:
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(directory, attn_implementation="eager").eval()
    found = []
    for start, stop in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False):
        ids, types = (torch.from_numpy(one[start:stop])[None].long() for one in (batch.input_ids, batch.token_type_ids))
        with torch.inference_mode():
            out = model(input_ids=ids, token_type_ids=types)
        found.append(torch.stack([out.start_logits[0], out.end_logits[0]], -1).numpy())
    return np.concatenate(found)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(GEOMETRIES))
def test_agrees_with_transformers(tmp_path: Path, engine: str, name: str) -> None:
    pytest.importorskip(engine if engine != "pytorch" else "torch")
    config = GEOMETRIES[name]
    directory = write_model(tmp_path, config, _tensors(config, seed=len(name)))
    batch = random_batch(LENGTHS, seed=3, vocab_size=config.vocab_size)
    expected = reference_logits(directory, batch)
    backend = backend_class(engine)(Options(threads=2))
    backend.load(find_model(str(directory)))
    assert np.abs(expected).max() > 1  # otherwise 1e-3 would prove nothing
    np.testing.assert_allclose(backend.infer(batch), expected, atol=1e-3)


def test_the_engines_agree_on_random_weights_of_a_named_geometry() -> None:
    model, batch = find_model("random:bert-tiny"), random_batch([5, 384, 77], vocab_size=30522)
    answers = []
    for engine in ENGINES:
        pytest.importorskip(engine if engine != "pytorch" else "torch")
        backend = backend_class(engine)(Options())
        backend.load(model)
        answers.append(backend.infer(batch))
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], atol=1e-4)


def test_random_weights_are_the_same_every_time_and_named_as_random() -> None:
    model = find_model("random:bert-tiny")
    first, second = read_tensors(model), read_tensors(model)
    assert model.is_random
    assert model.config == RANDOM_GEOMETRIES["bert-tiny"]
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor, second[name])
    query, key = (first[f"bert.encoder.layer.0.attention.self.{part}.weight"] for part in ("query", "key"))
    assert not np.allclose(query, key)
