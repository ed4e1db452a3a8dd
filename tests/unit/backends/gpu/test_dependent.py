"""Dependent launches: every kernel waits for its predecessor before it touches what kernels write."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from paths import ROOT

from backends.gpu.kernels import dependent

FILES = sorted((ROOT / "backends" / "gpu" / "kernels").glob("*.py"))
ACCESSES = {"load", "store", "atomic_add", "atomic_cas", "atomic_xchg"}


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def _launched(tree: ast.Module) -> set[str]:
    """The kernels that a file launches: `kernel[grid](...)`."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {call.value.id for call in calls if isinstance(call, ast.Subscript) and isinstance(call.value, ast.Name)}


def _names(node: ast.AST) -> set[str]:
    """What is called in a statement, by its last name."""
    calls = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    return {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_kernel_waits_before_it_reads_or_writes(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = _functions(tree)
    for name in _launched(tree) & functions.keys():
        body = functions[name].body
        waits = [at for at, one in enumerate(body) if isinstance(one, ast.Expr) and "wait" in _names(one)]
        assert waits, f"{name} does not wait"
        for before in body[: waits[0]]:
            assert not isinstance(before, ast.Return)
            called = _names(before)
            inner = [_names(functions[one]) for one in called & functions.keys()]
            assert not (ACCESSES & called.union(*inner)), f"{name} reads or writes before it waits"


def test_the_first_kernel_of_a_pass_is_an_ordinary_one() -> None:
    assert dependent.options() == {"dependent": False}
    with dependent.launches():
        assert dependent.options() == {"dependent": True, "launch_pdl": True}
        assert dependent.options(is_first=True) == {"dependent": True}
    with dependent.launches(False):
        assert not dependent.is_on()
    assert not dependent.can(torch.device("cpu"))
