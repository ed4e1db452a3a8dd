"""The tree and the tarball out of finished runs, in every round: what the checks want, true to the runs, repeatable."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import published
import pytest
import records
from plain_onnx import write_plain_onnx
from small_bert import SMALL, random_tensors, write_model
from submission_tree import Logs

from backends.bert.checkpoints import find_model
from backends.formats.random_weights import Pruning
from foundation import rules
from submission.check import tree, verdict
from submission.package import build, contents, documents, pack, summary, system_description, weights
from submission.package.build import TreeInputs
from submission.rules import rounds
from submission.rules.layout import model_folder
from submission.submit import plan, request
from submission.submit.workspace import Workspace
from sut.errors import RunFailedError
from sut.fetch.resolve import demo_model
from sut.machine import facts as machine_facts
from sut.record import run_record
from sut.record.run_record import Engine
from sut.settings.settings import RunConfig
from sut.tasks import TASKS

DESCRIPTION = dict.fromkeys((*rounds.SYSTEM_KEYS, *rounds.SYSTEM_KEYS_MAY_BE_EMPTY), "something")
NOTICE = "not the benchmark's data set: not submittable"


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    return Logs(tmp_path_factory.mktemp("build-logs"))


def parts(folder: Path, logs: Logs, round_name: str, division: str, *flags: str) -> TreeInputs:
    """All that a tree is built from, its runs made of LoadGen's own short logs."""
    dataset = folder / "dev.json"
    dataset.write_text("{}")
    given = ["--submitter", "DemoOrg", "--division", division, "--round", round_name, "--system", "one_box"]
    asked, _ = request.parse([*given, "--dataset", str(dataset), "--output-dir", str(folder), *flags])
    output = Workspace(folder)
    output.user_conf.write_text("*.Offline.target_qps = 100\n")
    steps = plan.runs(asked, output, dict.fromkeys(asked.scenarios, 100.0), rules.SAMPLES)
    for step in steps:
        of_kind = logs.of(round_name, step.scenario, step.kind.lower())
        shutil.copytree(of_kind, step.folder(output))
        finish(step.folder(output), dataset)
    known = {"division": division, "submitter": "DemoOrg", "system_type": "edge", "status": "rdi"}
    described = DESCRIPTION | known | dict.fromkeys(rounds.SYSTEM_KEYS_INTEGER, "1")
    return TreeInputs(asked, output, steps, described, weights.describe(asked.run))


def finish(folder: Path, dataset: Path) -> None:
    config = RunConfig(instances=1, threads=2, dataset=dataset, log_dir=folder)
    made = records.record(notices=(NOTICE,), config=config, samples=rules.SAMPLES, machine=machine_facts.facts())
    run_record.write(folder, made)
    (folder / "accuracy.txt").write_text('{"exact_match": 90.0, "f1": 91.0}\n')
    for name in (rounds.VERIFY_ACCURACY, rounds.VERIFY_PERFORMANCE):
        (folder / name).write_text("TEST PASS\n")


def change(folder: Path, **changes: Any) -> None:
    run_record.write(folder, replace(run_record.read(folder), **changes))


@pytest.mark.parametrize("division", rounds.DIVISIONS)
@pytest.mark.parametrize("round_name", rounds.ROUNDS)
def test_the_tree_of_each_round_passes_the_checks(tmp_path: Path, logs: Logs, round_name: str, division: str) -> None:
    made = parts(tmp_path, logs, round_name, division)
    found = verdict.examine(tree.read(build.build(made)), made.request.round)
    assert found.failures == ()
    assert len(found.results) == 2 and not found.is_trial


def test_answers_that_differ_come_with_both_scores(tmp_path: Path, logs: Logs) -> None:
    made = parts(tmp_path, logs, "v6.1", "closed")
    folder = made.steps_of("Offline")[plan.TEST01].folder(made.output)
    (folder / rounds.VERIFY_ACCURACY).write_text("TEST FAIL\n")
    for name in (rounds.BASELINE, rounds.COMPLIANCE):
        (folder / name).write_text('{"exact_match": 90.0, "f1": 91.0}\n')
    root = build.build(made)
    assert verdict.examine(tree.read(root), made.request.round).failures == ()
    said = (root / made.layout("Offline").readme).read_text()
    assert "not bit-exact" in said and "TEST FAIL" in said


def test_the_documents_describe_these_runs(tmp_path: Path, logs: Logs) -> None:
    made = parts(tmp_path, logs, "v5.1", "closed")
    root = build.build(made)
    where = made.layout("SingleStream")
    said = (root / where.readme).read_text()
    for step in made.steps_of("SingleStream").values():
        assert step.command(made.output) in said
    measured = json.loads((root / where.measurements).read_text())
    assert measured["starting_weights_filename"] == "model.safetensors"
    assert measured["weights_sha256"] == made.weights.sha256 and made.weights.sha256 in said
    assert measured["marks"] == [NOTICE] and NOTICE in said and NOTICE in (root / where.accuracy_txt).read_text()
    assert measured["retraining"].startswith("Yes: trained from scratch")
    assert "No calibration" in (root / where.calibration).read_text()
    assert (root / where.user_conf).read_bytes() == made.output.user_conf.read_bytes()
    assert (root / where.model_code / "submission" / "package" / "build.py").is_file()


def test_an_engine_is_described_with_what_it_was_calibrated_on(tmp_path: Path, logs: Logs) -> None:
    made = parts(tmp_path, logs, "v6.1", "open", "--precision", "int8")
    for step in made.steps:
        engine = Engine("abc", {"calibration_samples": 500, "calibration_seed": 7})
        change(step.folder(made.output), engine=engine)
    root = build.build(made)
    where = made.layout("Offline")
    assert "| calibration_samples | 500 |" in (root / where.calibration).read_text()
    measured = json.loads((root / where.measurements).read_text())
    assert measured["weight_data_types"] == "int8" and "calibrated" in measured["weight_transformations"]


@pytest.mark.parametrize(("quantized", "precision"), [(False, "fp32"), (True, "int8")])
def test_a_graph_is_described_as_it_is(tmp_path: Path, logs: Logs, quantized: bool, precision: str) -> None:
    path = write_plain_onnx(tmp_path / "model.onnx", find_model(str(demo_model())), quantized=quantized)
    made = parts(tmp_path, logs, "v6.1", "open", "--model", str(path))
    for step in made.steps:
        change(step.folder(made.output), checksums={"weights": made.weights.digest or ""})
    root = build.build(made)
    where = made.layout("Offline")
    measured = json.loads((root / where.measurements).read_text())
    assert (measured["weight_data_types"], measured["precision"]) == (precision, precision)
    assert measured["weight_transformations"] == "none: used as in the file"
    assert ("No calibration by this package" in (root / where.calibration).read_text()) == quantized
    loaded = weights.describe(replace(made.request.run, backend="pytorch"))
    assert loaded.types == "fp32" and ("read as fp32 from int8" in loaded.transformations) == quantized
    rounded = weights.describe(replace(made.request.run, backend="pytorch", precision="int8"))
    assert "balanced and calibrated" in rounded.transformations  # the file has no scales of inputs


def test_the_scales_in_a_file_are_described(tmp_path: Path) -> None:
    tensors = random_tensors(SMALL, 1)
    sites = ("qkv", "attention_output", "ffn_inner", "ffn_output")
    inputs = {(layer, site): 4.0 for layer in range(SMALL.num_hidden_layers) for site in sites}
    path = published.fake_quant_onnx(tmp_path, SMALL, tensors, published.naive_ranges(SMALL, tensors, inputs))
    described = weights.describe(RunConfig(model=str(path), backend="pytorch", precision="int8"))
    assert (
        described.transformations
        == "read as fp32 from int8 in the file, then rounded to int8 with the scales in the file"
    )


def test_runs_of_different_files_are_not_packed(tmp_path: Path, logs: Logs) -> None:
    made = parts(tmp_path, logs, "v6.1", "open")
    folder = made.steps[0].folder(made.output)
    for name in ("weights", "dataset", "vocab"):
        own = dict(run_record.read(folder).checksums or {})
        change(folder, checksums=own | {name: "0" * 64})
        with pytest.raises(RunFailedError, match=f"the same {name} in every run"):
            build.build(made)
        change(folder, checksums=own)
    change(folder, checksums={"dataset": own["dataset"]})  # the model changed during the run
    with pytest.raises(RunFailedError, match="found another"):
        build.build(made)
    change(folder, checksums=own)
    build.build(made)


def test_runs_without_a_model_say_so_in_every_document(tmp_path: Path, logs: Logs) -> None:
    made = parts(tmp_path, logs, "v6.1", "open", "--backend", "fake", "--allow-fake")
    for step in made.steps:
        change(step.folder(made.output), notices=("fake backend: no model ran",))
    root = build.build(made)
    where = made.layout("Offline")
    for document in (where.readme, where.measurements, where.accuracy_txt):
        assert documents.FAKE in (root / document).read_text()


def test_building_and_packing_again_gives_the_same_bytes(tmp_path: Path, logs: Logs) -> None:
    made = parts(tmp_path, logs, "v6.0", "closed")
    build.build(made)
    first = pack.pack(made.output, 1_700_000_000).read_bytes()
    build.build(made)
    assert pack.pack(made.output, 1_700_000_000).read_bytes() == first


def test_the_generated_demo_set_has_the_required_number_of_samples(tmp_path: Path) -> None:
    from qsl import demo
    from submission.prerequisites import DEMO_QUESTIONS
    from sut.fetch import resolve as asset_paths

    demo.write(tmp_path / "dev.json", "dev", questions=DEMO_QUESTIONS)
    data = TASKS["squad"].open(tmp_path / "dev.json", asset_paths.demo_model() / "vocab.txt", tmp_path)
    assert len(data.features) == rules.SAMPLES


@pytest.mark.parametrize("pattern", ["block4", "4x1"])
def test_a_model_of_ones_own_is_described_by_its_card_and_its_zeros(tmp_path: Path, logs: Logs, pattern: str) -> None:
    tiny = replace(SMALL, vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    tensors = random_tensors(tiny, 1)
    for name, tensor in tensors.items():
        if ".encoder." in name and tensor.ndim == 2:
            Pruning(0.8, pattern).apply(name, tensor)
    folder = write_model(tmp_path / "small-one", tiny, tensors)
    foreign = weights.describe(RunConfig(model=str(folder)))
    assert (foreign.name, foreign.retraining) == ("small-one", "No: used as in the file")
    assert foreign.notes[0] == "model small-one"
    (folder / "README.md").write_text(
        "# A pruned BERT\n\n* F1 90.32 on the scored file\n* teacher: big, sha256 1\n* trained on: t.json, sha256 3\n"
    )
    made = parts(tmp_path, logs, "v6.1", "open", "--model", str(folder))
    for step in made.steps:
        change(step.folder(made.output), checksums={"weights": made.weights.digest or ""})
    root = build.build(made)
    where = made.layout("Offline")
    measured, said = json.loads((root / where.measurements).read_text()), (root / where.readme).read_text()
    assert measured["model_name"] == "small-one"
    assert measured["retraining"] == "Yes: A pruned BERT; teacher big, sha256 1; trained on t.json, sha256 3"
    assert measured["weights_source"].startswith("trained by the submitter")
    products = [tensor for name, tensor in tensors.items() if ".encoder." in name and tensor.ndim == 2]
    zeros = sum(int((one == 0).sum()) for one in products) / sum(one.size for one in products)
    inside = {"block4": "inputs", "4x1": "outputs"}[pattern]
    assert measured["sparsity"] == (
        f"{zeros:.1%} of the encoder's weights are zero, in blocks of four {inside}; by layer {zeros:.1%}"
    )
    notes = system_description.known(made.request, "int8", made.weights.notes)["sw_notes"]
    assert notes.startswith("backend onnxruntime, precision int8; model small-one, retrained; ") and "are zero" in notes
    assert measured["sparsity"] in said and measured["retraining"] in said
    assert json.loads((root / where.model_mapping).read_text()) == {"small-one": "bert-99"}
    assert where.model_dir.name == where.model_code.name == "small-one"
    found = tree.read(root)
    assert verdict.examine(found, made.request.round).failures == ()
    assert {(one.layout.model, one.benchmark) for one in contents.read(found)} == {("small-one", "bert-99")}
    assert {summary.row(one)["MlperfModel"] for one in contents.read(found)} == {"bert-99"}
    closed = replace(made, request=replace(made.request, division="closed"))
    assert closed.model == "bert-99"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("obert-large-pruned95", "obert-large-pruned95"),
        ("my model (v2)", "my-model-v2"),
        (".hidden", "hidden"),
        ("bert-99.9", "bert-99"),
        ("assets", "bert-99"),
        ("a-TEST05", "bert-99"),
        ("日本", "bert-99"),
        (None, "bert-99"),
    ],
)
def test_the_directories_of_a_model_have_its_name_as_checkers_take_it(name: str | None, folder: str) -> None:
    assert model_folder(name, "bert-99") == folder


def test_a_model_is_named_by_its_file_or_its_directory(tmp_path: Path) -> None:
    config = replace(SMALL, vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    folder = write_model(tmp_path / "mini", config, random_tensors(config, 1))
    graph = write_plain_onnx(tmp_path / "graph.onnx", find_model(str(folder)))
    for path in (folder / "deployment" / "model.onnx", folder / "obert.onnx"):
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(graph, path)
        assert weights.describe(RunConfig(model=str(path))).name == {"model": "mini"}.get(path.stem, path.stem)


def test_a_dense_model_has_no_zeros_to_tell() -> None:
    found = weights.describe(RunConfig())
    assert (found.name, found.sparsity) == (None, None)
