"""Every reader of a file that somebody else may have written, on damaged content: a result or an error for a person.

The damage is drawn from a fixed seed: a file cut short, a bit flipped, a word of it replaced by what breaks readers.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import records
from bad_server import catalogue
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_onnx import write_plain_onnx
from small_bert import random_tensors, write_model

from accuracy import log as accuracy_log
from accuracy import report as accuracy_report
from backends.base import Options
from backends.bert.checkpoints import find_model, read_weights, with_signature
from backends.bert.config import BertConfig
from backends.bert.model import Model
from backends.onnxruntime_cpu import sparsity
from backends.quantization.engine_store import settings as settings_of
from backends.quantization.engine_tensors import Arrays, EngineFormat
from backends.replay import ReplayBackend, write_answers
from foundation import bounded_readers, log_files
from foundation.array_files import parse_array
from foundation.bounded_readers import UnreadableError, read_bytes
from foundation.errors import UserError
from foundation.typed_json import encode
from qsl import calibration_list, demo, feature_cache, squad, sst2
from qsl.wordpiece import WordPiece
from submission import show
from submission.check import archive, tree
from submission.check import command as check
from submission.check.failure import RefusedError
from submission.package import system_description
from submission.submit import request_file, runs
from submission.submit.plan import Step
from submission.submit.workspace import Workspace
from sut.commands.compare import engines as compare_engines
from sut.commands.kpi import figures
from sut.commands.replay import command as replay
from sut.commands.replay.differences import differences, sections
from sut.commands.sweep import rows
from sut.fetch import catalogue as catalogues
from sut.fetch import resolve as asset_paths
from sut.fetch.store import AssetCache
from sut.record import detail_log, run_record
from sut.settings import audit_config, resolve, user_conf
from sut.settings.settings import RunConfig

EXAMPLES = 20  # of each reader
TINY = BertConfig(vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
WORDS = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|[A-Za-z_]\w*|\S')
NASTY = [
    *(b"", b"\0", b"\xff", b"\xed\xa0\x80", b"null", b"true", b"[]", b"{}", b'""', b'"text"', b'{"a": 1}', b"[[1]]"),
    *(b"-1", b"0", b"1.5", b"1e999", b"NaN", b"-Infinity", b"18446744073709551616", b"9" * 5_000),
    *(b"[" * 3_000, b'{"a":' * 3_000, rb'"\ud800"', rb'"\u0000"', b"\x1b[2J", b"\n", b"\r\n\r\n", b"\t", b","),
]  # fmt: skip


@dataclass(frozen=True)
class Damage:
    """What is done to a file; positions are shares of its length."""

    kind: str
    at: float
    word: bytes

    def of(self, content: bytes) -> bytes:
        at = int(self.at * len(content))
        if self.kind == "cut":
            return content[:at]
        if self.kind == "flip" and content:
            return content[:at] + bytes([content[at] ^ 1 << len(self.word) % 8]) + content[at + 1 :]
        words = list(WORDS.finditer(content))
        if self.kind == "insert" or not words:
            return content[:at] + self.word + content[at:]
        found = words[int(self.at * len(words))]
        return content[: found.start()] + self.word + content[found.end() :]


DAMAGES = st.builds(
    Damage,
    st.sampled_from(["cut", "flip", "insert", "replace", "replace", "replace"]),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(NASTY),
)


@dataclass(frozen=True)
class Reader:
    """A reader, and a file that it reads: `make` writes it below a directory and returns its path."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def text(name: str, content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    return make


def stored_answers(folder: Path) -> Path:
    write_answers(folder / "a.npz", [(np.array(ids), np.ones((len(ids), 2), np.float32)) for ids in ([1, 2], [3])])
    return folder / "a.npz"


def answers_of(path: Path) -> object:
    backend = ReplayBackend(Options())
    backend.load(Model(f"replay:{path}", None, None))
    return backend


def data_set(folder: Path) -> Path:
    path = folder / "dev.json"
    demo.write(path, "dev", questions=2)
    return path


def vocabulary() -> Path:
    return asset_paths.demo_model() / "vocab.txt"


def model(name: str) -> Callable[[Path], Path]:
    return lambda folder: write_model(folder, TINY, random_tensors(TINY, 0)) / name


def sharded(folder: Path) -> Path:
    shutil.copytree(write_model(folder / "whole", TINY, random_tensors(TINY, 0)), folder, dirs_exist_ok=True)
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    where = {"weight_map": dict.fromkeys(random_tensors(TINY, 0), "a.safetensors")}
    return text("model.safetensors.index.json", json.dumps(where))(folder)


def onnx_graph(folder: Path) -> Path:
    return write_plain_onnx(folder / "model.onnx", find_model(str(write_model(folder, TINY, random_tensors(TINY, 0)))))


ENGINE: Arrays = {"a": np.ones((8, 8), np.float32), "b": np.ones(8, np.float32)}
FORMAT = EngineFormat("engine.safetensors", lambda config: {name: array.shape for name, array in ENGINE.items()})


def engine(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        FORMAT.write(folder / "engine", TINY, ENGINE, {"settings": {"samples": 5}})
        return folder / "engine" / name

    return make


def features() -> Arrays:
    kinds = {"input_ids": np.int32, "token_type_ids": np.int32, "offsets": np.int64}
    return {name: np.array([0, 2, 3], kind) for name, kind in kinds.items()}


def cached(folder: Path) -> Path:
    feature_cache.cached(folder, "entry", feature_cache.FEATURES, lambda: dict(features()))
    return folder / "entry" / "offsets.npy"


def packed(folder: Path) -> Path:
    import tarfile

    name = folder / "open" / "Acme" / "systems" / "one.json"
    text("one.json", '{"a": 1}')(name.parent)
    with tarfile.open(folder / "a.tar.gz", "w:gz") as tar:
        tar.add(folder / "open", "open")
    return folder / "a.tar.gz"


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


def replayed_run(path: Path) -> object:
    then, now = replay.read(path).record, records.record()
    return differences(then, now, sections(then, now))


RUN = json.dumps(encode(records.record(notices=("a", "b"))))
ROW = rows.SweepRow(
    point={"threads": 2},
    repeat=1,
    given={"threads": 2},
    exit_code=0,
    verdict="VALID",
    error=None,
    figures={"p99_ms": 5.0},
)
INDEX = {
    "mine": {"backend": "openvino", "precision": "int8", "model": "demo", "engine": "a", "build_s": 1, "built_on": {}}
}
STEP = {"command": "x", "started": "2026-01-02T03:04:05+00:00", "ended": "2026-01-02T03:04:06+00:00", "exit_code": 0}
STEPS = Step("Offline", "accuracy", RunConfig(), 1.0)
PIN = {"bytes": 1, "sha256": "a", "mtime_ns": 1, "stated": "a", "origin": "b", "verified": "c"}
ENTRY = {"seq_id": 0, "qsl_idx": 0, "data": "0000803F00000040", "token_count": 1}
TOML = 'scenario = "Server"\nthreads = 3\ntarget_qps = 4.5\ndataset = "a.json"\nroi = true\n'
CONF = "*.Server.target_qps = 100\nbert.Server.min_query_count = 64\n"
AUDIT = "*.*.mode = 2\n*.*.accuracy_log_rng_seed = 720381539243781796\n*.*.accuracy_log_sampling_target = 4096\n"

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b")
TOKENIZER = {
    "model": {
        "type": "WordPiece",
        "vocab": {word: place for place, word in enumerate(VOCABULARY)},
        "unk_token": "[UNK]",
    },
    "normalizer": {"type": "BertNormalizer", "lowercase": False, "strip_accents": None},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "added_tokens": [{"id": 0, "content": "[PAD]"}],
}


def beside(path: Path) -> object:
    """The vocabulary next to a tokenizer_config.json."""
    return WordPiece(text("vocab.txt", "\n".join(VOCABULARY))(path.parent))


PACKAGE = {
    "systems/box.json": json.dumps({"system_name": "a", "hw_notes": "b", "number_of_nodes": "1"}),
    "results/box/bert-99/Offline/measurements.json": json.dumps({"marks": ["a"], "weight_data_types": "fp32"}),
    "results/box/bert-99/Offline/accuracy/accuracy.txt": '{"exact_match": 83.5, "f1": 90.5}\n',
    "model_mapping.json": json.dumps({"bert-99": "bert-99"}),
}

READERS = {
    "run.json": Reader(text("run.json", RUN), run_record.read),
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
    "a catalogue": Reader(text("assets.toml", catalogue(b"x", "http://a/b")), catalogues.read),
    "a file of settings": Reader(text("a.toml", TOML), lambda path: resolve.resolve({}, resolve.read_toml(path))),
    "user.conf": Reader(
        text("user.conf", CONF), lambda path: user_conf.read(RunConfig(user_conf=path, scenario="Server"), "bert")
    ),
    "audit.config": Reader(text("audit.config", AUDIT), lambda path: audit_config.read(RunConfig(audit_config=path))),
    "SQuAD": Reader(data_set, lambda path: squad.load(path, vocabulary(), None)),
    "SST-2": Reader(text("a.tsv", "sentence\tlabel\ngood .\t1\nbad .\t0\n"), sst2.read_labels),
    "vocab.txt": Reader(text("vocab.txt", "\n".join(VOCABULARY)), WordPiece),
    "a calibration list": Reader(
        text("list.txt", "1\n2\n17\n"), lambda path: calibration_list.read_indices(path, path, 20)
    ),
    "features": Reader(cached, lambda path: cached(path.parents[1])),
    "an array": Reader(cached, lambda path: parse_array(read_bytes(path))),
    "config.json": Reader(model("config.json"), lambda path: read_weights(find_model(str(path.parent)))),
    "safetensors": Reader(model("model.safetensors"), lambda path: read_weights(find_model(str(path.parent)))),
    "model.safetensors.index.json": Reader(sharded, lambda path: read_weights(find_model(str(path.parent)))),
    "an ONNX graph": Reader(onnx_graph, lambda path: (with_signature(find_model(str(path))), sparsity.measure(path))),
    "an ONNX graph's weights": Reader(onnx_graph, lambda path: read_weights(find_model(str(path)))),
    "tokenizer.json": Reader(text("tokenizer.json", json.dumps(TOKENIZER)), WordPiece),
    "tokenizer_config.json": Reader(
        text("tokenizer_config.json", json.dumps({"do_lower_case": False, "tokenize_chinese_chars": True})), beside
    ),
    "engine.json": Reader(engine("engine.json"), lambda path: (FORMAT.read(path.parent), settings_of(path.parent))),
    "engine.safetensors": Reader(engine("engine.safetensors"), lambda path: FORMAT.read(path.parent)),
    "an accuracy log": Reader(
        text(log_files.ACCURACY, json.dumps([ENTRY, ENTRY])), lambda path: accuracy_log.read_entries(path, 5)
    ),
    "a detail log": Reader(result_log, lambda path: detail_log.performance(path.parent, "Offline", 1)),
    "a package's log": Reader(result_log, package_of),
    **{f"a package's {name}": Reader(in_package(name, content), package_of) for name, content in PACKAGE.items()},
    "stored answers": Reader(stored_answers, answers_of),
    "a system's facts": Reader(
        text("box.toml", 'status = "available"\ncooling = "air"\n'), system_description.read_toml_facts
    ),
    "a tarball": Reader(packed, unpacked),
}


@pytest.mark.parametrize("name", READERS)
def test_a_good_file_is_read(tmp_path: Path, name: str) -> None:
    READERS[name].read(READERS[name].make(tmp_path))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=EXAMPLES, derandomize=True, database=None)
@given(damage=DAMAGES)
def test_a_damaged_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str, damage: Damage) -> None:
    path = FILES.setdefault(name, READERS[name].make(tmp_path_factory.mktemp("fuzz")))
    content = GOOD.setdefault(name, path.read_bytes())
    path.write_bytes(damage.of(content))
    with suppress(UserError, UnreadableError, RefusedError):
        READERS[name].read(path)


FILES: dict[str, Path] = {}
GOOD: dict[str, bytes] = {}


@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a directory", "a loop of links"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_readers, "_PATIENCE_S", 0.001)  # where a pipe is allowed
    path = READERS[name].make(tmp_path)
    path.unlink()
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "a device" else path.name)
    with suppress(UserError, UnreadableError, RefusedError):
        READERS[name].read(path)
