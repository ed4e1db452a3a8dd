"""One forward pass of two layers between cudaProfilerStart and cudaProfilerStop, for a profiler.

ncu --profile-from-start off … python -m benchmarks.gpu_first_run.once fp8 --work DIR
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from backends.gpu import choice_cache, gemm_tuning
from backends.gpu.packed_bert import GpuBert
from benchmarks.gpu_first_run import products, workload
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_first_run.forward import on_device
from foundation import program

_LAYERS = 2  # the first one's input is the embedding's; its kernels are those of all


@torch.inference_mode()
def main(argv: Sequence[str] | None = None) -> int:
    options = rigs.options(__doc__, argv, "precision")
    rig = rigs.of(options.geometry, is_dry=options.dry_run)
    config = replace(rig.config, num_hidden_layers=_LAYERS)
    weights = workload.on_device(config, options.precision, rig.gpu.device)
    measured = products.read_choices(options.work, options.precision) or choice_cache.read(rig.gpu, weights)
    chosen = measured or gemm_tuning.default(options.precision)
    bert = GpuBert(weights, rig.gpu.kernels, chosen)
    batch = on_device(rig.gpu.device, workload.batch(rig.most_tokens, config.vocab_size))
    bert(batch)
    rig.gpu.synchronize()
    profiler: Any = None if rig.is_dry else torch.cuda.cudart()  # type: ignore[no-untyped-call]
    if profiler:
        profiler.cudaProfilerStart()
    bert(batch)
    rig.gpu.synchronize()
    if profiler:
        profiler.cudaProfilerStop()
    return 0


if __name__ == "__main__":
    sys.exit(program.run(main))
