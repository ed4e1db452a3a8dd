"""Quantization-aware training against calibration: the embedded demo in int8, from the same few samples.

Each seed draws windows of generated training questions. The demo is calibrated on them as for a run. `training.distill
--qat 1` starts from the same calibration and learns from the demo in fp32, over generated passages; it sees no
answers, and no weights are chosen by the development set. Both engines run in ONNX Runtime.

    python -m benchmarks.quantization_aware                      # five minutes of a core
    python -m benchmarks.quantization_aware --samples 2 --seeds 1 2 3 4
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

from backends.bert.checkpoints import find_model, read_weights
from backends.onnxruntime_cpu import graph as onnx_graph
from backends.quantization import calibration as post_training
from backends.quantization import qat_ranges
from backends.quantization.int8_model import QuantizedModel
from benchmarks import calibration
from benchmarks.calibration import CalibrationCase, Nearness
from benchmarks.cpu_report import Grid, show
from foundation import program, terminal
from foundation.errors import VALID
from qsl import demo, squad
from qsl.base import Features
from sut.fetch import resolve as asset_paths
from training import distill

CALIBRATED, TRAINED = "calibration", "the same, then training"
MANY = 500  # a run's calibration samples
_FLAGS = (
    *("--spans=0", "--logits=1", "--states=1", "--relations=0", "--dropout=0"),  # the teacher alone
    "--temperature=4",  # at a low one a sure answer's probability stays 1 where its logit is clipped
    *("--qat=1", "--rate=1e-4", "--batch=16", "--evaluations=1", "--threads=1"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One engine: how it was made, from how many samples of which draw, and how near to fp32 it is."""

    way: str
    samples: int
    seed: int
    found: Nearness


@dataclass(frozen=True)
class Passages:
    """Files of a folder: what is trained and calibrated on, and what the training itself scores."""

    folder: Path

    @property
    def train(self) -> Path:
        """Generated training questions."""
        return self.folder / "train.json"

    @property
    def other(self) -> Path:
        """Questions of another development set than the one that is compared on."""
        return self.folder / "other.json"

    def write(self, questions: int) -> None:
        """Write both."""
        demo.write(self.train, "train", seed=7, questions=max(questions, MANY))
        demo.write(self.other, "dev", seed=2, questions=20)

    def features(self) -> Features:
        """Those of the training file, as the training reads them."""
        return squad.load(self.train, asset_paths.demo_model() / "vocab.txt", None).features


def measure(
    case: CalibrationCase, passages: Passages, samples: Sequence[int], seeds: Sequence[int], questions: int
) -> Iterator[Row]:
    """Both ways of each seed and each number of samples; at the end calibration with `MANY`."""
    reference = calibration.infer(onnx_graph.build(case.config, case.tensors), case.trial)

    def row(way: str, count: int, seed: int, model: QuantizedModel) -> Row:
        found = calibration.compare(case, calibration.infer_int8(model, case.trial), reference)
        print(f"{way}, {count} samples, seed {seed}: {found}", file=sys.stderr, flush=True)
        return Row(way=way, samples=count, seed=seed, found=found)

    features = passages.features()
    for seed in seeds:
        for count in samples:
            yield row(CALIBRATED, count, seed, calibrated(case, features, count, seed))
            yield row(TRAINED, count, seed, trained(passages, count, seed, questions / len(features)))
    yield row(CALIBRATED, MANY, seeds[0], calibrated(case, features, MANY, seeds[0]))


def calibrated(case: CalibrationCase, features: Features, samples: int, seed: int) -> QuantizedModel:
    """The demo calibrated on what a training with this seed starts from."""
    from training.tasks.quantization_aware import calibration_samples

    batches = calibration_samples(features, samples, seed)
    return post_training.calibrate(case.config, case.tensors, batches, calibration.DEFAULT, 1)


def trained(passages: Passages, samples: int, seed: int, epochs: float) -> QuantizedModel:
    """The engine of the checkpoint that `training.distill` writes."""
    model, output = asset_paths.demo_model(), passages.folder / f"{samples}-{seed}"
    named = {"teacher": model, "student": model, "init": model, "train": passages.train, "dev": passages.other}
    named |= {"output": output, "run-dir": output / "run"}
    given = [f"--{name}={value}" for name, value in named.items()]
    own = (f"--qat-samples={samples}", f"--seed={seed}", f"--epochs={epochs}")
    with redirect_stdout(sys.stderr):  # the table alone goes to standard output
        code = distill.main([*given, *_FLAGS, *own])
    if code != VALID:
        raise SystemExit(code)
    return qat_ranges.quantize(read_weights(find_model(str(output))), {})


def grid(rows: Sequence[Row]) -> Grid:
    """A row for each way and number of samples: means over the seeds, with the lowest and the highest."""
    columns = ("samples", "int8 by", "error of the logits", "mean distance", "greatest", "fp32's answers, %", "F1")
    kinds = sorted({(one.samples, one.way) for one in rows}, key=lambda kind: (kind[0], kind[1] == TRAINED))
    cells = []
    for samples, way in kinds:
        found = [one.found for one in rows if (one.samples, one.way) == (samples, way)]
        errors = [one.error for one in found]
        error = f"{mean(errors):.4f} ({min(errors):.4f} – {max(errors):.4f})"
        cells.append((str(samples), way, error, *(f"{mean(map(value, found)):{form}}" for value, form in _MEANS)))
    return Grid("the embedded demo; means over the draws (lowest – highest)", columns, cells)


_MEANS: tuple[tuple[Callable[[Nearness], float], str], ...] = (
    (lambda one: one.mean, ".4f"),
    (lambda one: one.greatest, ".2f"),
    (lambda one: 100 * one.agree, ".2f"),
    (lambda one: one.score, ".2f"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quantization_aware",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--samples", nargs="+", type=int, default=(1, 4), help="to calibrate on (default: 1 4)")
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2), help="of the draws (default: 1 2)")
    parser.add_argument("--questions", type=int, default=640, help="to train on (default: %(default)s)")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        passages = Passages(Path(folder))
        passages.write(options.questions)
        case = calibration.demo_case(1)
        rows = list(measure(case, passages, options.samples, options.seeds, options.questions))
    show(grid(rows), terminal.console(), markdown=options.markdown)
    print(json.dumps({"questions": options.questions, "rows": [asdict(one) for one in rows]}))


if __name__ == "__main__":
    sys.exit(program.run(main))
