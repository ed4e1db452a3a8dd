"""For all tests: the tier of each, what stays in one process of a parallel run, how many cores, where GPU kernels run.

`-n N` gives each of the N test processes its own share of the cores, and with it all that the process starts: engines
that wait actively for each other's cores would cost twice the time. A command about instances gets all (command.py).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cores import take_all, take_share
from hypothesis import HealthCheck, settings

from backends.errors import BackendError
from backends.gpu import device

# Triton reads its variable once, when it is imported, which any library may do; so it is set before anything else.
try:
    device.find()
except BackendError:
    os.environ["TRITON_INTERPRET"] = "1"

# A process of a parallel run that has used gRPC would say at each later fork that gRPC skips it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# No limits on the time of one example: a parallel run shares its cores, and pytest-timeout ends what hangs.
settings.register_profile("shared cores", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared cores")

TESTS = Path(__file__).parent
TIERS = ("unit", "integration", "end_to_end", "documentation", "servers")
COMMANDS = ("/end_to_end/", "/documentation/")  # tiers that run commands
# End-to-end files that build something once for several of their tests.
TOGETHER = tuple(f"test_end_to_end_{name}.py" for name in ("doctor", "gpu", "submit_trial", "wheel"))


def pytest_configure(config: pytest.Config) -> None:
    take_share()
    # A shell's background jobs ignore Ctrl-C, those of nohup a hang-up, and so would all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test gets its directory's mark."""
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        if tier in TIERS:
            item.add_marker(tier)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m gpu` reads the GPU's folders only: a machine with a GPU need not have what the other tests import."""
    if config.option.markexpr != "gpu":
        return None
    for folder in TESTS.rglob("gpu"):
        if folder.is_relative_to(collection_path) or collection_path.is_relative_to(folder):
            return None
    return True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A parallel run gives out whole files, for what a file builds once, but tests of commands one by one."""
    from xdist.scheduler import LoadScopeScheduling

    def scope(nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if any(tier in file for tier in COMMANDS) and not file.endswith(TOGETHER) else file

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = scope
    return scheduler


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all processes of a parallel run share; what is built there is locked by the package itself."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def all_cores() -> Iterator[None]:
    """All cores of the machine for what a module starts: a training launcher refuses more processes than cores."""
    take_all()
    yield
    take_share()
