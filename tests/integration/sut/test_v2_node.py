"""A node of KServe v2 as a process, and runs of backend v2 against it: by both protocols the local score, VALID."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import LOGS, Command, Ended, assert_refused
from paths import ASSETS

from backends.base import Batch
from backends.fake import fake_answer
from qsl import demo, squad
from qsl.base import Features

_QUESTIONS, _SEED = 150, 11
_FAKE = ("--backend", "fake", "--model", "fake:sleep_ms=1")


class Site:
    """A node with both faces, and the data of its clients."""

    def __init__(self, folder: Path, node: Command, data: list[str], features: Features) -> None:
        self.folder, self.node, self.data, self.features = folder, node, data, features
        text = (folder / "node" / "out.txt").read_text(encoding="utf-8")
        self.models: dict[str, str] = dict(re.findall(r"serving at (\S+?)://(\S+) with fake", text))

    def run(self, name: str, *more: str) -> Ended:
        (self.folder / name).mkdir()
        with Command(self.folder / name, "sut", [*self.data, "--log-dir", "logs", *more]) as command:
            return command.end()

    def drive(self, scheme: str, *more: str) -> Ended:
        """A run of backend v2 against the node."""
        name = f"{scheme}-{'-'.join(more)}".replace(os.sep, "_")
        return self.run(name, "--backend", "v2", "--model", f"{scheme}://{self.models[scheme]}", *more)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("v2")
    dataset, vocab = folder / "dev.json", ASSETS / "demo" / "vocab.txt"
    demo.write(dataset, "dev", _SEED, _QUESTIONS)
    data = ["--dataset", str(dataset), "--vocab", str(vocab), "--cache-dir", str(folder / "cache")]
    (folder / "node").mkdir()
    words = ["serve", "--v2-port", "0", "--v2-grpc-port", "0", *data, *_FAKE, "--instances", "2"]
    with Command(folder / "node", "sut", words) as node:
        out = folder / "node" / "out.txt"
        node.wait_until(lambda: out.read_text(encoding="utf-8").count("serving at") == 2)
        yield Site(folder, node, data, squad.load(dataset, vocab, None).features)


def _score(ended: Ended) -> dict[str, Any]:
    result = ended.record()["result"]
    return {name: result[name] for name in ("exact_match", "f1", "samples_answered")}


def test_both_protocols_give_each_sample_its_answer_and_the_local_score(site: Site) -> None:
    local = _score(site.run("local", *_FAKE, "--mode", "accuracy"))
    for scheme in ("v2", "v2+http"):
        ended = site.drive(scheme, "--mode", "accuracy")
        assert _score(ended) == local, ended.err
        entries = json.loads((ended.folder / "logs" / LOGS[2]).read_text(encoding="utf-8"))
        assert sorted(entry["qsl_idx"] for entry in entries) == list(range(len(site.features)))
        for entry in entries:
            found = np.frombuffer(bytes.fromhex(entry["data"]), "<f4").reshape(-1, 2)
            np.testing.assert_array_equal(found, fake_answer(Batch.of([site.features.sample(entry["qsl_idx"])])))
        record = ended.record()
        assert record["server"]["protocol"] == ("http" if "http" in scheme else "grpc")
        assert (record["server"]["name"], record["server"]["platform"]) == ("mlperf-bert-sut", "fake_fp32")
        assert record["precision"] == "unknown" and not record["submittable"]
        assert any("weights and precision are not known here" in one for one in record["notices"])


@pytest.mark.parametrize(
    "flags",
    [
        ("--scenario", "Offline", "--test-query-count", "300"),
        ("--scenario", "Server", "--target-qps", "400", "--test-query-count", "800", "--target-latency-ms", "2000"),
    ],
)
def test_runs_against_a_node_are_valid(site: Site, flags: tuple[str, ...]) -> None:
    ended = site.drive("v2", *flags)
    assert (ended.code, ended.record()["verdict"]) == (0, "VALID"), ended.out + ended.err


def test_mistakes_are_one_line_and_a_node_that_ends_fails_the_run(site: Site) -> None:
    address = site.models["v2"].partition("/")[0]
    unknown = site.run("unknown", "--backend", "v2", "--model", f"v2://{address}/other")
    assert_refused(unknown, "NOT_FOUND: expected model 'bert', version '1', found 'other'")
    (site.folder / "under-way").mkdir()
    words = ["--backend", "v2", "--model", f"v2://{site.models['v2']}", "--scenario", "SingleStream"]
    words += ["--min-duration-s", "60", *site.data, "--log-dir", "logs"]
    with Command(site.folder / "under-way", "sut", words) as run:
        run.wait_for_run()
        os.kill(site.node.pid, signal.SIGINT)
        ended = site.node.end()
        assert (ended.code, ended.errors) == (0, []) and "ending: answering what is under way" in ended.err
        assert_refused(run.end(), "the run FAILED", f"at {address}", code=3)
    gone = site.run("gone", "--backend", "v2", "--model", f"v2://{address}/bert")
    assert_refused(gone, f"expected a server of KServe v2 (grpc) at {address}", "Type the address of one that runs")
