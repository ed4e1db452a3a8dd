"""The last steps of a training in the int8 engine's arithmetic, whose ranges then go into the checkpoint.

It begins with the package's own calibration, on windows of the training file; from there ranges are learned. A run with
`--precision int8` reads them from the checkpoint instead of calibrating.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.base import Batch
from backends.bert.config import LINEARS, SOURCES, BertConfig
from backends.bert.encoder import LinearInputs
from backends.formats import state_dicts
from backends.quantization import calibration
from backends.quantization.calibration import CalibrationSettings
from qsl.base import Features
from sut.machine import facts as machine_facts
from training.loop.dealing import rows_of_step
from training.network.attention import attend
from training.network.packed_batch import PackedBatch
from training.network.packed_bert import PackedLayer
from training.network.rounding import LayerRounding, ProductRounding, input_scale, weight_scale
from training.tasks.feature_batches import of_run
from training.tasks.phases import Phase
from training.tasks.squad import SpanNetwork

RANGE_RATE = 0.01  # by which share a step changes a range at most, at the highest learning rate
_RANGES = CalibrationSettings(compensated=False, int8_attention=False)  # weights are trained, and rounded to nearest
_NAME = "quantization"
_ROUNDING = "rounding"


def calibration_samples(features: Features, samples: int, seed: int) -> list[Batch]:
    """The windows that a training with this seed calibrates on, a batch each."""
    rows = rows_of_step(seed, 1, min(samples, len(features)), len(features))
    return [Batch.of([features.sample(row)]) for row in rows.tolist()]


def _product_inputs(layer: PackedLayer, x: Tensor, batch: PackedBatch) -> Iterator[tuple[str, Tensor]]:
    """The inputs of a layer's products, given the layer's own."""
    own, end = layer.attention.self, layer.attention.output
    qkv = torch.cat([own.query(x), own.key(x), own.value(x)], 1)
    mixed = attend(qkv, batch, own.heads, 0.0)
    middle = end.LayerNorm(end.dense(mixed) + x)
    return zip(LINEARS, (x, mixed, middle, F.gelu(layer.intermediate.dense(middle))), strict=True)


class QuantizationAware(Phase):
    """Rounds what the layers of `network` multiply, from `first_step` on.

    Args:
        samples: windows to calibrate on.
        rate: the highest learning rate of the weights; ranges have their own, `RANGE_RATE`.
    """

    def __init__(
        self,
        network: SpanNetwork,
        config: BertConfig,
        features: Features,
        *,
        first_step: int,
        samples: int,
        seed: int,
        rate: float,
    ) -> None:
        super().__init__(network, _NAME, first_step - 1)
        self._pace = RANGE_RATE / rate
        self._shapes, self._config = config.shapes(), config
        self._samples = calibration_samples(features, samples, seed)
        self._network = [network]  # in a list: no module of its own module
        for layer in network.bert.encoder.layer:
            layer.rounding = LayerRounding(config, self._pace)

    def after_step(self, step: int) -> None:
        """Calibrate after the last step in float."""
        super().after_step(step)
        if step == self.last_step:
            self._calibrate()
            self._switch_on()

    def resumed(self) -> None:
        """Go on in int8 where the checkpoint was."""
        if self.is_final:
            self._switch_on()

    def _layers(self) -> Iterator[tuple[PackedLayer, LayerRounding]]:
        for layer in self._network[0].bert.encoder.layer:
            assert isinstance(layer, PackedLayer) and layer.rounding is not None
            yield layer, layer.rounding

    def _switch_on(self) -> None:
        for _, rounding in self._layers():
            rounding.is_on = True

    def _calibrate(self) -> None:
        state = self._network[0].state_dict()
        tensors = {name: state[name].float().cpu().numpy() for name in self._shapes}
        on_gpu = self._inputs if self.done.is_cuda else None
        model = calibration.calibrate(self._config, tensors, self._samples, _RANGES, self._threads(), inputs_of=on_gpu)
        for number, (_, rounding) in enumerate(self._layers()):
            for name in LINEARS:
                product = rounding.products[name]
                assert isinstance(product, ProductRounding)
                product.start_from(model.linear(number, name))

    def _threads(self) -> int:
        """A GPU waits for the host's cores, which its machine's processes share."""
        if not self.done.is_cuda:
            return torch.get_num_threads()
        return max(1, machine_facts.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))

    @torch.no_grad()
    def _inputs(self, batches: Sequence[Batch]) -> Iterator[LinearInputs]:
        """What the layers' products multiply."""
        network = self._network[0].eval()
        for batch in batches:
            given = of_run(batch, self.done.device)
            states = network(given).states
            yield {
                (number, name): x.cpu().numpy()
                for number, (layer, _) in enumerate(self._layers())
                for name, x in _product_inputs(layer, states[number], given)
            }
        network.train()

    def unused(self) -> Tensor:
        """0, from the ranges."""
        named = self._network[0].named_parameters()
        return 0.0 * torch.stack([one for name, one in named if f".{_ROUNDING}." in name]).sum()

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights, and their ranges as `backends.formats.state_dicts` reads them."""
        found = {
            name: one
            for name, one in weights.items()
            if f".{_ROUNDING}." not in name and not name.startswith(f"{_NAME}.")
        }
        for number in range(self._config.num_hidden_layers):
            for name in LINEARS:
                at = f"bert.encoder.layer.{number}."
                of = f"{at}{_ROUNDING}.products.{name}."
                scale = input_scale(weights[f"{of}start"], weights[f"{of}change"], self._pace)
                zero, smooth = (weights[f"{of}{part}"] for part in ("zero_point", "smooth"))
                found |= {
                    f"{at}{source}{part}": value.clone()  # a file holds no tensor twice
                    for source in SOURCES[name]
                    for part, value in {
                        state_dicts.INPUT: scale * 127,
                        state_dicts.ZERO_POINT: zero,
                        state_dicts.SMOOTH: smooth,
                        state_dicts.WEIGHT: weight_scale(weights[f"{at}{source}.weight"], smooth) * 127,
                    }.items()
                }
        return found
