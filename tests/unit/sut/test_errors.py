"""Every error that a person can act on stands in one tree, which sut.errors draws, with its exit code."""

from __future__ import annotations

import ast
import importlib
import re

from paths import ROOT

from foundation.errors import UserError
from sut import errors

PACKAGES = ("foundation", "qsl", "backends", "accuracy", "sut", "submission")
# Caught where they are raised: they never reach a person as they are.
INNER = {
    "CompilerError",
    "ContractError",  # of a check, which pytest shows as a failed assertion
    "NotApplicableError",
    "UnreadableError",
    "RefusedError",
    "RetryLaterError",
    "UrlRefusedError",
    "RefusedRequestError",
    "RequestError",
    "FormError",
}


def found() -> dict[str, type]:
    """Every class of ours that is called an error, by name."""
    classes = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                    classes[node.name] = getattr(importlib.import_module(module), node.name)
    return classes


def test_the_tree_is_drawn_whole() -> None:
    users = {name for name, kind in found().items() if issubclass(kind, UserError)}
    assert set(re.findall(r"\b\w+Error\b", errors.__doc__ or "")) == users


def test_what_is_outside_the_tree_is_caught_where_it_is_raised() -> None:
    assert {name for name, kind in found().items() if not issubclass(kind, UserError)} == INNER


def test_exit_codes() -> None:
    drawn = dict(re.findall(r"(\w+Error) (?:\([\w.]+\))? +(\d)", errors.__doc__ or ""))
    codes = {name: str(kind.exit_code) for name, kind in found().items() if issubclass(kind, UserError)}
    own = {name for name in codes if name.endswith("StoppedError")}  # that of the run which stopped
    assert drawn.keys() - own == codes.keys() - own
    assert all(drawn[name] == codes[name] for name in codes.keys() - own)
