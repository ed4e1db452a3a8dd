"""The files of a WordPiece tokenizer: vocab.txt or tokenizer.json, and the files next to it that state its text rules.

Whether a model is cased is a property of its vocabulary, so it is read where the vocabulary is: from
tokenizer_config.json, else from tokenizer.json. Google's archives have neither; there the tokens themselves show it,
because an uncased vocabulary has no capital letters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from foundation import file_kinds
from foundation.bounded_readers import UnreadableError, parse_json
from foundation.typed_json import decode
from qsl.base import DatasetError
from qsl.data_file import DataFile

KIND = "a WordPiece vocabulary (UTF-8 text, one token per line, or tokenizer.json)"
VOCABULARIES = ("vocab.txt", "tokenizer.json")  # in a model's directory, the first that exists
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_CHARS_PER_WORD = 100
SETTINGS = _CONFIG, _TOKENIZER = "tokenizer_config.json", "tokenizer.json"  # next to a vocabulary
_THEIR_KIND = "the settings of a WordPiece tokenizer"
_CASED_SHARE = 0.01  # of a vocabulary's tokens: with more capitals, it is that of a cased model
# Classes of transformers with BERT's tokens; the general ones say in tokenizer.json what they are.
_WORDPIECE = ("Bert", "DistilBert", "Electra", "MobileBert", "SqueezeBert", "ConvBert", "RetriBert", "DPRReader")
_CLASSES = {f"{name}Tokenizer{fast}" for name in _WORDPIECE for fast in ("", "Fast")}
_CLASSES |= {"PreTrainedTokenizerFast", "TokenizersBackend", "BertWordPieceTokenizer"}
T = TypeVar("T")


@dataclass(frozen=True)
class TextRules:
    """What happens to text before it is split into word pieces; the defaults are those of an uncased BERT."""

    lowercase: bool = True
    strip_accents: bool = True
    split_chinese: bool = True  # each Chinese character is a word
    dropped: str | tuple[str, ...] = "C"  # Unicode categories, or their first letters, of characters that are dropped


@dataclass(frozen=True)
class _Content:
    content: str


@dataclass(frozen=True, kw_only=True)
class _Config:
    """The keys of tokenizer_config.json that determine tokens."""

    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    do_basic_tokenize: bool | None = None
    tokenizer_class: str | None = None
    added_tokens_decoder: Mapping[str, _Content] | None = None


@dataclass(frozen=True, kw_only=True)
class _Normalizer:
    type: str
    lowercase: bool | None = None
    strip_accents: bool | None = None
    handle_chinese_chars: bool | None = None
    clean_text: bool | None = None


@dataclass(frozen=True)
class _PreTokenizer:
    type: str


@dataclass(frozen=True, kw_only=True)
class _WordPiece:
    vocab: Mapping[str, int]
    type: str = "WordPiece"  # early files do not have the key
    unk_token: str = "[UNK]"  # noqa: S105 - a token of text
    continuing_subword_prefix: str = "##"
    max_input_chars_per_word: int = MAX_CHARS_PER_WORD


@dataclass(frozen=True)
class _Added:
    content: str
    id: int


@dataclass(frozen=True, kw_only=True)
class _Tokenizer:
    """The keys of tokenizer.json that determine tokens."""

    model: _WordPiece
    normalizer: _Normalizer | None = None
    pre_tokenizer: _PreTokenizer | None = None
    added_tokens: tuple[_Added, ...] = field(default=())


@dataclass(frozen=True)
class Vocabulary:
    """What the files of a tokenizer hold."""

    tokens: list[str]  # by id
    rules: TextRules
    stated_in: tuple[DataFile, ...]  # the files next to the vocabulary that were read for its rules


def read(file: DataFile) -> Vocabulary:
    """The vocabulary in `file`.

    Raises:
        DatasetError: it is not a vocabulary, or that of another kind of tokenizer.
    """
    is_json = file.path.suffix == ".json" or file.content.startswith(b"{")
    own = _parsed(_Tokenizer, file.content, file.path) if is_json else None
    tokens = _lines(file) if own is None else _tokens(own, file.path)
    nearby = {name: DataFile(file.path.with_name(name), _THEIR_KIND, "--vocab") for name in SETTINGS}
    config = _nearby(_Config, nearby[_CONFIG])
    _check_config(config or _Config(), tokens, nearby[_CONFIG].path)
    is_stated = own or (config and config.do_lower_case is not None)
    other = None if is_stated else _nearby(_Tokenizer, nearby[_TOKENIZER])
    states, path = (own, file.path) if own else (other, nearby[_TOKENIZER].path)
    normalizer = _normalizer(states, path) if states else None
    found = {_CONFIG: config, _TOKENIZER: other}
    stated_in = tuple(nearby[name] for name, content in found.items() if content)
    return Vocabulary(tokens, _rules(config or _Config(), normalizer, tokens), stated_in)


def _rules(config: _Config, normalizer: _Normalizer | None, tokens: list[str]) -> TextRules:
    """What the configuration says counts, then what the normalizer says: as in transformers."""
    stated = normalizer or _Normalizer(type="")
    lowercase = _first(config.do_lower_case, stated.lowercase, not _is_cased(tokens))
    return TextRules(
        lowercase=lowercase,
        strip_accents=_first(config.strip_accents, stated.strip_accents, lowercase),
        split_chinese=_first(config.tokenize_chinese_chars, stated.handle_chinese_chars, True),
    )


def _first(*values: bool | None) -> bool:
    return next(value for value in values if value is not None)


def _is_cased(tokens: list[str]) -> bool:
    capitals = sum(token != token.lower() and token not in SPECIAL for token in tokens)
    return capitals > _CASED_SHARE * len(tokens)


def _lines(file: DataFile) -> list[str]:
    if impostor := file_kinds.of(file.content):
        raise _unusable(file.path, impostor)
    try:
        lines = file.content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise _unusable(file.path, str(error)) from error
    return lines[:-1] if not lines[-1] else lines


def _tokens(tokenizer: _Tokenizer, path: Path) -> list[str]:
    """The tokens by id: those of the model, and special ones that were added after them."""
    model = tokenizer.model
    found = (model.type, model.unk_token, model.continuing_subword_prefix, model.max_input_chars_per_word)
    if found != ("WordPiece", "[UNK]", "##", MAX_CHARS_PER_WORD):
        raise _unusable(path, f"a tokenizer with {', '.join(map(str, found))}")
    added = {one.content: one.id for one in tokenizer.added_tokens}
    _check_added(added, model.vocab, path)
    by_id = {number: token for token, number in (dict(model.vocab) | added).items()}
    if sorted(by_id) != list(range(len(by_id))):
        raise _unusable(
            path, f"{len(by_id)} tokens with ids from {min(by_id)} to {max(by_id)}" if by_id else "no tokens"
        )
    return [by_id[number] for number in range(len(by_id))]


def _normalizer(tokenizer: _Tokenizer, path: Path) -> _Normalizer | None:
    """Its normalizer; None for a tokenizer of another kind, which does not belong to the vocabulary next to it."""
    if tokenizer.model.type != "WordPiece":
        return None
    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer
    kinds = [one.type if one else "none" for one in (normalizer, splitter)]
    if kinds != ["BertNormalizer", "BertPreTokenizer"] or (normalizer and normalizer.clean_text is False):
        raise _unusable(path, f"a tokenizer with normalizer {kinds[0]} and pre_tokenizer {kinds[1]}, not BERT's")
    return normalizer


def _check_config(config: _Config, tokens: list[str], path: Path) -> None:
    if config.tokenizer_class and config.tokenizer_class not in _CLASSES:
        raise _unusable(path, f"tokenizer_class {config.tokenizer_class}")
    if config.do_basic_tokenize is False:
        raise _unusable(path, "do_basic_tokenize false")
    _check_added((one.content for one in (config.added_tokens_decoder or {}).values()), tokens, path)


def _check_added(added: Iterable[str], tokens: Collection[str], path: Path) -> None:
    """Raises DatasetError for tokens that are added to a vocabulary: text is split at them before anything else."""
    others = sorted(set(added).difference(SPECIAL, tokens))
    if others:
        raise _unusable(path, f"tokens that were added to the vocabulary, such as {others[0]!a}")


def _nearby(kind: type[T], file: DataFile) -> T | None:
    """The settings in a file next to the vocabulary; None if there is no such file."""
    try:
        return decode(kind, parse_json(file.content)) if file.path.exists() else None
    except UnreadableError as error:
        raise DatasetError(
            f"expected {_THEIR_KIND} in {file.path}, which say whether the model is cased, found: {error}. "
            f"Fetch or copy it again, or name a vocabulary in another directory with --vocab FILE."
        ) from error


def _parsed(kind: type[T], content: bytes, path: Path) -> T:
    try:
        return decode(kind, parse_json(content))
    except UnreadableError as error:
        raise _unusable(path, str(error)) from error


def _unusable(path: Path, found: str) -> DatasetError:
    return DatasetError(f"expected {KIND} at {path}, found {found}. Name the model's own with --vocab FILE.")
