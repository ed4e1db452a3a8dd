"""The flags of the commands that train on a SQuAD v1.1 file, and the model that they name. It imports no PyTorch."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import replace
from pathlib import Path

from backends.bert.architectures import require_bert
from backends.bert.config import RANDOM_GEOMETRIES, BertConfig
from backends.bert.config_files import find_config, read_config
from backends.bert.heads import SPANS
from foundation.suggest import did_you_mean
from qsl import tokenizer_files
from qsl.data_file import DataFile
from sut.errors import UsageError
from training.tasks.recipe_flags import require_least

_SIZES = re.compile(r"l(\d{1,4})-h(\d{1,5})-a(\d{1,4})")
_MOST_LAYERS, _MOST_HIDDEN = 96, 16384


def add_flags(parser: argparse.ArgumentParser, *, epochs: float, rate: float, batch: int) -> None:
    """The flags of both commands, with a command's own defaults."""
    parser.add_argument("--train", type=Path, required=True, metavar="FILE", help="SQuAD v1.1, with answer_start")
    parser.add_argument("--dev", type=Path, required=True, metavar="FILE", help="SQuAD v1.1, scored on the way")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for the model with the best F1")
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="records and checkpoints; one with checkpoints is continued"
    )
    parser.add_argument("--vocab", type=Path, metavar="FILE", help="(default: the one of the given model)")
    parser.add_argument("--epochs", type=float, default=epochs, help="over the training file (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=rate, help="the highest learning rate (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=batch, help="windows of a step (default: %(default)s)")
    parser.add_argument("--dropout", type=float, default=0.1, help="(default: %(default)s)")
    parser.add_argument("--evaluations", type=int, default=5, help="on the way, evenly (default: %(default)s)")
    add_machine_flags(parser)


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """On what is trained, and how; a seed."""
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of products (default: fp32)")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: cuda where there is a GPU (default)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)


def _require_sound(options: argparse.Namespace) -> None:
    """Raise UsageError for a number that cannot be used."""
    require_least(options, {"batch": 1, "evaluations": 1})
    for name, highest in (("epochs", math.inf), ("rate", 1.0), ("dropout", 0.9)):
        found = getattr(options, name)
        if not (0 <= found <= highest and (found or name == "dropout")):
            raise UsageError(f"expected --{name} above 0 and at most {highest:g}, found {found:g}. Type another one.")


def geometry(name: str, vocabulary_size: int | None = None) -> BertConfig:
    """The geometry that `name` is: a preset or its own sizes, with a vocabulary's size, or a config.json's.

    Raises:
        UsageError, BackendError: there is none.
    """
    if name in RANDOM_GEOMETRIES:
        preset = RANDOM_GEOMETRIES[name]
        return replace(preset, vocab_size=vocabulary_size or preset.vocab_size)
    if sizes := _SIZES.fullmatch(name):
        layers, hidden, heads = map(int, sizes.groups())
        return _of_sizes(layers, hidden, heads, vocabulary_size)
    path = Path(name)
    found = (find_config(path) if path.is_dir() else read_config(path)) if path.exists() else None
    if found is None:
        raise UsageError(
            f"expected one of {', '.join(RANDOM_GEOMETRIES)}, sizes such as l4-h64-a4, or a config.json or the "
            f"directory of a model, found {name}.{did_you_mean(name, RANDOM_GEOMETRIES)}"
        )
    return replace(require_bert(found, "training"), head=SPANS)


def _of_sizes(layers: int, hidden: int, heads: int, vocabulary_size: int | None) -> BertConfig:
    """As BERT's published small models are: four inner channels for each of the hidden size."""
    if not (0 < layers <= _MOST_LAYERS and 0 < hidden <= _MOST_HIDDEN and heads) or hidden % heads:
        raise UsageError(
            f"expected 1 to {_MOST_LAYERS} layers and a hidden size up to {_MOST_HIDDEN} that the heads divide, found "
            f"l{layers}-h{hidden}-a{heads}. Type: l4-h64-a4"
        )
    return BertConfig(
        vocab_size=vocabulary_size or RANDOM_GEOMETRIES["bert-base"].vocab_size,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
    )


def opened(options: argparse.Namespace, model: Path) -> tuple[BertConfig, Path]:
    """The geometry of the model at `model`, and its vocabulary.

    Raises:
        UsageError, BackendError: a flag cannot be used, there is no such model, or the vocabulary does not fit it.
    """
    _require_sound(options)
    config, vocab = geometry(str(model)), _vocabulary_of(options.vocab, model)
    _require_vocabulary(vocab, config)
    return config, vocab


def _vocabulary_of(given: Path | None, model: Path) -> Path:
    """The vocabulary that was given, or the model's own. Raises UsageError."""
    path = given or model / "vocab.txt"
    if not path.is_file():
        raise UsageError(f"expected a vocabulary at {path}, found none. Type: --vocab FILE")
    return path


def _require_vocabulary(vocab: Path, config: BertConfig) -> None:
    """Raise UsageError for a vocabulary with more entries than the model."""
    count = len(tokenizer_files.read(DataFile(vocab, tokenizer_files.KIND, "--vocab")).tokens)
    if count > config.vocab_size:
        raise UsageError(
            f"expected a vocabulary of at most the model's {config.vocab_size:,} entries, found {count:,} in {vocab}. "
            "Type: --vocab, and the model's own."
        )
