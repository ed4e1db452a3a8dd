"""Runs the reference's create_pretraining_data, which the user has, for `benchmarks.pretraining_data`.

The script needs TensorFlow for flags, logging and files only: four small modules stand in for it, absl and six. Its
functions run as they are; what it writes is left out, and the clock with it.

    python -m benchmarks.pretraining_reference DIRECTORY TEXT VOCABULARY '{"max_seq_length": 128, ...}'
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from random import Random
from types import ModuleType
from typing import IO, Any

from foundation import program
from training.shards.fingerprint import fingerprint
from training.shards.instances import Row, from_rows


class _Flags(ModuleType):
    """Flags with their defaults: `DEFINE_integer("name", default, help)` makes `FLAGS.name`."""

    def __init__(self) -> None:
        super().__init__("flags")
        self.FLAGS = ModuleType("FLAGS")

    def __getattr__(self, name: str) -> Any:
        return lambda flag, default, _: setattr(self.FLAGS, flag, default)


def _open(path: str, mode: str) -> IO[Any]:
    return Path(path).open(mode, encoding="utf-8", newline="\n")


def stand_in() -> None:
    """Put the modules where the reference imports them."""
    flags, tensorflow = _Flags(), ModuleType("tensorflow")
    gfile = ModuleType("gfile")
    vars(gfile).update(GFile=_open)
    vars(tensorflow).update(flags=flags, gfile=gfile)
    absl, six, compat = (ModuleType(name) for name in ("absl", "six", "tensorflow.compat"))
    vars(absl).update(flags=flags)
    vars(six).update(PY3=True, PY2=False)
    vars(compat).update(v1=tensorflow)
    vars(tensorflow).update(compat=compat)
    named = {"tensorflow": tensorflow, "tensorflow.compat": compat, "tensorflow.compat.v1": tensorflow}
    sys.modules.update(named | {"absl": absl, "six": six})


def main() -> None:
    directory, text, vocabulary, recipe = sys.argv[1:]
    given = json.loads(recipe)
    stand_in()
    sys.path.insert(0, directory)
    import create_pretraining_data as reference  # type: ignore[import-not-found]  # the user's
    import tokenization  # type: ignore[import-not-found]  # the user's

    tokenizer = tokenization.FullTokenizer(vocabulary, given.pop("do_lower_case"))
    rng = Random(given.pop("seed"))  # noqa: S311 - as the reference does
    started = time.process_time()
    found = reference.create_training_instances([text], tokenizer, rng=rng, **given)
    seconds = time.process_time() - started
    instances = from_rows(_row(one, tokenizer) for one in found)
    print(json.dumps({"seconds": seconds, "instances": len(found), "sha256": fingerprint(instances)}))


def _row(one: Any, tokenizer: Any) -> Row:
    ids = tokenizer.convert_tokens_to_ids
    labels = ids(one.masked_lm_labels)
    return Row(ids(one.tokens), list(one.segment_ids), list(one.masked_lm_positions), labels, int(one.is_random_next))


if __name__ == "__main__":
    sys.exit(program.run(main))
