"""What is known of a backend without importing its engine: the type of a row of `backends.BACKENDS`.

Everything that the rest of the package says of a backend comes from its row: flags, help, doctor, the packages in
run.json, the system description of a submission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# What a precision runs. engine: an engine that was built before. graph: an .onnx file as it is, or the weights of any
# other format. load: weights, converted while they are loaded.
PrecisionKind = Literal["engine", "graph", "load"]
FP16 = "fp16"
_SIXTEEN_BITS = (FP16, "bf16")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One backend. Functions and classes are "module:name"."""

    target: str  # its class
    title: str = ""  # the engine's name in a system description; "": the backend's name
    needs: str = "numpy"  # the module of its engine
    extra: str = ""  # the extra of this package that installs that module; "": none
    brings: str = ""  # what that extra brings, for doctor
    distributions: tuple[str, ...] = ()  # of the engine, which versions are recorded of; the first is the engine's own
    precisions: Mapping[str, PrecisionKind] = field(default_factory=lambda: {"fp32": "load"})
    forkable: bool = False  # can be forked once loaded with one thread, so that instances share the weights
    builder: str = "backends.quantization.int8_builder:BUILDER"  # builds its engines
    accelerators: str = ""  # finds the devices that it runs on; "": it runs on the CPU
    script: str = ""  # parses its --model, which names no model of ours; "": it runs a model
    served: str = ""  # looks up a model that runs on a server of another system; "": nothing of it is elsewhere
    batch_tokens: int | None = None  # tokens of its largest batch, where no setting says it; None: as others
    notice: str = ""  # shown with every figure of a backend without a model
    answers_count: bool = True  # False: its answers are meaningless, so accuracy is never judged

    @property
    def runs_model(self) -> bool:
        """False for a backend that imitates a model, or leaves it to a server."""
        return not self.script

    @property
    def runs_anywhere(self) -> bool:
        """False for a backend that imitates a model; one that a server runs is run."""
        return self.runs_model or bool(self.served)

    @property
    def first_precision(self) -> str:
        """The precision that represents the backend, in `doctor` and in tests."""
        return next(iter(self.precisions))

    @property
    def engine_precisions(self) -> tuple[str, ...]:
        """The precisions that run a built engine."""
        return self._of_kind("engine")

    @property
    def graph_precisions(self) -> tuple[str, ...]:
        """The precisions that run an .onnx file as it is."""
        return self._of_kind("graph")

    @property
    def halves(self) -> tuple[str, ...]:
        """Its 16-bit precisions, which a request for fp16 may fall back to."""
        return tuple(name for name in _SIXTEEN_BITS if name in self.precisions)

    def _of_kind(self, kind: PrecisionKind) -> tuple[str, ...]:
        return tuple(name for name, found in self.precisions.items() if found == kind)
