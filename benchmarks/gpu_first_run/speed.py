"""How fast one precision is: products by variant and size, forward passes by batch size, kernels of a full batch.

python -m benchmarks.gpu_first_run.speed fp8 --work DIR
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from backends.gpu import gemm_tuning
from backends.gpu.packed_bert import GpuBert
from benchmarks.gpu_first_run import attention_forms, forward, layer_parts, products, workload
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_first_run.products import Timed
from foundation import program


def main(argv: Sequence[str] | None = None) -> int:
    options = rigs.options(__doc__, argv, "precision")
    rig, ceilings = rigs.of(options.geometry, is_dry=options.dry_run), rigs.ceilings(options.work)
    precision, sections = options.precision, rigs.Sections()
    weights, found = workload.on_device(rig.config, precision, rig.gpu.device), list[Timed]()
    sections.run("products", lambda: products.measure(rig, weights.layers[0], found))
    ceiling = f"{ceilings[precision]:.0f}" if precision in ceilings else "not measured"
    rigs.show(
        f"{precision} products, TFLOP/s (ceiling {ceiling}; * fastest, ! wrong; att, out: with LayerNorm)",
        products.table(found),
    )
    chosen = products.choices(found, gemm_tuning.default(precision))
    products.write_choices(options.work, precision, chosen)
    parts = layer_parts.table(rig, precision, weights, chosen, ceilings)
    sections.run("parts", lambda: rigs.show(f"{precision} parts at {rig.most_tokens} tokens", parts))
    forms = attention_forms.table(rig, weights.layers[0])
    sections.run("attention", lambda: rigs.show(f"{precision} attention at {rig.most_tokens} tokens", forms))
    bert = GpuBert(weights, rig.gpu.kernels, chosen)
    sections.run("under load", lambda: print(f"under load: {forward.under_load(rig, bert) or 'unknown'}", flush=True))
    sections.run("forward", lambda: rigs.show(f"{precision} forward pass", forward.table(rig, bert)))
    return sections.code


if __name__ == "__main__":
    sys.exit(program.run(main))
