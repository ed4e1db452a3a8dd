"""Models to measure: a pre-trained BERT, fine-tuned on one half of the questions of a SQuAD file, for the other half.

From each one that is fine-tuned others can be made: trained on in int8's arithmetic, or pruned. Each seed divides the
file again and gives two models of a kind, so each question is answered once a seed, by a model that was not trained on
it. Finished models are kept, and a training that was interrupted goes on from its checkpoint.
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

FINE_TUNED = "fine-tuned"
HALVES = tuple(Path(name).stem for name in squad_halves.NAMES)
# One evaluation, at the end: the weights that score best on the questions to measure would flatter fp32 alone.
_COMMON = ("--batch", "16", "--evaluations", "1")
_FINE_TUNING = ("--epochs", "10", "--rate", "1e-4")
_TAUGHT = ("--spans", "0", "--relations", "0", "--states", "1", "--dropout", "0")  # by the fine-tuned model alone


@dataclass(frozen=True)
class Recipe:
    """How a model is made from a fine-tuned one."""

    module: str
    models: tuple[str, ...]  # flags that get the fine-tuned model
    flags: tuple[str, ...]


# Less than all steps in int8, so that the start, which is not, is not kept.
RECIPES = {
    "qat": Recipe(
        "training.distill",
        ("--teacher", "--student", "--init"),
        (*_TAUGHT, *("--epochs=3", "--rate=2e-5", "--qat=0.9")),
    ),
    "pruned": Recipe("training.prune", ("--model",), ("--sparsity=0.8", "--epochs=10", "--rate=1e-4", "--qat=0.2")),
}


@dataclass(frozen=True)
class Fold:
    """A model, the half that it was trained on, and the half to test it on."""

    model: Path
    trained_on: Path
    tested_on: Path
    made_by: str = FINE_TUNED

    @property
    def weights(self) -> Path:
        return self.model / "model.safetensors"

    def data(self, cache_dir: Path) -> SquadDataSet:
        """The half to test on."""
        return SquadDataSet(
            DataFile(self.tested_on, SquadDataSet.kind, "--dataset"), self.model / "vocab.txt", cache_dir
        )


def made(
    model: Path,
    dataset: Path,
    seeds: Sequence[int],
    halves: Sequence[str],
    folder: Path,
    threads: int,
    recipes: Sequence[str] = (),
    precision: str = "fp32",
) -> Iterator[Fold]:
    """The models of each seed, as they are trained.

    Args:
        model: a pre-trained BERT in Hugging Face's form.
        dataset: a SQuAD v1.1 file with answers.
        halves: those to train on, of HALVES.
        precision: to fine-tune in; the recipes train in fp32.
        recipes: of RECIPES; each makes another model from each one that is fine-tuned.

    Raises:
        DatasetError, RunFailedError: a file cannot be used, or a training failed.
    """
    for seed in seeds:
        at = folder / f"{precision}-seed-{seed}"
        both = squad_halves.write(dataset, seed, at)
        for trained_on, tested_on in (both, both[::-1]):
            if trained_on.stem not in halves:
                continue
            fold = Fold(at / f"trained-on-{trained_on.stem}", trained_on, tested_on)
            tuning = ("--model", model, *_FINE_TUNING, "--precision", precision)
            _trained(fold, "training.finetune", tuning, seed, threads)
            yield fold
            for name in recipes:
                recipe = RECIPES[name]
                one = Fold(fold.model.with_name(f"{fold.model.name}-{name}"), trained_on, tested_on, name)
                models = [word for flag in recipe.models for word in (flag, fold.model)]
                _trained(one, recipe.module, (*models, *recipe.flags), seed, threads)
                yield one


def _trained(fold: Fold, module: str, flags: Sequence[str | Path], seed: int, threads: int) -> None:
    """Train the model of a fold, unless it is there."""
    if fold.weights.is_file():
        return
    print(f"training {fold.model}", file=sys.stderr, flush=True)
    files = ("--train", fold.trained_on, "--dev", fold.tested_on, "--output", fold.model)
    run = ("--run-dir", fold.model.with_name(f"{fold.model.name}-run"), "--seed", seed, "--threads", threads)
    command = [sys.executable, "-m", module, *map(str, (*flags, *files, *run)), *_COMMON]
    if code := subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise RunFailedError(f"expected a model in {fold.model}, found that its training ended with exit code {code}.")
