"""A pytest plugin: the fixture `contract_check` is each check of the contract in turn, on a backend of your choice.

# test_contract.py, next to your backend
def test_contract(contract_check):
    contract_check()

pytest -p backends.contract.pytest_plugin --sut-backend my_engine:MyBackend --sut-model my-model
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from backends import BACKENDS
from backends.base import Backend, Options
from backends.bert.checkpoints import find_model, with_config
from backends.contract.checks import CHECKS, Check
from backends.contract.subject import NotApplicableError, Subject

_CHECK = "contract_check"
Checked = Callable[[], None]  # raises ContractError


def pytest_addoption(parser: pytest.Parser) -> None:
    """The backend, its model, precision and threads."""
    group = parser.getgroup("sut", "the contract of a backend")
    group.addoption("--sut-backend", metavar="NAME", help="as sut --backend takes it: a name, or package.module:Class")
    group.addoption("--sut-model", metavar="WHAT", default="random:bert-tiny", help="default: random:bert-tiny")
    group.addoption("--sut-precision", metavar="NAME", help="default: the first of the backend's row")
    group.addoption("--sut-threads", metavar="N", type=int, default=2, help="default: 2")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each check."""
    if _CHECK in metafunc.fixturenames:
        metafunc.parametrize(_CHECK, CHECKS.values(), ids=list(CHECKS), indirect=True)


@pytest.fixture(scope="module")
def contract_subject(request: pytest.FixtureRequest) -> Subject:
    """The backend of the options; a test module may have another one by a fixture of this name."""
    option = request.config.getoption
    name = option("--sut-backend")
    if not name:
        pytest.skip("type --sut-backend NAME")
    precision = option("--sut-precision") or BACKENDS[name].first_precision
    return Subject(name, with_config(find_model(option("--sut-model"))), Options(precision, option("--sut-threads")))


@pytest.fixture(scope="module")
def contract_backend(contract_subject: Subject) -> Iterator[Backend]:
    """The backend with its model, loaded once."""
    with contract_subject.loaded() as backend:
        yield backend


@pytest.fixture
def contract_check(request: pytest.FixtureRequest, contract_subject: Subject, contract_backend: Backend) -> Checked:
    """One check; what does not apply to the backend is skipped."""
    return partial(_checked, request.param, contract_subject, contract_backend)


def _checked(check: Check, subject: Subject, backend: Backend) -> None:
    try:
        check(subject, backend)
    except NotApplicableError as error:
        pytest.skip(str(error))
