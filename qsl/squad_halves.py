"""Divides the questions of a SQuAD file in two halves by chance: one to train on, the other to test on.

Questions are divided, not passages, so a model is tested on passages that it has read with other questions. That makes
little data go far, and it is no estimate of how a model does on new passages.

    python -m qsl halve --dataset dev-v1.1.json --seed 1 --output halves
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from foundation import atomic_write
from qsl.data_file import DataFile
from qsl.squad_examples import KIND, read_records

NAMES = ("first.json", "second.json")


def write(dataset: Path, seed: int, folder: Path) -> tuple[Path, Path]:
    """Write both halves, one record per question in the file's order; returns their paths.

    Raises:
        DatasetError: the file cannot be used.
        OSError: they cannot be written.
    """
    records = read_records(DataFile(dataset, KIND, "--dataset"))
    chance = random.Random(seed)  # noqa: S311 - a division, not a secret
    first = set(chance.sample(range(len(records)), len(records) // 2))
    halves = [[one for index, one in enumerate(records) if (index in first) == chosen] for chosen in (True, False)]
    paths = folder / NAMES[0], folder / NAMES[1]
    folder.mkdir(parents=True, exist_ok=True)
    for path, half in zip(paths, halves, strict=True):
        atomic_write.write_text(path, json.dumps(half, ensure_ascii=False) + "\n")
    return paths
