"""`python -m sut build`: an engine for int8 or fp8, built ahead of the run that uses it; prints its directory."""

from __future__ import annotations

from collections.abc import Sequence

from sut.settings import flags
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import resolve

_MORE = """python -m sut build --precision int8 --calibration-samples 500 --seed 0

A run with the same flags finds the engine in the cache; it builds the engine if it is missing."""


def main(argv: Sequence[str]) -> int:
    """The verb `build`."""
    config = resolve(*flags.split(parser().read(argv), "build"))
    from sut.running import engines  # only now, so that mistakes are reported without loading numpy

    print(engines.build(config))
    return 0


def parser() -> Parser:
    """The command line of `build`."""
    found = new_parser("build", _MORE)
    flags.add(found, "build")
    return found
