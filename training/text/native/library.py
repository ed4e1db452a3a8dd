"""The functions of the library, and the structures that they take."""

from __future__ import annotations

import ctypes
import functools

from foundation import native_library
from foundation.native_library import Function

_POINTER, _INT, _WIDE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
STATE_WORDS = 625  # of random.Random.getstate: a Mersenne Twister's, and the position in them


class Recipe(ctypes.Structure):
    """`Recipe` of pairs.h."""

    _fields_ = (
        *((name, _WIDE) for name in ("max_tokens", "max_predictions", "dupe_factor", "vocabulary_size")),
        *((name, ctypes.c_double) for name in ("short_probability", "masked_probability")),
        *((name, _INT) for name in ("cls", "sep", "mask")),
    )


class Rules(ctypes.Structure):
    """`Rules` of words.h."""

    _fields_ = (
        *((name, _INT) for name in ("unknown", "lowercase", "split_chinese")),
        ("most_chars", _WIDE),
    )


_FUNCTIONS = {
    "text_make": Function([*[_POINTER] * 4, _WIDE, ctypes.POINTER(Recipe)], _POINTER),
    "text_made_counts": Function([_POINTER] * 2),
    "text_made_collect": Function([_POINTER] * 8),
    "text_made_free": Function([_POINTER]),
    "text_words": Function([ctypes.c_char_p, _POINTER, _WIDE, ctypes.POINTER(Rules)], _POINTER),
    "text_words_scan": Function([_POINTER, ctypes.c_char_p, _WIDE], _WIDE),
    "text_words_pending": Function([_POINTER] * 2),
    "text_words_define": Function([_POINTER] * 4, ctypes.c_bool),
    "text_words_collect": Function([_POINTER] * 4),
    "text_words_free": Function([_POINTER]),
}


@functools.cache
def find() -> ctypes.CDLL | None:
    """The library; None if it was not built, or is broken, with a warning."""
    return native_library.load("training.text.native._text_portable", _FUNCTIONS)
