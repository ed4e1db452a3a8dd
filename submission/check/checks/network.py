"""Checks of results over a network: how the system is described, the SUT's name in the logs, and the division itself.

Stricter than the official checkers in two things, which the rules say and they do not look at: BERT has no place in the
network division, and none of the twelve keys may be empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from foundation.log_files import DETAIL
from submission.check import detail_log
from submission.check.checks.requirement import Requirement, is_nonblank, once, unmet
from submission.check.failure import Failure
from submission.check.tree import Tree
from submission.rules.layout import ResultLayout, SubmitterLayout
from submission.rules.rounds import IS_NETWORK, NETWORK, NETWORK_KEYS, NETWORK_SUT, OPEN

_KEYS = tuple(
    Requirement("systems.network-keys", key, is_nonblank, "text about the network", f"Set {key}.")
    for key in NETWORK_KEYS
)
_QUOTED = f'Write "{IS_NETWORK}": "true", with quotes'
# Division → what is_network must be, and what to do.
_EXPECTED = {
    "closed": ("no such key", f"Remove {IS_NETWORK}: it is for systems behind a network."),
    OPEN: ('the text "true", or no such key', f"{_QUOTED}, if the system is behind a network; else remove the key."),
    NETWORK: ('the text "true"', f"{_QUOTED}."),
}
_MAY_BE_ABSENT, _MAY_BE_TRUE = ("closed", OPEN), (OPEN, NETWORK)


def submitter(tree: Tree, layout: SubmitterLayout) -> Iterator[Failure]:
    """Refuse results in the network division."""
    if layout.division == NETWORK and tree.folders_in(layout.results):
        expected = "benchmarks of the datacenter suite, which BERT has not been in since v5.0"
        todo = f"Move them to {OPEN}/, with that division in the description; its results may be over a network."
        yield Failure(str(layout.folder), "network.suite", "results of BERT", expected, todo)


def description(path: PurePosixPath, found: Mapping[str, Any], layout: SubmitterLayout) -> Iterator[Failure]:
    """The keys of a system's description about its network."""
    is_true = _is_true(found.get(IS_NETWORK))
    is_right = layout.division in (_MAY_BE_TRUE if is_true else _MAY_BE_ABSENT if IS_NETWORK not in found else ())
    if not is_right:
        said = f"{IS_NETWORK} = {found[IS_NETWORK]!r}" if IS_NETWORK in found else f"no {IS_NETWORK}"
        yield Failure(str(path), "systems.network", said[:100], *_EXPECTED[layout.division])
    if is_true and is_right:
        yield from unmet(path, once(found), _KEYS)


def check(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """The SUT's name in the logs of a system behind a network."""
    if layout.division not in _MAY_BE_TRUE or not _is_true(tree.json(layout.system_json).get(IS_NETWORK)):
        return
    runs = {"performance": layout.performance} | ({"test01": layout.test01_performance} if layout.is_closed else {})
    for family, folder in runs.items():
        log = detail_log.read(tree, folder / DETAIL)
        expected, todo = f"a name with {NETWORK_SUT}", "Repeat the run with --executor remote --network-division."
        named = Requirement(f"{family}.sut-name", "sut_name", _is_network_sut, expected, todo)
        yield from unmet(log.path, log.values, [named])


def _is_network_sut(name: object) -> bool:
    return isinstance(name, str) and NETWORK_SUT in name


def _is_true(found: object) -> bool:
    """The official checkers crash on a JSON boolean."""
    return isinstance(found, str) and found.lower() == "true"
