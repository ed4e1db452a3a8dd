"""Submission trees that every rule is satisfied by, without ten-minute runs, and ways to break them.

LoadGen itself writes the logs, in short runs with the round's seeds; then the few values are put in that a run of ten
minutes would have had. A tree holds the files that are required and no other.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from foundation import rules
from foundation.log_files import DETAIL
from submission.check import tree
from submission.check.verdict import Verdict, examine
from submission.rules import rounds
from submission.rules.layout import ResultLayout
from sut.queries import loadgen
from sut.settings.resolve import resolve

FIGURE = 1_000_000  # of every performance run and TEST01: samples/s, or ns
SUBMITTER, SYSTEM, MODEL = "Acme", "one_box", "bert-99"
AUDIT_CONFIG = (
    "*.*.mode = 2\n"
    f"*.*.accuracy_log_rng_seed = {rounds.TEST01_LOG_RNG_SEED}\n"
    f"*.*.accuracy_log_sampling_target = {rounds.TEST01_LOG_SAMPLING_TARGET}\n"
)
ACCURACY_TXT = '{"exact_match": 83.5, "f1": 90.5}\n'
SAMPLED_TXT = '{"exact_match": 83.6, "f1": 90.6}\n'
PASSED = "the answers are the same\nTEST PASS\n"
_NOT_TEXT = {"division": "", "submitter": SUBMITTER, "status": "available", "system_type": "edge"}
_NUMBERS = {"number_of_nodes": "1", "host_processors_per_node": "2", "accelerators_per_node": "0"}
NETWORK_NAME = "mlperf-bert-sut Network SUT: a:7000"
_MARKER = ":::MLLOG "
_QUERIES = {"Offline": rules.SAMPLES, "SingleStream": 1024, "Server": 1024, "MultiStream": 700}


@dataclass(frozen=True)
class Built:
    """A tree on disk."""

    root: Path
    round: rounds.Round
    division: str

    def layout(self, scenario: str) -> ResultLayout:
        return ResultLayout(self.round, self.division, SUBMITTER, SYSTEM, MODEL, scenario)

    def copy(self, root: Path) -> Built:
        shutil.copytree(self.root, root)
        return Built(root, self.round, self.division)

    def write(self, path: PurePosixPath, content: str | bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content.encode() if isinstance(content, str) else content)

    def sha256(self, path: PurePosixPath) -> str:
        return hashlib.sha256((self.root / path).read_bytes()).hexdigest()

    def verdict(self, round_name: str | None = None) -> Verdict:
        """By the rules of its own round, or of another."""
        return examine(tree.read(self.root), rounds.find(round_name) if round_name else self.round)

    def files(self) -> list[PurePosixPath]:
        found = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return sorted(PurePosixPath(path.as_posix()) for path in found)


# (round, division, scenarios) → a tree
Trees = Callable[..., Built]


def rewrite(text: str, values: dict[str, Any]) -> str:
    lines = (_rewritten(line, values) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def _rewritten(line: str, values: dict[str, Any]) -> str:
    entry = json.loads(line.removeprefix(_MARKER))
    if entry["key"] not in values:
        return line
    entry["value"] = values[entry["key"]]
    return "" if entry["value"] is None else _MARKER + json.dumps(entry)


class Logs:
    """LoadGen's files for a scenario of a round, each made once: performance, accuracy, and test01."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, round_name: str, scenario: str, kind: str) -> Path:
        folder = self._folder / f"{round_name}-{scenario}-{kind}"
        if not folder.exists():
            folder.mkdir()
            self._run(folder, round_name, scenario, kind)
            detail = folder / "mlperf_log_detail.txt"
            official = {
                "effective_min_duration_ms": rules.MIN_DURATION_S * 1000,
                rules.SCENARIOS[scenario].result_key: FIGURE,
            }
            detail.write_text(rewrite(detail.read_text(encoding="utf-8"), official), encoding="utf-8")
        return folder

    def _run(self, folder: Path, round_name: str, scenario: str, kind: str) -> None:
        flags: dict[str, Any] = {
            "scenario": scenario,
            "round": round_name,
            "mode": "accuracy" if kind == "accuracy" else "performance",
            "test_query_count": _QUERIES[scenario],
            "target_latency_ms": 60_000.0 if scenario == "Server" else None,
        }
        config = resolve({key: value for key, value in flags.items() if value is not None})
        loadgen.start_test(
            loadgen.plan(config, "bert", rules.SAMPLES, 20_000.0).settings,
            folder,
            samples=rules.SAMPLES,
            issue_queries=_answer,
            load_query_samples=lambda indexes: None,
            audit_config=AUDIT_CONFIG if kind == "test01" else "",
        )


def _answer(ids: list[int], indexes: list[int]) -> None:
    """One token a sample; its logits are the sample's index."""
    outputs = np.repeat(np.asarray(indexes, np.float32)[:, None], 2, axis=1)
    loadgen.complete(np.asarray(ids, np.int64), outputs, np.ones(len(ids), np.int64))


def build(root: Path, of: rounds.Round, division: str, logs: Logs, scenarios: tuple[str, ...]) -> Built:
    """A tree with these scenarios, and all that the round wants of the division."""
    built = Built(root, of, division)
    for scenario in scenarios:
        where = built.layout(scenario)
        _result(built, where, logs)
        if where.is_closed:
            _test01(built, where, logs)
    built.write(where.system_json, json.dumps(_system(division)))
    built.write(where.model_code / "README.md", "# Where the code is\n")
    if division != "open" and of.calibration:
        built.write(where.calibration, "# Nothing is quantized\n")
    return built


def _result(built: Built, where: ResultLayout, logs: Logs) -> None:
    run, accuracy = (logs.of(where.round.name, where.scenario, kind) for kind in ("performance", "accuracy"))
    for name in rounds.PERFORMANCE_FILES:
        built.write(where.performance / name, _named(run / name, where))
        built.write(where.accuracy / name, (accuracy / name).read_bytes())
    whole = (accuracy / "mlperf_log_accuracy.json").read_bytes()
    built.write(where.accuracy / "mlperf_log_accuracy.json", cut(whole))
    built.write(where.accuracy_txt, f"{ACCURACY_TXT}hash={hashlib.sha256(whole).hexdigest()}\n")
    built.write(where.measurements, json.dumps(dict.fromkeys(rounds.MEASUREMENTS_KEYS, "fp32")))
    built.write(where.user_conf, "*.*.target_latency = 2\n")
    built.write(where.readme, "# How it was run\n")


def _named(log: Path, where: ResultLayout) -> str:
    """The log, with the name that a SUT behind a network has."""
    text = log.read_text(encoding="utf-8")
    is_named = where.division == rounds.NETWORK and log.name == DETAIL
    return rewrite(text, {"sut_name": NETWORK_NAME}) if is_named else text


def _test01(built: Built, where: ResultLayout, logs: Logs) -> None:
    run = logs.of(where.round.name, where.scenario, "test01")
    for name in rounds.PERFORMANCE_FILES:
        built.write(where.test01_performance / name, _named(run / name, where))
    whole = (run / "mlperf_log_accuracy.json").read_bytes()
    built.write(where.test01_accuracy / "mlperf_log_accuracy.json", cut(whole))
    built.write(where.test01_accuracy / "accuracy.txt", SAMPLED_TXT)
    built.write(where.verify_accuracy, PASSED)
    built.write(where.verify_performance, PASSED)


def cut(whole: bytes) -> bytes:
    keep = rounds.TRUNCATE_KEEP_BYTES
    return whole[:keep] + rounds.TRUNCATION_MARK + whole[-keep:]


def _system(division: str) -> dict[str, str]:
    said = dict.fromkeys(rounds.SYSTEM_KEYS, "N/A") | dict.fromkeys(rounds.SYSTEM_KEYS_MAY_BE_EMPTY, "")
    network = dict.fromkeys(rounds.NETWORK_KEYS, "N/A") | {rounds.IS_NETWORK: "true"}
    return said | _NOT_TEXT | _NUMBERS | {"division": division} | (network if division == rounds.NETWORK else {})
