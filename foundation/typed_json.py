"""JSON into dataclasses and back: every value is checked against its annotation, every error names its path.

The annotations are the schema: a dataclass is an object, a default makes its key optional, unknown keys are skipped, so
that a file of a newer or an older version can be read. What does not fit is an `UnreadableError` such as
"'four' instead of a whole number at config.threads", which the caller puts into a message of its own kind.

    decode(Point, {"x": 1, "y": 2})  ->  Point(x=1, y=2)
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from foundation.bounded_readers import UnreadableError

T = TypeVar("T")
UNLESS_NONE = {"unless_none": True}  # metadata of a field that has no key in JSON while it is None
NOT_STORED = {"not_stored": True}  # metadata of a field with a default that never has a key in JSON
OTHERS = {"others": True}  # metadata of a Mapping field: takes all keys that are not fields
_MOST_DEPTH = 32  # of a value annotated as `object`
_MOST_INT = 1 << 63
_SHOWN = 60  # characters of a wrong value
_NOTHING = object()


def decode(kind: type[T], value: object, at: str = "") -> T:
    """Convert `value`, as returned by `json.loads`, to a `kind`.

    Args:
        kind: a dataclass; bool, int, float, str, Path, datetime, None, object; Literal, `|`, tuple, list, Mapping.
        at: the path of `value`, for messages.

    Raises:
        UnreadableError: a key is missing, or a value is of another type, out of range, not finite or nested too deeply.
    """
    return cast(T, _decode(kind, value, at))


def encode(value: object) -> Any:
    """Convert to what `json.dumps` takes: dataclasses to dicts in the order of fields, paths and times to text."""
    if is_dataclass(value) and not isinstance(value, type):
        found: dict[str, Any] = {}
        for one in _stored(type(value)):
            inner = encode(getattr(value, one.name))
            if one.metadata == OTHERS:
                found |= inner
            elif inner is not None or one.metadata != UNLESS_NONE:
                found[one.name] = inner
        return found
    if isinstance(value, Mapping):
        return {str(key): encode(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [encode(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return str(value) if isinstance(value, Path) else value


def _decode(kind: Any, value: object, at: str) -> Any:
    origin = get_origin(kind) or kind
    if origin in (Union, types.UnionType):
        return _one_of(get_args(kind), value, at)
    if is_dataclass(kind):
        return _object(cast(type, kind), value, at)
    return _DECODERS[origin](get_args(kind), value, at)


def _wrong(value: object, expected: str, at: str) -> UnreadableError:
    words = "nothing" if value is _NOTHING else _short(value)
    return UnreadableError(f"{words} instead of {expected}" + (f" at {at}" if at else ""))


def _short(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    words = ascii(value) if not isinstance(value, int) or abs(value) < _MOST_INT else "a number beyond 64 bits"
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"


def _object(kind: type, value: object, at: str) -> object:
    if not isinstance(value, dict):
        raise _wrong(value, "an object", at)
    hints = _hints(kind)
    found = {}
    for one in _stored(kind):
        inner, path = value.get(one.name, _NOTHING), f"{at}.{one.name}" if at else one.name
        if one.metadata == OTHERS:
            inner, path = {name: value[name] for name in value if name not in hints}, at
        if inner is not _NOTHING or _is_required(one):
            found[one.name] = _decode(hints[one.name], inner, path)
    return kind(**found)


def _stored(kind: Any) -> Iterator[Field[Any]]:
    return (one for one in fields(kind) if one.metadata != NOT_STORED)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING and one.metadata != OTHERS


def _one_of(kinds: Sequence[Any], value: object, at: str) -> object:
    """Of several dataclasses the first with all its required keys present; of plain types the first
    that accepts it."""
    if isinstance(value, dict) and (objects := [kind for kind in kinds if is_dataclass(kind)]):
        needed = [{one.name for one in fields(kind) if _is_required(one)} for kind in objects]
        whole = [kind for kind, names in zip(objects, needed, strict=True) if names <= value.keys()]
        return _object(cast(type, (whole or objects)[0]), value, at)
    if len(kinds) == 2 and types.NoneType in kinds:
        return None if value is None else _decode(kinds[kinds[0] is types.NoneType], value, at)
    for kind in sorted(kinds, key=lambda kind: kind is not type(value)):  # 1 stays a whole number in float | int
        with suppress(UnreadableError):
            return _decode(kind, value, at)
    raise _wrong(value, " or ".join(dict.fromkeys(map(_name, kinds))), at)


def _name(kind: Any) -> str:
    return _NAMES.get(get_origin(kind) or kind, "an object")


def _bool(_: object, value: object, at: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "true or false", at)
    return value


def _int(_: object, value: object, at: str, expected: str = "a whole number") -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _MOST_INT:
        raise _wrong(value, expected, at)
    return value


def _float(_: object, value: object, at: str) -> float:
    if not isinstance(value, float):
        return float(_int(_, value, at, "a number"))
    if not math.isfinite(value):
        raise _wrong(value, "a finite number", at)
    return value


def _str(_: object, value: object, at: str) -> str:
    if not isinstance(value, str) or not _is_text(value):
        raise _wrong(value, "text", at)
    return value


def _is_text(value: str) -> bool:
    """Whether it has no surrogates, except those for the bytes of a path that is not UTF-8 (`os.fsdecode`)."""
    with suppress(UnicodeEncodeError):
        return value.isascii() or bool(value.encode("utf-8", "surrogateescape"))
    return False


def _path(_: object, value: object, at: str) -> Path:
    if not isinstance(value, str) or "\0" in value:
        raise _wrong(value, "a path", at)
    return Path(_str((), value, at))


def _datetime(_: object, value: object, at: str) -> datetime:
    found = None
    with suppress(ValueError):
        found = datetime.fromisoformat(_str((), value, at))
    if found is None or found.tzinfo is None:
        raise _wrong(value, "a time with its zone in ISO 8601", at)
    return found


def _none(_: object, value: object, at: str) -> None:
    if value is not None:
        raise _wrong(value, "null", at)


def _literal(choices: Sequence[object], value: object, at: str) -> object:
    if value not in choices:
        raise _wrong(value, f"one of {', '.join(map(str, choices))}", at)
    return value


def _list(kinds: Sequence[Any], value: object, at: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(value, "a list", at)
    return [_decode(kinds[0], one, f"{at}[{number}]") for number, one in enumerate(value)]


def _tuple(kinds: Sequence[Any], value: object, at: str) -> tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is ...:
        return tuple(_list(kinds, value, at))
    if not isinstance(value, list) or len(value) != len(kinds):
        raise _wrong(value, f"a list of {len(kinds)}", at)
    return tuple(
        _decode(kind, one, f"{at}[{number}]") for number, (kind, one) in enumerate(zip(kinds, value, strict=True))
    )


def _mapping(kinds: Sequence[Any], value: object, at: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise _wrong(value, "an object", at)
    of_key, of_value = kinds
    return {_key(of_key, key, at): _decode(of_value, one, f"{at}[{key!a}]") for key, one in value.items()}


def _key(kind: Any, key: str, at: str) -> object:
    if kind is not int:
        return _decode(kind, key, f"a key of {at}")
    if not key.isdecimal() or not key.isascii() or len(key) > 18:
        raise _wrong(key, "a whole number", f"a key of {at}")
    return int(key)


def _anything(_: object, value: object, at: str, depth: int = _MOST_DEPTH) -> object:
    """Any JSON value; each leaf is checked like an annotated one."""
    if value is _NOTHING:
        raise _wrong(value, "a value", at)
    if isinstance(value, dict | list) and not depth:
        raise UnreadableError(f"JSON that is nested too deeply at {at}")
    if isinstance(value, dict):
        return {
            _str((), key, at): _anything((), one, f"{at}.{ascii(key)[1:-1]}", depth - 1) for key, one in value.items()
        }
    if isinstance(value, list):
        return [_anything((), one, f"{at}[{number}]", depth - 1) for number, one in enumerate(value)]
    return _LEAVES[type(value)]((), value, at)


_LEAVES: dict[type, Callable[..., object]] = {
    bool: _bool, int: _int, float: _float, str: _str, types.NoneType: _none,
}  # fmt: skip
_DECODERS: dict[Any, Callable[..., object]] = {
    **_LEAVES, Path: _path, datetime: _datetime, Literal: _literal, object: _anything, None: _none,
    list: _list, tuple: _tuple, Sequence: _list, dict: _mapping, Mapping: _mapping,
}  # fmt: skip
_NAMES = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path",
    types.NoneType: "null", list: "a list", tuple: "a list",
}  # fmt: skip
