"""Whether a model and its data belong together: everything that indexes a table of the model, against the table.

An engine need not notice an index beyond a table: one reads foreign memory, one takes zeros. So this is checked once,
before anything runs, for the data of a run and for those of a calibration, whatever the engine.
"""

from __future__ import annotations

from backends.bert.model import Model
from backends.errors import BackendError
from qsl.base import Features
from qsl.wordpiece import WordPiece

# A published model's embedding table may be padded to a round number of rows, by fewer than this many.
_SPARE_VOCABULARY = 128


def check(model: Model, vocabulary: WordPiece, features: Features) -> None:
    """Check the ids, token types and lengths of `features`, and the vocabulary that they were made with.

    Raises:
        BackendError: the model has no row for one of them, or another vocabulary.
    """
    check_vocabulary(model, vocabulary)
    check_types(model, int(features.token_type_ids.max(initial=0)) + 1)
    _check_ids(model, vocabulary, int(features.input_ids.max(initial=0)))
    _check_length(model, int(features.lengths.max()))


def check_vocabulary(model: Model, vocabulary: WordPiece) -> None:
    """Raises BackendError if the size of the table of words shows that the model has another vocabulary."""
    rows, tokens = model.tables.words, len(vocabulary)
    if rows is None or (model.is_random and tokens <= rows):
        return
    if tokens > rows or rows - tokens >= _SPARE_VOCABULARY:
        raise BackendError(
            f"expected the vocabulary that {model.spec} was trained with, about {rows} tokens; "
            f"found {tokens} in {vocabulary.path}. Type --vocab FILE with the model's own."
        )


def check_types(model: Model, types: int) -> None:
    """Raises BackendError if the model has fewer than `types` token types."""
    rows = model.tables.types
    if rows is not None and types > rows:
        raise BackendError(
            f"expected a model with {types} token types, as the data have, found {model.spec} with {rows} "
            f"(type_vocab_size). Type another --model."
        )


def _check_ids(model: Model, vocabulary: WordPiece, highest: int) -> None:
    rows = model.tables.words
    if rows is not None and highest >= rows:
        raise BackendError(
            f"expected token ids below {rows}, the rows of {model.spec}, found {highest} ({vocabulary.path}). "
            f"Type --vocab FILE with the model's own."
        )


def _check_length(model: Model, longest: int) -> None:
    most = model.most_tokens
    if most is not None and longest > most:
        raise BackendError(
            f"expected a model for samples of {longest} tokens, found {model.spec} for up to {most}. "
            f"Type another --model."
        )
