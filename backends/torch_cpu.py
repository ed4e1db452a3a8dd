"""PyTorch on the CPU (oneDNN does the matrix products): the readable BERT of `bert.py`, in inference mode."""

from __future__ import annotations

import torch

from backends.base import Backend, Batch, Float32
from backends.bert import BertForQuestionAnswering
from backends.checkpoints import Model, read_tensors


class PyTorchBackend(Backend):
    name = "pytorch"

    def load(self, model: Model) -> None:
        torch.set_num_threads(self.options.threads)
        tensors = read_tensors(model)
        assert model.config is not None  # read_tensors refuses a model without one
        # Built without storage and then handed the arrays: no second copy, no wasted initialisation.
        with torch.device("meta"):
            self._model = BertForQuestionAnswering(model.config)
        state = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
        self._model.load_state_dict(state, strict=True, assign=True)
        self._model.eval()

    @torch.inference_mode()
    def infer(self, batch: Batch) -> Float32:
        padded = batch.padded()
        ids, types = torch.from_numpy(padded.input_ids), torch.from_numpy(padded.token_type_ids)
        full = batch.tokens == padded.input_ids.size
        mask = None if full else torch.from_numpy(padded.attention_mask).bool()
        return batch.pack(self._model(ids, types, mask).numpy())
