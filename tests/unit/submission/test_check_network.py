"""Results over a network: what both official checkers refuse of them, and what only the rules do."""

from __future__ import annotations

import pytest
from breakages import OFFLINE, Break, Where, at, compliance_log, gone, keys, logged, performance_log
from submission_tree import NETWORK_NAME, Trees

from submission.rules import rounds

SUITE = "network.suite"  # of all trees with BERT in the network division
FIELDS = dict.fromkeys(rounds.NETWORK_KEYS, "N/A")
NETWORK = FIELDS | {"is_network": "true"}
NAMELESS = logged(sut_name="PyFastSUT")
CASES: list[tuple[str, Where, Break, set[str]]] = [
    ("network", at("system_json"), keys(), {SUITE}),
    ("network", at("system_json"), keys(system_type="datacenter,edge"), {SUITE}),
    ("network", at("system_json"), keys(system_type="datacenter"), {SUITE, "systems.system_type"}),
    ("network", performance_log, NAMELESS, {SUITE, "performance.sut-name"}),
    ("network", compliance_log, NAMELESS, {SUITE, "test01.sut-name"}),
    ("network", performance_log, logged(sut_name=None), {SUITE, "performance.sut-name"}),
    *(("network", at("system_json"), keys(**{key: None}), {SUITE, "systems.network-keys"}) for key in FIELDS),
    ("network", at("system_json"), keys(is_network=None), {SUITE, "systems.network"}),
    ("network", at("system_json"), keys(is_network=True), {SUITE, "systems.network"}),
    ("network", at("system_json"), keys(is_network="false"), {SUITE, "systems.network"}),
    ("network", at("test01"), gone, {SUITE, "files.missing"}),  # the rules of the closed division
    ("closed", at("system_json"), keys(is_network="false"), {"systems.network"}),
    ("closed", at("system_json"), keys(**NETWORK), {"systems.network"}),
    ("closed", at("system_json"), keys(is_network=True), {"systems.network"}),
    ("open", at("system_json"), keys(is_network="false"), {"systems.network"}),
    ("open", at("system_json"), keys(is_network=True, **FIELDS), {"systems.network"}),
    ("open", at("system_json"), keys(**NETWORK), {"performance.sut-name"}),
    ("open", at("system_json"), keys(is_network="true"), {"performance.sut-name", "systems.network-keys"}),
    ("open", performance_log, logged(sut_name=NETWORK_NAME), set()),  # a node of several, and no key of the network
]


@pytest.mark.parametrize(("division", "where", "act", "rules"), CASES)
def test_what_is_refused(fresh: Trees, division: str, where: Where, act: Break, rules: set[str]) -> None:
    built = fresh(rounds.LATEST, division)
    act(built, where(built.layout(OFFLINE)))
    assert {one.rule for one in built.verdict().failures} == rules


@pytest.mark.parametrize("round_name", rounds.ROUNDS)
def test_the_open_division_has_room_for_networks(fresh: Trees, round_name: str) -> None:
    built = fresh(round_name, "open")
    where = built.layout(OFFLINE)
    keys(**NETWORK)(built, where.system_json)
    logged(sut_name=NETWORK_NAME)(built, performance_log(where))
    assert built.verdict().failures == ()


def test_a_failure_says_that_bert_is_no_datacenter_benchmark_any_more(fresh: Trees) -> None:
    built = fresh(rounds.LATEST, "network")
    keys(system_type="datacenter")(built, built.layout(OFFLINE).system_json)
    suite, system = built.verdict().failures
    assert suite.file == "network/Acme" and "BERT has not been in since v5.0" in suite.wanted and "open/" in suite.todo
    assert "BERT is no datacenter benchmark since v5.0" in system.wanted
