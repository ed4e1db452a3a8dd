"""The contract of `Backend`, for every row of the table: the checks of `backends.contract`."""

from __future__ import annotations

import pytest

from backends import BACKENDS, accelerators, backend_class
from backends.base import Options
from backends.bert.model import Model
from backends.contract import pytest_plugin
from backends.contract.pytest_plugin import contract_backend, contract_check, pytest_generate_tests
from backends.contract.subject import Subject
from backends.errors import BackendError

__all__ = ["contract_backend", "contract_check", "pytest_generate_tests"]
# One has stored answers only, the other needs a server: test_replay_backend.py, test_v2_faces.py.
ANSWERING = sorted(set(BACKENDS.own) - {"replay", "v2"})


@pytest.fixture(scope="module", params=ANSWERING)
def contract_subject(request: pytest.FixtureRequest, model: Model) -> Subject:
    entry = BACKENDS[request.param]
    pytest.importorskip(entry.needs)
    try:
        accelerators(request.param)
    except BackendError as error:
        pytest.skip(str(error))
    runs = model if entry.runs_model else Model("fake", None, None)
    return Subject(request.param, runs, Options(entry.first_precision, threads=2))


def test_a_backend_keeps_the_contract(contract_check: pytest_plugin.Checked) -> None:
    contract_check()


@pytest.mark.parametrize("name", sorted(BACKENDS.own))
def test_a_class_reads_its_own_row(name: str) -> None:
    pytest.importorskip(BACKENDS[name].needs)
    found = backend_class(name)
    assert found.name == name
    assert found.entry is BACKENDS[name]
    with pytest.raises(BackendError, match="int3"):
        found(Options(precision="int3"))


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(BackendError, match="Did you mean onnxruntime"):
        backend_class("onnxruntim")
