"""What LoadGen's steps run: engines of random bytes, written without calibration, and sets of samples by length.

    python -m benchmarks.gpu_first_run.inputs fp8 --work DIR        # or int8, or lengths

Calibrating an engine for random weights takes minutes and changes no kernel. The engine says that it is of the weights
of `random:GEOMETRY`, so that a run accepts it; its answers mean nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from backends.bert import checkpoints
from backends.bert.architectures import require_bert
from backends.bert.checkpoints import find_model
from backends.gpu import engine
from benchmarks import length_matched
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_first_run import workload
from benchmarks.sut_runs import BenchmarkData
from foundation import program
from qsl import squad
from sut.fetch import resolve as asset_paths

LENGTHS = "lengths"
SAMPLES, PADDED, _DRY_SAMPLES = 8192, 2048, 16  # PADDED: for peers that pad
TINY = "random:bert-tiny"


def engine_of(work: Path, model: str, precision: str) -> Path:
    """Where the engine of a model and a precision is."""
    return work / "engines" / f"{model.replace(':', '-')}-{precision}"


def data(work: Path, model: str, samples: int) -> BenchmarkData:
    """A set of `samples` samples, which may not be written yet."""
    cache_dir = work / "cache"
    vocab = asset_paths.demo_model() / "vocab.txt"
    return BenchmarkData(model, work / f"lengths-{samples}.json", vocab, cache_dir, samples)


def main(argv: Sequence[str] | None = None) -> int:
    options = rigs.options(__doc__, argv, "what")
    if options.what == LENGTHS:
        for samples in (_DRY_SAMPLES,) if options.dry_run else (SAMPLES, PADDED):
            _write_lengths(data(options.work, "", samples))
        return 0
    spec = TINY if options.dry_run else f"random:{options.geometry}"
    model = find_model(spec)
    assert model.config is not None
    settings = {"model": spec, "weights_sha256": checkpoints.digest(model), "precision": options.what}
    directory = engine_of(options.work, spec, options.what)
    directory.parent.mkdir(parents=True, exist_ok=True)
    if not engine.FORMAT.is_complete(directory):
        engine.write(
            directory,
            workload.random_engine(require_bert(model.config, "benchmarks.gpu_first_run"), options.what, settings),
        )
    engine.read(directory)  # as a run does
    print(directory)
    return 0


def _write_lengths(to: BenchmarkData) -> None:
    """The set, and its features in the cache."""
    to.cache_dir.mkdir(parents=True, exist_ok=True)
    if not to.dataset.is_file():
        length_matched.write(to.dataset, to.vocab, sorted(length_matched.squad_lengths(to.samples)))
    features = squad.load(to.dataset, to.vocab, to.cache_dir).features
    print(f"{len(features)} samples of {features.lengths.mean():.1f} tokens, at most {features.lengths.max()}")


if __name__ == "__main__":
    sys.exit(program.run(main))
