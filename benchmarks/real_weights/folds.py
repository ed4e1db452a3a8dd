"""Models to measure: a pre-trained BERT, fine-tuned on one half of the questions of a SQuAD file, for the other half.

Each seed divides the file again and gives two models, so that each question is answered once a seed, by a model that
was not trained on it. Finished models are kept, and a training that was interrupted goes on from its checkpoint.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qsl import squad_halves
from qsl.data_file import DataFile
from qsl.squad import SquadDataSet
from sut.errors import RunFailedError

HALVES = tuple(Path(name).stem for name in squad_halves.NAMES)
# One evaluation, at the end: the weights that score best on the questions to measure would flatter fp32 alone.
RECIPE = ("--epochs", "10", "--rate", "1e-4", "--batch", "16", "--evaluations", "1", "--precision", "bf16")


@dataclass(frozen=True)
class Fold:
    """A fine-tuned model, the half that it was trained on, and the half to test it on."""

    model: Path
    trained_on: Path
    tested_on: Path

    @property
    def weights(self) -> Path:
        return self.model / "model.safetensors"

    def data(self, cache_dir: Path) -> SquadDataSet:
        """The half to test on."""
        return SquadDataSet(
            DataFile(self.tested_on, SquadDataSet.kind, "--dataset"), self.model / "vocab.txt", cache_dir
        )


def made(
    model: Path, dataset: Path, seeds: Sequence[int], halves: Sequence[str], folder: Path, threads: int
) -> Iterator[Fold]:
    """The models of each seed, as they are trained.

    Args:
        model: a pre-trained BERT in Hugging Face's form.
        dataset: a SQuAD v1.1 file with answers.
        halves: those to train on, of HALVES.

    Raises:
        DatasetError, RunFailedError: a file cannot be used, or a training failed.
    """
    for seed in seeds:
        at = folder / f"seed-{seed}"
        both = squad_halves.write(dataset, seed, at)
        for trained_on, tested_on in (both, both[::-1]):
            fold = Fold(at / f"trained-on-{trained_on.stem}", trained_on, tested_on)
            if trained_on.stem not in halves:
                continue
            if not fold.weights.is_file():
                _train(model, fold, seed, threads)
            yield fold


def _train(model: Path, fold: Fold, seed: int, threads: int) -> None:
    print(f"training {fold.model}", file=sys.stderr, flush=True)
    files = ("--model", model, "--train", fold.trained_on, "--dev", fold.tested_on, "--output", fold.model)
    run = ("--run-dir", fold.model.with_name(f"{fold.model.name}-run"), "--seed", seed, "--threads", threads)
    command = [sys.executable, "-m", "training.finetune", *map(str, (*files, *run)), *RECIPE]
    if code := subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise RunFailedError(f"expected a model in {fold.model}, found that its training ended with exit code {code}.")
