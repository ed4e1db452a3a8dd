"""`describe` and `convert` of training.pretrain_data: what a data set holds, and the same in another form.

    python -m training.pretrain_data describe PATH
    python -m training.pretrain_data convert PATH --format hdf5 --shards 2048 --output DIR
    python -m training.pretrain_data convert PATH --evaluation reference --output DIR

`describe` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from foundation import terminal
from foundation.errors import VALID
from foundation.foreign_text import printable
from foundation.people_numbers import count, figure
from foundation.typed_json import encode
from training.shards import evaluation_set
from training.shards.conversion import WRITERS, convert
from training.shards.data_set import Progress
from training.shards.description import Description, describe
from training.shards.directory import open_instances

PROGRAM = "python -m training.pretrain_data"


def describe_command(words: Sequence[str]) -> int:
    """`describe PATH`: figures, then all of them as one line of JSON."""
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} describe", description="Read all of a data set and check it.")
    _add_source(parser)
    given = parser.parse_args(words)
    with _progress() as progress:
        found = describe(given.path, given.vocab_size, progress)
    print("\n".join(lines(found)))
    print(json.dumps(encode(found)))
    return VALID


def convert_command(words: Sequence[str]) -> int:
    """`convert PATH --output DIR`: a data set in another form, in other shards, or its evaluation samples."""
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} convert", description="Write a data set in another form.")
    _add_source(parser)
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="a new directory, or an empty one")
    add("--format", choices=WRITERS, default="mapped", help="default: mapped, our own")
    add("--shards", type=int, default=1, metavar="N", help="files of equal size; default: 1; FlagPerf's: 2048")
    add(
        "--evaluation", choices=evaluation_set.DEFINITIONS, help="evaluation samples alone: evenly spread, or the first"
    )
    add("--samples", type=int, default=evaluation_set.SAMPLES, metavar="N", help=f"default: {evaluation_set.SAMPLES:,}")
    given = parser.parse_args(words)
    source = open_instances(given.path, given.vocab_size)
    chosen = {"definition": given.evaluation, "samples": given.samples}
    with _progress() as progress:
        convert(source, given.output, given.format, given.shards, progress=progress, **chosen)
    number = given.samples if given.evaluation else len(source)
    print(f"{given.output}: {count(number, 'instance')} in {count(given.shards, 'shard')}, {given.format}")
    return VALID


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on a terminal; nothing elsewhere."""
    from rich.progress import Progress as Bar

    with Bar(console=terminal.console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("instances", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def lines(found: Description) -> list[str]:
    """The figures for a person."""
    made = {name: value for name, value in encode(found.metadata).items() if value is not None and name != "texts"}
    rows = {
        "form": f"{found.form}, {count(found.files, 'file')}",
        "instances": f"{found.instances:,}",
        "tokens": f"{found.tokens:,}; an instance has {figure(found.mean_length)}, at most {found.longest:,}",
        "padding": f"{found.padding_share:.1%} if padded to {max(found.max_seq_length, found.longest):,}",
        "masked": f"{found.masked:,}; {figure(found.masked_per_instance)} an instance",
        "random next": f"{found.random_next_share:.1%}",
        "largest id": f"{found.largest_id:,}",
        "made with": ", ".join(f"{name} {value}" for name, value in made.items()),
        "of texts": ", ".join(found.metadata.texts),
        "missing": ", ".join(found.missing),
        "sha256": found.sha256,
    }
    return [f"{name:12}{printable(value)}" for name, value in rows.items() if value]


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="a file, or a directory, of any form")
    parser.add_argument("--vocab-size", type=int, metavar="N", help="ids must be below it")
