"""What a checkpoint says of its training: README.md next to the weights, as `training.distill` and `prune` write it.

Only a card with the line of the data that it was trained on counts: any other README says nothing of a training here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foundation import bounded_readers
from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError
from foundation.foreign_text import printable

_TRAINED_ON = "trained on"
# Of the card's lines, those that measurements.json repeats.
_REPEATED = ("student", "started from", "teacher", _TRAINED_ON, "epochs")


@dataclass(frozen=True)
class ModelCard:
    """A card's title and its lines."""

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def training(self) -> str:
        """How the model was trained, on one line."""
        return "; ".join([self.title, *(f"{name} {self.facts[name]}" for name in _REPEATED if name in self.facts)])


def read(folder: Path) -> ModelCard | None:
    """The card in a checkpoint's directory; None if there is none of a training."""
    try:
        text = bounded_readers.read_text(folder / "README.md", SETTINGS_BYTES)
    except UnreadableError:
        return None
    lines = [printable(line) for line in text.splitlines()]
    title = next((line.removeprefix("# ") for line in lines if line.startswith("# ")), folder.name)
    pairs = (line.removeprefix("* ").partition(": ") for line in lines if line.startswith("* "))
    facts = {name: value for name, _, value in pairs if value}
    return ModelCard(title, facts) if _TRAINED_ON in facts else None
