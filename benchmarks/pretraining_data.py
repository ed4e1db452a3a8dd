"""Pre-training data of a text: instances a CPU second, in C++, in plain Python, and by the reference's script.

The reference's script is the user's: a directory with create_pretraining_data.py and tokenization.py of
mlcommons/training. All make the same instances, and their fingerprints are compared; nothing is written, and reading
the vocabulary is not counted.

    python -m benchmarks.pretraining_data [--text FILE --vocab FILE] [--reference DIR]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from foundation import program
from training.shards.fingerprint import fingerprint
from training.text import engine, generated
from training.text.engine import NATIVE, PYTHON, Engine
from training.text.recipe import Recipe
from training.text.wordpiece import Tokenizer

PASSAGES = 2000
VOCABULARY = Path("assets/demo/vocab.txt")


@dataclass(frozen=True)
class Timing:
    """CPU seconds of the two steps, or of both together in `making`."""

    name: str
    reading: float | None
    making: float
    instances: int
    sha256: str

    @property
    def seconds(self) -> float:
        return (self.reading or 0.0) + self.making


def time_engine(one: Engine, text: Path, vocabulary: Path, recipe: Recipe) -> Timing:
    tokenizer, content = Tokenizer(vocabulary), text.read_bytes()
    one.encode(b"", tokenizer)  # C++ has its tables of the vocabulary then
    clocks = [time.process_time()]
    articles = one.encode(content, tokenizer)
    clocks.append(time.process_time())
    made = one.make(articles, tokenizer, recipe, Random(recipe.seed))  # noqa: S311 - as the reference does
    clocks.append(time.process_time())
    return Timing(one.name, clocks[1] - clocks[0], clocks[2] - clocks[1], len(made), fingerprint(made))


def time_reference(directory: Path, text: Path, vocabulary: Path, recipe: Recipe) -> Timing:
    numbers = asdict(recipe)
    numbers["max_predictions_per_seq"] = numbers.pop("max_predictions")
    numbers["do_lower_case"] = Tokenizer(vocabulary).rules.lowercase
    command = [sys.executable, "-m", "benchmarks.pretraining_reference", *map(str, (directory, text, vocabulary))]
    done = subprocess.run([*command, json.dumps(numbers)], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    return Timing("the reference's script", None, found["seconds"], found["instances"], found["sha256"])


def table(timings: list[Timing]) -> list[str]:
    """A row a way; the last column is the CPU time of the last row over this one's."""
    rows = [f"{'':24}{'reading':>10}{'making':>10}{'instances':>12}{'a CPU second':>14}{'ratio':>8}"]
    for one in timings:
        reading = "" if one.reading is None else f"{one.reading:.3f} s"
        per_second, ratio = one.instances / one.seconds, timings[-1].seconds / one.seconds
        rows.append(
            f"{one.name:24}{reading:>10}{one.making:>8.3f} s{one.instances:>12,}{per_second:>14,.0f}{ratio:>8.1f}"
        )
    return rows


def main() -> None:
    given = _options()
    recipe = Recipe(
        max_seq_length=given.max_seq_length, max_predictions=given.max_predictions, dupe_factor=given.dupe_factor
    )
    with tempfile.TemporaryDirectory() as folder:
        text: Path = given.text or Path(folder) / "passages.txt"
        if given.text is None:
            text.write_text(generated.text("train", 1, PASSAGES), encoding="utf-8")
        engines = [NATIVE, PYTHON] if engine.fastest() is NATIVE else [PYTHON]
        timings = [time_engine(one, text, given.vocab, recipe) for one in engines]
        if given.reference:
            timings.append(time_reference(given.reference, text, given.vocab, recipe))
        print(f"{text.stat().st_size:,} bytes of text, {recipe}")
    print("\n".join(table(timings)))
    if len({one.sha256 for one in timings}) > 1:
        sys.exit("error: the instances differ.")
    print(f"the same instances: {timings[0].sha256}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretraining_data", description=__doc__)
    parser.add_argument("--text", type=Path, help="default: generated passages")
    parser.add_argument("--vocab", type=Path, default=VOCABULARY)
    parser.add_argument("--reference", type=Path, metavar="DIR", help="of the reference's two scripts")
    parser.add_argument("--max-seq-length", type=int, default=512)
    parser.add_argument("--max-predictions", type=int, default=76)
    parser.add_argument("--dupe-factor", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(program.run(main))
