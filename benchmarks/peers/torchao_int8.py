"""PyTorch's own int8: PT2E's quantizer of torchao for x86, activations scaled on the fly, compiled ahead of time.

    pip install --no-deps torchao

The compiled program is kept, since compiling takes minutes; it needs a C++ compiler. Lengths are free, so one program
runs them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends.bert.model import Model
from benchmarks.peers.base import Peer, Sample


class TorchaoInt8(Peer):
    needs: Sequence[str] = ("torchao", "torch", "transformers")
    install = "pip install --no-deps torchao"
    precision = "int8"
    about = "PT2E, dynamic int8, compiled, one sample at a time, at its natural length"
    graph = "torchao-int8.pt2"

    def prepare(self, model: Model, folder: Path, calibration: Sequence[Sample]) -> None:
        path = folder / self.graph
        if not path.is_file():
            from benchmarks.peers import torchao_program

            temporary = path.with_stem(f"{path.stem}-part")
            torchao_program.write(model, calibration, temporary)
            temporary.replace(path)

    def load(self, model: Model, folder: Path, threads: int) -> None:
        import torch

        from benchmarks.peers import torchao_program

        torch.set_num_threads(threads)
        self._inputs = torchao_program.inputs
        self._program: Any = torch.inference_mode()(torch._inductor.aoti_load_package(str(folder / self.graph)))

    def answer(self, sample: Sample) -> object:
        return self._program(*self._inputs(sample))
