"""CTranslate2's int8 at natural length: weights int8 per output, activations int8 per token, scaled on the fly.

    pip install ctranslate2

It runs encoders without a head, which is added here in NumPy. One sample at a time on all cores, or one on each core:
batches of two and four were slower, and neither oneDNN (CT2_USE_MKL=0) nor packed weights
(CT2_USE_EXPERIMENTAL_PACKED_GEMM=1) gained on an Intel Xeon.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from backends.bert.model import Model
from benchmarks.peers.base import Peer, Sample


class CTranslate2Int8(Peer):
    needs: Sequence[str] = ("ctranslate2", "torch", "transformers")
    install = "pip install ctranslate2"
    precision = "int8"
    about = "int8, one sample at a time, at its natural length"
    graph = "ctranslate2-int8"

    def prepare(self, model: Model, folder: Path, calibration: Sequence[Sample]) -> None:
        if not (folder / self.graph).is_dir():
            _write(model, folder / self.graph)

    def load(self, model: Model, folder: Path, threads: int) -> None:
        self._open(folder, at_a_time=1, threads=threads)

    def _open(self, folder: Path, at_a_time: int, threads: int) -> None:
        ctranslate2: Any = importlib.import_module("ctranslate2")  # no extra brings it, so type checkers may lack it
        path = folder / self.graph
        self._encoder: Any = ctranslate2.Encoder(
            str(path), compute_type="int8", inter_threads=at_a_time, intra_threads=threads
        )
        head = np.load(path / "head.npz")
        self._weight, self._bias = head["weight"].T, head["bias"]

    def answer(self, sample: Sample) -> object:
        ids, types = sample.input_ids.tolist(), sample.token_type_ids.tolist()
        found = self._encoder.forward_batch(ids, token_type_ids=types)
        return np.asarray(found.last_hidden_state) @ self._weight + self._bias


class SideBySide(CTranslate2Int8):
    about = "int8, a sample on each core, longest first, at natural length"
    side_by_side = True

    def load(self, model: Model, folder: Path, threads: int) -> None:
        self._open(folder, at_a_time=threads, threads=1)
        self._pool = ThreadPoolExecutor(threads)

    def answer_all(self, samples: Sequence[Sample]) -> None:
        list(self._pool.map(self.answer, sorted(samples, key=lambda sample: -sample.input_ids.shape[1])))


def _write(model: Model, path: Path) -> None:
    """Convert the encoder, and keep the head next to it."""
    from benchmarks.peers import export

    converters: Any = importlib.import_module("ctranslate2.converters.transformers")
    bert: Any = importlib.import_module("transformers.models.bert.modeling_bert")
    whole = export.transformers_model(model)
    encoder = whole.bert
    encoder.config.position_embedding_type = "absolute"  # which transformers 5 no longer writes
    encoder.pooler = bert.BertPooler(encoder.config)  # which the converter takes for granted; its outputs are not used
    spec = converters.BertLoader().get_model_spec(encoder)
    spec.register_vocabulary([str(token) for token in range(encoder.config.vocab_size)])
    spec.validate()
    spec.optimize(quantization="int8")
    temporary = path.with_suffix(".part")
    temporary.mkdir(exist_ok=True)
    spec.save(str(temporary))
    head = whole.qa_outputs
    np.savez(temporary / "head.npz", weight=head.weight.detach().numpy(), bias=head.bias.detach().numpy())
    temporary.replace(path)
