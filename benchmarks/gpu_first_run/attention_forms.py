"""Attention's forms on full batches of short, middling, long and mixed samples: which is fastest for which?

Offline's batches are sorted by length, so that most have samples of one length.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from backends.gpu.kernels import TWIN
from backends.gpu.kernels.attention import DEFAULT, FORMS
from backends.gpu.weights import GpuLayer
from benchmarks import length_matched
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_first_run import workload
from benchmarks.gpu_first_run.forward import on_device
from benchmarks.gpu_first_run.rig import Rig

_LENGTHS = (64, 96, 128, 177, 256, 384)  # and mixed ones
_MOST_OFF = 0.02


@torch.inference_mode()
def table(rig: Rig, layer: GpuLayer) -> Iterator[tuple[str, ...]]:
    """Microseconds by form and length; `*` the fastest, `!` one that differs from the twin."""
    batches = {"mixed": length_matched.squad_lengths(max(2, round(rig.most_tokens / length_matched.MEAN_LENGTH)))}
    batches |= {str(length): [length] * max(1, rig.most_tokens // length) for length in _LENGTHS}
    columns = {name: _times(rig, layer, lengths) for name, lengths in batches.items()}
    yield ("attention, us", *columns)
    for form in FORMS if not rig.is_dry else (DEFAULT,):
        yield (form, *(found.get(form, "-") for found in columns.values()))


def _times(rig: Rig, layer: GpuLayer, lengths: list[int]) -> dict[str, str]:
    config, encoding = rig.config, layer.attention_output.input_encoding
    batch = on_device(rig.gpu.device, workload.samples_of(lengths, config.vocab_size))
    tokens, heads = len(batch.ids[0]), config.num_attention_heads
    qkv = torch.randn(tokens, 3 * config.hidden_size, device=rig.gpu.device).to(layer.qkv.output_encoding.dtype)
    to, expected = (torch.empty(tokens, config.hidden_size, dtype=encoding.dtype, device=qkv.device) for _ in range(2))
    checked = batch.cu_seqlens[:2]
    TWIN.attention(qkv, checked, batch.longest, heads, encoding, expected)
    rows, found = int(checked[1]), dict[str, tuple[float, bool]]()
    for form in FORMS:
        named = {} if rig.is_dry else {"form": form}

        def call(named: dict[str, str] = named) -> None:
            rig.gpu.kernels.attention(qkv, batch.cu_seqlens, batch.longest, heads, encoding, to, **named)

        try:
            call()
            off = (to[:rows].float() - expected[:rows].float()).abs().mean() / expected[:rows].float().abs().mean()
            found[form] = rig.gpu.milliseconds(call) * 1e3, not float(off) <= _MOST_OFF
        except Exception as error:
            rigs.note(f"attention {form}, {batch.longest} tokens: {rigs.first_line(error)}")
            if rigs.GPU_FAILED in str(error):
                raise
    fastest = min((us for us, _ in found.values()), default=0.0)
    return {form: f"{us:.0f}{'*' * (us == fastest)}{'!' * wrong}" for form, (us, wrong) in found.items()}
