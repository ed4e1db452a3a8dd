"""Trees with one thing wrong each, whatever the runs: documents, systems, scenarios, names."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath

import pytest
from breakages import (
    OFFLINE,
    STREAM,
    Breakage,
    at,
    by_round,
    folder,
    gone,
    in_folder,
    keys,
    large,
    link,
    named,
    named_by_round,
    pipe,
    says,
)
from submission_tree import SYSTEM, Built, Trees

from submission.rules import rounds

DOCUMENTS = [
    *(
        Breakage(f"{key} = {value!r}", "documents.measurements", at("measurements"), keys(**{key: value}))
        for key in rounds.MEASUREMENTS_KEYS
        for value in (None, "", False)
    ),
    Breakage("measurements of a list", "files.unreadable", at("measurements"), says("[]")),
    Breakage("measurements broken", "files.unreadable", at("measurements"), says("{")),
    Breakage("measurements of brackets", "files.unreadable", at("measurements"), says("[" * 100_000)),
    Breakage("user.conf empty", "documents.empty", at("user_conf"), says("")),
    Breakage("README.md empty", "documents.empty", at("readme"), says("")),
]
SYSTEMS = [
    *(
        Breakage(f"no {key}", "systems", at("system_json"), keys(**{key: None}))
        for key in (*rounds.SYSTEM_KEYS, *rounds.SYSTEM_KEYS_MAY_BE_EMPTY)
    ),
    *(Breakage(f"{key} empty", "systems", at("system_json"), keys(**{key: ""})) for key in rounds.SYSTEM_KEYS),
    *(
        Breakage(f"{key} = {value!r}", "systems", at("system_json"), keys(**{key: value}))
        for key, value in (
            ("accelerators_per_node", 0),
            ("accelerators_per_node", "N/A"),
            ("number_of_nodes", "one"),
            ("number_of_nodes", True),
            ("host_processors_per_node", "N/A"),
            ("host_processor_core_count", 0),
            ("submitter", "Another"),
            ("submitter", 7),
            ("division", "network"),
            ("division", "Closed"),
            ("status", "soon"),
            ("status", 7),
            ("system_type", "Edge"),
            ("system_type", "datacenter"),
            ("system_type", ["edge"]),
            ("system_name", 7),
            ("framework", ["PyTorch"]),
            ("hw_notes", 7),
            ("sw_notes", False),
            ("number_of_nodes", "9" * 5_000),
            ("is_network", "false"),
            ("is_network", False),
        )
    ),
    Breakage("system broken", "files.unreadable", at("system_json"), says("{'division': 'closed'}")),
    *(
        Breakage(f"{name} with {what}", "files.unreadable", at(name), says(text))
        for name in ("system_json", "measurements")
        for what, text in (
            ("half a character", r'{"system_name": "\ud800"}'),
            ("5,000 digits", '{"a": 1' + "0" * 5_000),
        )
    ),
    Breakage("system with a power description", "systems.power", in_folder("systems", "one_box_power.yaml"), says("[")),
    Breakage("system idle", "systems.results", in_folder("systems", "idle.json"), says("{}")),
]
NAMES = [
    Breakage("one scenario", "models.scenarios", at("scenario_dir"), gone, STREAM, at("model_dir")),
    Breakage("notes beside", "tree.stray", named("notes.txt"), says("x")),
    Breakage("a table beside", "tree.stray", named("summary.csv"), says("x")),
    Breakage("in the division", "tree.stray", named("closed/README.md"), says("x")),
    Breakage("another division", "tree.division", named("preview/Acme/x"), says("x"), reported=named("preview")),
    Breakage("whole logs beside", "tree.division", named("untruncated/x"), says("x"), reported=named("untruncated")),
    Breakage("a dot file", "tree.names", in_folder("folder", ".DS_Store"), says("x")),
    Breakage("a .gitkeep", "tree.names", in_folder("code", ".gitkeep"), says("")),
    Breakage(
        "a dot directory", "tree.names", in_folder("folder", ".x/y"), says(""), reported=in_folder("folder", ".x")
    ),
    Breakage("a space", "tree.names", in_folder("code", "read me.md"), says("x")),
    Breakage("a space above", "tree.names", in_folder("code", "a b/x"), says("x"), reported=in_folder("code", "a b")),
    Breakage(
        "a cache",
        "tree.names",
        in_folder("code", "__pycache__/x"),
        says("x"),
        reported=in_folder("code", "__pycache__"),
    ),
    Breakage(
        "a cache of a name",
        "tree.names",
        in_folder("code", "v1.old__pycache__/x"),
        says("x"),
        reported=in_folder("code", "v1.old__pycache__"),
    ),
    Breakage("an empty directory", "tree.empty", in_folder("code", "later"), folder),
    Breakage("a link", "tree.links", in_folder("model_code", "also.md"), link),
    Breakage("a pipe", "tree.links", in_folder("model_code", "pipe"), pipe),
    Breakage("51 MB", "tree.size", in_folder("code", "weights.bin"), large),
    Breakage(
        "a submitter of nothing",
        "tree.results",
        named("closed/Other/calibration.md"),
        says("x"),
        reported=named("closed/Other/results"),
    ),
]


@pytest.mark.parametrize("case", by_round([*DOCUMENTS, *SYSTEMS, *NAMES]), ids=named_by_round)
def test_one_thing_wrong(fresh: Trees, case: tuple[str, Breakage]) -> None:
    round_name, breakage = case
    breakage.check(fresh(round_name, "closed"))


@pytest.mark.parametrize("round_name", rounds.ROUNDS)
def test_each_round_requires_its_own_code_directory(fresh: Trees, round_name: str) -> None:
    built = fresh(round_name, "open")
    where = built.layout(OFFLINE)
    other = "code" if where.code.name == "src" else "src"
    (built.root / where.code).rename(built.root / where.folder / other)
    assert {one.rule for one in built.verdict().failures} == {"documents.code"}


@pytest.mark.parametrize(("round_name", "holds"), [("v5.0", True), ("v5.1", False), ("v6.0", False), ("v6.1", False)])
def test_the_closed_division_requires_calibration_md(fresh: Trees, round_name: str, holds: bool) -> None:
    built = fresh(round_name, "closed")
    where = built.layout(OFFLINE)
    (built.root / where.calibration).unlink(missing_ok=True)
    assert built.verdict().holds is holds
    built.write(where.folder / "documentation" / "calibration.md", "x")
    assert built.verdict().holds


@pytest.mark.parametrize("name", rounds.ROUNDS)
def test_a_tree_is_of_one_round_alone(whole: Trees, name: str) -> None:
    for other in set(rounds.ROUNDS) - {name}:
        found = whole(name, "open").verdict(other).failures
        assert "performance.seeds" in {one.rule for one in found}


@pytest.mark.parametrize("name", [f"{SYSTEM}.json", f"{SYSTEM}_fast_{OFFLINE}.json"])
def test_measurements_of_v5_may_have_the_name_of_an_implementation(fresh: Trees, name: str) -> None:
    built = fresh("v5.1", "open")
    path = built.root / built.layout(OFFLINE).measurements
    path.rename(path.with_name(name))
    assert built.verdict().holds


@pytest.mark.parametrize(("round_name", "holds"), [("v5.0", True), ("v5.1", False)])
def test_v51_refuses_measurements_of_a_system_without_results(fresh: Trees, round_name: str, holds: bool) -> None:
    built = fresh(round_name, "open")
    built.write(built.layout(OFFLINE).measured / "old_box" / "notes.md", "x")
    found = built.verdict().failures
    assert not found if holds else [one.rule for one in found] == ["systems.results"]


@pytest.mark.parametrize(
    ("attribute", "name"),
    [("system_dir", "box.json"), ("system_dir", "my.json-box"), ("system_dir", "TEST05-box"),
     ("model_dir", "bert-99-TEST05"), ("folder", "TEST05")],
)  # fmt: skip
def test_names_that_a_checker_takes_for_something_else(fresh: Trees, attribute: str, name: str) -> None:
    built = fresh("v6.1", "open")
    where = built.layout(OFFLINE)
    path = where.model_dir.parent if attribute == "system_dir" else getattr(where, attribute)
    (built.root / path).rename(built.root / path.with_name(name))
    assert ("tree.names", str(path.with_name(name))) in {(one.rule, one.file) for one in built.verdict().failures}


def test_a_name_that_is_not_utf8_is_refused(fresh: Trees) -> None:
    built = fresh("v6.1", "open")
    path = built.layout(OFFLINE).code / os.fsdecode(b"\xff")
    built.write(path, "x")
    assert [(one.rule, one.file) for one in built.verdict().failures] == [("tree.names", str(path))]


def test_a_measurements_file_that_v5_would_take_instead_is_checked_too(fresh: Trees) -> None:
    built = fresh("v5.1", "open")
    path = built.layout(OFFLINE).measurements_dir / f"{SYSTEM}.json"
    built.write(path, "{}")
    assert {one.file for one in built.verdict().failures} == {str(path)}


@pytest.mark.parametrize(
    ("division", "name", "mapping", "holds"),
    [
        ("open", "bert-99-int8", None, True),
        ("closed", "bert-99-int8", None, True),
        ("open", "mine", '{"mine": "bert-99"}', True),
        ("closed", "mine", '{"mine": "bert-99"}', False),
        ("open", "mine", None, False),
        ("open", "bert", None, False),
        ("open", "bert-99-resnet50", None, False),
        ("closed", "efficientnet-bert-99", None, False),
        ("open", "bert-99-mobilenet", '{"bert-99-mobilenet": "bert-99"}', True),
        ("open", "mine", '{"mine": "resnet"}', False),
        ("open", "mine", '{"mine": ["bert-99"]}', False),
        ("open", "mine", "[]", False),
    ],
)
def test_names_of_models(fresh: Trees, division: str, name: str, mapping: str | None, holds: bool) -> None:
    built = fresh("v6.1", division)
    where = built.layout(OFFLINE)
    (built.root / where.model_dir).rename(built.root / where.model_dir.parent / name)
    if mapping:
        built.write(where.model_mapping, mapping)
    found = built.verdict()
    assert found.holds is holds
    expected = "files.unreadable" if mapping == "[]" else "models.name"
    assert {one.rule for one in found.failures} == (set() if holds else {expected})


@pytest.mark.parametrize(
    ("division", "stated", "holds"),
    [("open", "mine", False), ("closed", "mine", True), ("open", "bert-99", True), ("open", None, True)],
)
def test_the_results_of_a_model_of_ones_own_have_its_name(
    fresh: Trees, division: str, stated: str | None, holds: bool
) -> None:
    built = fresh("v6.1", division)
    path = built.layout(OFFLINE).measurements
    built.write(path, json.dumps(json.loads((built.root / path).read_text()) | {"model_name": stated}))
    assert {one.rule for one in built.verdict().failures} == (set() if holds else {"models.own_name"})


@pytest.mark.parametrize("scenario", ["offline", "Interactive", "Offline2"])
@pytest.mark.parametrize("division", ["open", "closed"])
def test_scenarios_are_named_as_loadgen_names_them(fresh: Trees, scenario: str, division: str) -> None:
    built = fresh("v6.1", division)
    where = built.layout(OFFLINE)
    (built.root / where.scenario_dir).rename(built.root / where.model_dir / scenario)
    assert str(where.model_dir / scenario) in {one.file for one in built.verdict().failures}


def test_another_scenario_is_none_of_the_closed_division(fresh: Trees, whole: Trees) -> None:
    built = fresh("v6.1", "closed")
    where = built.layout("Server")
    whole("v6.1", "open", ("Server",)).copy(built.root / "other")
    (built.root / "other/open/Acme/results" / SYSTEM / "bert-99/Server").rename(built.root / where.scenario_dir)
    gone(built, PurePosixPath("other"))
    assert ("models.scenario", str(where.scenario_dir)) in {(one.rule, one.file) for one in built.verdict().failures}


@pytest.mark.parametrize("round_name", rounds.ROUNDS)
@pytest.mark.parametrize("division", ["closed", "open"])
def test_no_file_of_a_whole_tree_can_be_missed(fresh: Trees, round_name: str, division: str) -> None:
    built = fresh(round_name, division)
    files = built.files()
    assert len(files) > 8
    for path in files:
        content = (built.root / path).read_bytes()
        gone(built, path)
        assert not built.verdict().holds, path
        built.write(path, content)
    assert built.verdict().holds


@pytest.mark.parametrize("attribute", ["scenario_dir", "results", "systems", "code", "measurements_dir", "test01"])
@pytest.mark.parametrize("round_name", rounds.ROUNDS)
def test_no_directory_of_a_whole_tree_can_be_missed(fresh: Trees, round_name: str, attribute: str) -> None:
    built = fresh(round_name, "closed")
    gone(built, getattr(built.layout(OFFLINE), attribute))
    assert not built.verdict().holds


def test_a_tree_without_results_is_no_submission(tmp_path: Path) -> None:
    found = Built(tmp_path, rounds.find("v6.1"), "open").verdict()
    assert [one.rule for one in found.failures] == ["tree.results"]
