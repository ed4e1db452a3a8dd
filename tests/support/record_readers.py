"""The readers of records, settings, catalogues and submissions, each with a file that it reads."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import records
import training_events
from bad_server import catalogue
from damage import Reader, text
from paths import ASSETS
from pretraining_rows import GOLDEN

from accuracy import report as accuracy_report
from foundation import log_files
from foundation.typed_json import encode
from qsl.tokenizer_files import SPECIAL
from submission import show
from submission.check import archive, tree
from submission.check import command as check
from submission.package import system_description
from submission.submit import request_file, runs
from submission.submit.plan import Step
from submission.submit.workspace import Workspace
from sut.commands.compare import engines as compare_engines
from sut.commands.kpi import figures
from sut.commands.replay import command as replay
from sut.commands.sweep import rows
from sut.fetch import catalogue as catalogues
from sut.fetch import local_source
from sut.fetch.partial_file import PartialFile
from sut.fetch.store import AssetCache
from sut.machine import facts as machine_facts
from sut.record import detail_log, run_record
from sut.record.node_machine import NodeMachine
from sut.record.nodes import NodeLoss, NodeRecord
from sut.reporting.differences import differences, sections
from sut.settings import audit_config, resolve, user_conf
from sut.settings.settings import RunConfig
from training import report
from training.loop import checkpoint_record
from training.loop import config as training_config
from training.package import runs as package_runs
from training.package import system_description as training_system
from training.records import caches, mllog_file, steps_table, training_record
from training.records.mllog import ComplianceLog
from training.records.record_writer import RecordWriter
from training.records.steps_table import StepsTable
from training.shards import hdf5, mapped, tfrecord
from training.shards.data_set import Metadata
from training.shards.directory import open_instances
from training.shards.instances import from_rows
from training.text import engine, source_text
from training.text.recipe import Recipe
from training.text.wordpiece import Tokenizer

TOKENIZER = Tokenizer(ASSETS / "demo" / "vocab.txt")


def packed(folder: Path) -> Path:
    name = folder / "open" / "Acme" / "systems" / "one.json"
    text("one.json", '{"a": 1}')(name.parent)
    with tarfile.open(folder / "a.tar.gz", "w:gz") as tar:
        tar.add(folder / "open", "open")
    return folder / "a.tar.gz"


def bundle(folder: Path) -> Path:
    text("pins.json", json.dumps({"thing/model.bin": PIN}))(folder)
    with tarfile.open(folder / "b.tar", "w") as tar:
        tar.add(folder / "pins.json", "pins.json")
    return folder / "b.tar"


def bundled(path: Path) -> object:
    with local_source.opened(path) as (_, pins):
        return pins


def packed_text(folder: Path) -> Path:
    (folder / "a.txt.gz").write_bytes(gzip.compress(b"A sentence.\nAnother.\n\nThe end.\n", mtime=0))
    return folder / "a.txt.gz"


def read_text(path: Path) -> object:
    """A text as instances."""
    found = source_text.prepare(path, path.with_name("plain.txt"), None)
    return engine.instances(found.plain.read_bytes(), TOKENIZER, Recipe(dupe_factor=1), engine.fastest())


def unpacked(path: Path) -> object:
    with archive.opened(path) as root:
        return tree.read(root)


LOGGED = {
    "effective_scenario": "Offline",
    "result_validity": "VALID",
    "result_samples_per_second": 5.5,
    "power_end": "",
}


def result_log(folder: Path) -> Path:
    entries = ({"key": key, "value": value, "metadata": {"is_error": False}} for key, value in LOGGED.items())
    lines = "".join(f":::MLLOG {json.dumps(entry)}\n" for entry in entries)
    return text(log_files.DETAIL, lines)(folder / "open/Acme/results/box/bert-99/Offline/performance/run_1")


def in_package(name: str, content: str) -> Callable[[Path], Path]:
    """A file below open/Acme, next to a performance log."""

    def make(folder: Path) -> Path:
        result_log(folder)
        return text(name, content)(folder / "open" / "Acme")

    return make


def package_of(path: Path) -> object:
    root = next(one for one in path.parents if (one / "open").is_dir())
    with redirect_stdout(io.StringIO()):
        return show.main([str(root)]), check.main([str(root)])


def trained(name: str) -> Callable[[Path], Path]:
    """A file of a short training run."""

    def make(folder: Path) -> Path:
        listeners = (
            ComplianceLog(folder / mllog_file.NAME, cleared=caches.PAGE_CACHE),
            RecordWriter(folder),
            StepsTable(folder),
        )
        training_events.send(training_events.whole((0.1, 0.8)), *listeners)
        return folder / name

    return make


def reported(*paths: Path) -> object:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return report.main([str(path) for path in paths])


def sound_run(path: Path) -> None:
    package_runs.require_sound(package_runs.read([path.parent])[0])


def replayed_run(path: Path) -> object:
    then, now = replay.read(path).record, records.record()
    return differences(then, now, sections(then, now))


RUN = json.dumps(encode(records.record(notices=("a", "b"))))
NODE = NodeRecord(
    address="a:1",
    name="a:1",
    instances=2,
    planned_for="Server",
    sent="tokens",
    samples_per_s=5.0,
    batches=3,
    samples=4,
    losses=(NodeLoss(unix_s=1.0, reason="a", jobs_moved=1, address="b:1"),),
    machine=encode(NodeMachine(facts=machine_facts.facts(), threads=2, description={"cooling": "air"})),
)
RUN_ON_NODES = json.dumps(encode(records.record(nodes=(NODE,))))
ROW = rows.SweepRow(
    point={"threads": 2},
    repeat=1,
    given={"threads": 2},
    exit_code=0,
    verdict="VALID",
    error=None,
    figures={"p99_ms": 5.0},
)
CHECKPOINT = checkpoint_record.Checkpoint(
    step=1,
    samples=2,
    seed=3,
    score=0.5,
    best=None,
    loss_scale=1.0,
    good_steps=1,
    skipped=0,
    network="a",
    task={"stage": 1},
)
INDEX = {
    "mine": {"backend": "openvino", "precision": "int8", "model": "demo", "engine": "a", "build_s": 1, "built_on": {}}
}
STEP = {"command": "x", "started": "2026-01-02T03:04:05+00:00", "ended": "2026-01-02T03:04:06+00:00", "exit_code": 0}
STEPS = Step("Offline", "accuracy", RunConfig(), 1.0)
PIN = {"bytes": 1, "sha256": "a", "mtime_ns": 1, "stated": "a", "origin": "b", "verified": "c"}
TOML = 'scenario = "Server"\nthreads = 3\ntarget_qps = 4.5\ndataset = "a.json"\nroi = true\n'
CONF = "*.Server.target_qps = 100\nbert.Server.min_query_count = 64\n"
AUDIT = "*.*.mode = 2\n*.*.accuracy_log_rng_seed = 720381539243781796\n*.*.accuracy_log_sampling_target = 4096\n"

PACKAGE = {
    "systems/box.json": json.dumps({"system_name": "a", "hw_notes": "b", "number_of_nodes": "1"}),
    "results/box/bert-99/Offline/measurements.json": json.dumps({"marks": ["a"], "weight_data_types": "fp32"}),
    "results/box/bert-99/Offline/accuracy/accuracy.txt": '{"exact_match": 83.5, "f1": 90.5}\n',
    "model_mapping.json": json.dumps({"bert-99": "bert-99"}),
}


def read_instances(path: Path) -> object:
    """Opened as whatever it is, in its directory if that has a list of shards, and read whole."""
    found = open_instances(path.parent if path.name == mapped.INDEX or path.suffix == ".shard" else path)
    return found.take(np.arange(len(found)))


def a_data_set(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        metadata = Metadata(max_seq_length=128, max_predictions=20, vocabulary_size=3_055, texts={"a": "b"})
        mapped.write_data_set(folder / "data", [INSTANCES_OF_TWO], metadata)
        return folder / "data" / name

    return make


def hdf5_file(folder: Path) -> Path:
    hdf5.write_file(folder / "a.hdf5", INSTANCES_OF_TWO, 128, 20, compressed=True)
    return folder / "a.hdf5"


def tfrecord_file(folder: Path) -> Path:
    tfrecord.write_file(folder / "a.tfrecord", INSTANCES_OF_TWO, 128, 20)
    return folder / "a.tfrecord"


INSTANCES_OF_TWO = from_rows(GOLDEN[:2])
READERS = {
    "a list of shards": Reader(a_data_set(mapped.INDEX), read_instances),
    "a shard": Reader(a_data_set(mapped.shard_name(0, 1)), read_instances),
    "HDF5": Reader(hdf5_file, read_instances),
    "TFRecords": Reader(tfrecord_file, read_instances),
    "run.json": Reader(text("run.json", RUN), run_record.read),
    "run.json of nodes": Reader(text("run.json", RUN_ON_NODES), lambda path: figures.report(run_record.read(path))),
    "run.json in kpi": Reader(text("run.json", RUN), lambda path: figures.report(run_record.read(path))),
    "run.json in replay": Reader(text("run.json", RUN), replayed_run),
    "run.json in a sweep": Reader(text("run.json", RUN), lambda path: rows.outcome(path.parent, exit_code=0)),
    "run.json beside a log": Reader(text("run.json", RUN), accuracy_report.notices_beside),
    "rows.jsonl": Reader(text("rows.jsonl", f"{json.dumps(encode(ROW))}\n" * 2), rows.read),
    "compare.json": Reader(
        text("compare.json", json.dumps(INDEX)),
        lambda path: compare_engines.find("mine", RunConfig(backend="openvino", precision="int8"), path.parent),
    ),
    "order.json": Reader(
        text("order.json", json.dumps({"command": "x", "order": {"a": 1}})),
        lambda path: request_file.read(Workspace(path.parent)),
    ),
    "step.json": Reader(
        text("runs/Offline/accuracy/step.json", json.dumps(STEP)),
        lambda path: runs.times(STEPS, Workspace(path.parents[3])),
    ),
    "pins.json": Reader(text("pins.json", json.dumps({"a/b": PIN})), lambda path: AssetCache(path.parent).pins()),
    "a bundle": Reader(bundle, bundled),
    "a partial file's notes": Reader(
        text("a.part.json", json.dumps({"http://a": '"etag"'})),
        lambda path: PartialFile(path.with_suffix("")).validator("http://a"),
    ),
    "a catalogue": Reader(text("assets.toml", catalogue(b"x", "http://a/b")), catalogues.read),
    "a file of settings": Reader(text("a.toml", TOML), lambda path: resolve.resolve({}, resolve.read_toml(path))),
    "user.conf": Reader(
        text("user.conf", CONF), lambda path: user_conf.read(RunConfig(user_conf=path, scenario="Server"), "bert")
    ),
    "audit.config": Reader(text("audit.config", AUDIT), lambda path: audit_config.read(RunConfig(audit_config=path))),
    "a detail log": Reader(result_log, lambda path: detail_log.performance(path.parent, "Offline", 1)),
    "a package's log": Reader(result_log, package_of),
    **{f"a package's {name}": Reader(in_package(name, content), package_of) for name, content in PACKAGE.items()},
    "a system's facts": Reader(
        text("box.toml", 'status = "available"\ncooling = "air"\n'), system_description.read_toml_facts
    ),
    "a tarball": Reader(packed, unpacked),
    "a training system's facts": Reader(
        text("box.toml", 'status = "rdi"\ncooling = "air"\n'), training_system.read_facts
    ),
    "run.json of a training": Reader(trained(log_files.RUN), training_record.read),
    "run.json in a report": Reader(trained(log_files.RUN), reported),
    "run.json in a comparison": Reader(trained(log_files.RUN), lambda path: reported(path, path)),
    "run.json in a package": Reader(trained(log_files.RUN), sound_run),
    "MLLOG lines in a package": Reader(trained(mllog_file.NAME), sound_run),
    "the MLLOG lines of a training": Reader(trained(mllog_file.NAME), mllog_file.read),
    "a configuration of pre-training": Reader(
        text("a.toml", 'model = "bert-base"\nseed = 3\nlearning_rate = 1.5\ndata_dir = "a"\ncompile = true\n'),
        lambda path: training_config.read(str(path)),
    ),
    "checkpoint.json": Reader(
        text("checkpoint.json", json.dumps(encode(CHECKPOINT))), lambda path: checkpoint_record.checked(path.parent)
    ),
    "a text": Reader(text("a.txt", "A sentence.\nÀ \x1cother.\n\nThe 中 end"), read_text),
    "a compressed text": Reader(packed_text, read_text),
    "articles of WikiExtractor": Reader(
        text("wiki_00", '<doc id="1" title="A">\nA\n\nIt is Dr. A. So it is.\n</doc>\n'), read_text
    ),
    "JSON lines of text": Reader(
        text("a.jsonl", '{"title": "A", "text": "A\\nIt is."}\n{"text": "So \\ud800 it is."}\n'), read_text
    ),
    "a vocabulary for pre-training": Reader(text("vocab.txt", "\n".join([*SPECIAL, "a", "##a", "à"])), Tokenizer),
    "steps.csv": Reader(trained(steps_table.NAME), lambda path: steps_table.read(path.parent)),
}
