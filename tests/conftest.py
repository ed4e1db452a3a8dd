"""For all tests: the tier of each, what runs in one process of a parallel run, how many cores, where GPU kernels run.

`-n N` gives each of the N test processes its own share of the cores, and with it all that the process starts: engines
that would wait actively for each other's cores cost twice the time. A test that needs more says so: `all_cores`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.errors import BackendError
from backends.gpu import device

# Triton reads its variable once, when it is imported, which any library may do; so it is set before anything else.
try:
    device.find()
except BackendError:
    os.environ["TRITON_INTERPRET"] = "1"

TESTS = Path(__file__).parent
TIERS = ("unit", "integration", "end_to_end")
ALL_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pytest_configure(config: pytest.Config) -> None:
    share = _share()
    if share:
        os.sched_setaffinity(0, share)


def _share() -> list[int]:
    """The cores of this process of a parallel run; none where it is not parallel or there are too few cores."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return ALL_CORES[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test gets its directory's mark; in-process tests of a file stay together, for what the file builds once."""
    for item in items:
        place = item.path.relative_to(TESTS).parts
        if place[0] in TIERS:
            item.add_marker(place[0])
        if place[0] != "end_to_end" and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("/".join(place)))


@pytest.fixture(autouse=True)
def cores(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every core for a test that is marked `all_cores`."""
    if not ALL_CORES or not request.node.get_closest_marker("all_cores"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALL_CORES)
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all processes of a parallel run share; what is built there is locked by the package itself."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder
