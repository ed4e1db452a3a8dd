"""Numbers as people read and type them."""

from __future__ import annotations

import math

_DIGITS, _TYPED_DIGITS = 4, 6


def typed(text: str, most: float = 1e9) -> float | None:
    """A number from 0 to `most` that a person typed; None for any other text, such as nan, inf or 1e999."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= most else None


def figure(value: float) -> str:
    """Four significant digits, or all digits before the point: 0.9135, 812.4, 12,345; never an exponent.

    Of what is smaller than a millionth, six places remain.
    """
    return _without_exponent(value, _DIGITS, ",")


def plain(value: float) -> str:
    """Six significant digits, or all digits before the point, for a file or a command line: 0.9135, 12345678."""
    return _without_exponent(value, _TYPED_DIGITS, "")


def _without_exponent(value: float, digits: int, separator: str) -> str:
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    places = max(0, min(digits + 2, digits - 1 - math.floor(math.log10(abs(value)))))
    shown = f"{value:{separator}.{places}f}"
    return shown.rstrip("0").rstrip(".") if places else shown


def clock(seconds: float) -> str:
    """m:ss, or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def gibibytes(count: float) -> str:
    """1.25 GiB."""
    return f"{count / 2**30:.2f} GiB"


def megabytes(count: float) -> str:
    """45.6 MB, 1.35 GB: of files, by powers of ten."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 instance", "2 instances"; `plural` if it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
