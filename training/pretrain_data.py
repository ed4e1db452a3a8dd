"""Makes pre-training data of texts, bit-equal to MLPerf's create_pretraining_data with the same numbers.

    python -m training.pretrain_data TEXT… --vocab FILE --output DIR
    python -m training.pretrain_data demo FILE                  a text: generated passages
    python -m training.pretrain_data describe PATH              what it holds, its sha256
    python -m training.pretrain_data convert PATH --output DIR  in another form

A text has one sentence a line and a blank line between articles; each is a part with random numbers of its own. Texts
may be compressed (gzip, bzip2, xz). WikiExtractor's output, JSON lines with "text" and, with --split-sentences, texts
with a paragraph a line are split into sentences first.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from foundation import atomic_write, installation, native_library, program
from foundation.errors import VALID, UserError
from foundation.help_formatter import HelpFormatter
from foundation.people_numbers import count
from foundation.suggest import did_you_mean
from qsl import demo
from sut.machine import facts
from training.shards import commands, evaluation_set
from training.shards.conversion import WRITERS
from training.text import engine, generated, held_out, making
from training.text.errors import TextError
from training.text.making import Made, Plan
from training.text.part_file import Evaluation
from training.text.progress import PartsProgress
from training.text.recipe import SEED, Recipe

PROGRAM = "python -m training.pretrain_data"
PASSAGES, MOST_PASSAGES = 4000, 1 << 20
SLOWER = f"note: plain Python runs, 20 times slower than C++. Type: {installation.build_again()}"
MOST_PARTS = MOST_PROCESSES = 1 << 16


def main(words: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    first = words[0] if words else ""
    command = COMMANDS.get(first)
    try:
        if command is None and not Path(first).exists() and (hint := did_you_mean(first, COMMANDS, 0.8)):
            raise TextError(f"expected a text, or one of {', '.join(COMMANDS)}, found {first}.{hint}")
        return command(words[1:]) if command else make(words)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def make(words: Sequence[str]) -> int:
    """Instances of texts."""
    given = _parser().parse_args(words)
    plan = _plan(given)
    processes = _number(given, "processes", MOST_PROCESSES) or facts.cores()
    if engine.fastest() is engine.PYTHON and not native_library.refused:  # which has said so
        print(SLOWER, file=sys.stderr)
    with PartsProgress() as progress:
        made = making.make(plan, processes, progress)
    for one in made:
        print(_summary(one))
    return VALID


def write_demo(words: Sequence[str]) -> int:
    """`demo FILE`: the generated passages as a text."""
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} demo", description=generated.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--passages", type=int, default=PASSAGES, help=f"default: {PASSAGES:,}")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--split", choices=sorted(demo.SPLITS), default="train", help="default: train")
    given = parser.parse_args(words)
    passages = _number(given, "passages", MOST_PASSAGES) or PASSAGES
    try:
        given.file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write.write_text(given.file, generated.text(given.split, given.seed, passages))
    except OSError as error:
        raise TextError(f"expected to write {given.file}, found: {error}. Type another path.") from error
    print(f"{given.file}: {count(passages, 'passage')}")
    return VALID


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "demo": write_demo,
    "describe": commands.describe_command,
    "convert": commands.convert_command,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__, formatter_class=HelpFormatter)
    add = parser.add_argument
    add("texts", nargs="+", type=Path, metavar="TEXT")
    add("--vocab", type=Path, required=True, metavar="FILE", help="vocab.txt or tokenizer.json of the model")
    add("--output", type=Path, required=True, metavar="DIR", help="a new directory, or an empty one")
    _add_recipe(parser.add_argument_group("instances", "the reference's numbers"), Recipe())
    case = parser.add_mutually_exclusive_group()
    case.add_argument("--cased", dest="is_cased", action="store_true", default=None, help="case and accents count")
    case.add_argument("--uncased", dest="is_cased", action="store_false", help="default: as the vocabulary says")
    add("--parts", type=int, metavar="N", help="cut the texts into N parts of equal size; default: a part a text")
    add("--processes", type=int, metavar="N", help="default: one a core; the result is the same for any number")
    add("--format", choices=WRITERS, default="mapped", help="default: mapped, our own")
    add("--split-sentences", action="store_true", help="a line of the texts is a paragraph, not a sentence")
    add("--language", metavar="CODE", default="en", help="of the sentences that are split; default: en")
    add("--learn-vocab", type=int, metavar="SIZE", help="learn the vocabulary from the texts and write it to --vocab")
    add("--evaluation-output", type=Path, metavar="DIR", help="hold articles out, and make evaluation samples of them")
    add("--eval-articles", type=int, metavar="N", help=f"that are held out; default: {held_out.ARTICLES:,}")
    add("--eval-samples", type=int, metavar="N", help=f"at most; default: {evaluation_set.SAMPLES:,}")
    add(
        "--eval-definition",
        choices=evaluation_set.DEFINITIONS,
        default="reference",
        help="evenly spread, or the first",
    )
    return parser


def _add_recipe(group: argparse._ArgumentGroup, recipe: Recipe) -> None:
    for flag, kind, default in (
        ("--max-seq-length", int, recipe.max_seq_length),
        ("--max-predictions", int, recipe.max_predictions),
        ("--dupe-factor", int, recipe.dupe_factor),
        ("--seed", int, SEED),
        ("--short-seq-prob", float, recipe.short_seq_prob),
        ("--masked-lm-prob", float, recipe.masked_lm_prob),
    ):
        metavar = "N" if kind is int else "P"
        group.add_argument(flag, type=kind, default=default, metavar=metavar, help=f"default: {default}")


def _plan(given: argparse.Namespace) -> Plan:
    """Raises TextError for numbers that are impossible, and flags that do not go together."""
    learned_size = _number(given, "learn_vocab", 1 << 20)
    if given.format == "hdf5" and importlib.util.find_spec("h5py") is None:
        raise TextError("expected h5py, which writes HDF5, found it not installed. Type: pip install h5py")
    if learned_size and given.is_cased:
        raise TextError("expected --learn-vocab without --cased, found both: it learns uncased vocabularies.")
    if learned_size and given.vocab.exists():
        raise TextError(f"expected no file at {given.vocab}, where the learned vocabulary goes. Type another --vocab.")
    if not learned_size and not given.vocab.exists():
        raise TextError(
            f"expected a vocabulary at {given.vocab}, found: No such file or directory. Type another --vocab FILE, or "
            "--learn-vocab 8000 to learn one from the texts and write it there."
        )
    if given.evaluation_output is None and (given.eval_articles or given.eval_samples):
        raise TextError("expected --evaluation-output DIR with --eval-articles and --eval-samples, found none.")
    return Plan(
        texts=given.texts,
        vocabulary=given.vocab,
        learned_size=learned_size,
        is_cased=given.is_cased,
        recipe=Recipe(**{name: getattr(given, name) for name in Recipe.__dataclass_fields__}),
        language=given.language if given.split_sentences else None,
        parts=_number(given, "parts", MOST_PARTS),
        output=given.output,
        form=given.format,
        evaluation=_evaluation(given),
    )


def _evaluation(given: argparse.Namespace) -> Evaluation | None:
    if given.evaluation_output is None:
        return None
    articles = _number(given, "eval_articles", 1 << 30) or held_out.ARTICLES
    return Evaluation(
        output=given.evaluation_output,
        articles=articles,
        samples=_number(given, "eval_samples", 1 << 30) or evaluation_set.SAMPLES,
        definition=given.eval_definition,
    )


def _number(given: argparse.Namespace, name: str, most: int) -> int | None:
    """A number of a flag that must be positive; None: it was not given."""
    found: int | None = getattr(given, name)
    if found is not None and not 1 <= found <= most:
        flag = f"--{name.replace('_', '-')}"
        raise TextError(f"expected {flag} from 1 to {most:,}, found {found}. Type: {flag} {min(most, 10)}")
    return found


def _summary(made: Made) -> str:
    number = count(made.instances, "instance")
    return f"{made.path}: {number} of {made.tokens / made.instances:.1f} tokens in {count(made.parts, 'part')}"


if __name__ == "__main__":
    sys.exit(program.run(lambda: main(sys.argv[1:])))
