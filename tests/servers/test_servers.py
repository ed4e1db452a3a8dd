"""Real servers of KServe v2 under LoadGen, and a client that is not ours against a node (make test-servers).

Each server has a virtual environment of its own, in the directory that SERVERS names. All serve the demo model through
ONNX Runtime, so that their scores must be the local one.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from command import Command, Ended, wait_until
from paths import ASSETS, ROOT
from small_bert import write_onnx

from backends.base import Batch, Options
from backends.bert.checkpoints import find_model, with_config
from backends.onnxruntime_cpu.backend import OnnxRuntimeBackend
from qsl import demo, squad
from qsl.base import Features

_QUESTIONS, _SEED = 150, 11
_HERE = Path(__file__).parent
_SERVERS = Path(os.environ.get("SERVERS", ROOT / ".servers"))
_MODEL = ASSETS / "demo"


class Site(NamedTuple):
    """What all tests share: data, the model as a graph, and the local run's score."""

    folder: Path
    flags: list[str]
    graph: Path
    features: Features
    score: dict[str, float]

    def run(self, name: str, *more: str) -> Ended:
        (self.folder / name).mkdir()
        with Command(self.folder / name, "sut", [*self.flags, "--log-dir", "logs", *more]) as command:
            return command.end()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("servers")
    dataset, vocab = folder / "dev.json", _MODEL / "vocab.txt"
    demo.write(dataset, "dev", _SEED, _QUESTIONS)
    flags = ["--dataset", str(dataset), "--vocab", str(vocab), "--cache-dir", str(folder / "cache")]
    graph = write_onnx(folder / "demo.onnx", with_config(find_model(str(_MODEL))), {})
    found = Site(folder, flags, graph, squad.load(dataset, vocab, None).features, {})
    return found._replace(score=_score(found.run("local", "--mode", "accuracy")))


def _score(ended: Ended) -> dict[str, float]:
    assert ended.code == 0, ended.err
    result = ended.record()["result"]
    return {name: result[name] for name in ("exact_match", "f1", "samples_answered")}


def _ports(number: int) -> list[int]:
    """Ports that are free now."""
    bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports: list[int] = [one.getsockname()[1] for one in bound]
    for one in bound:
        one.close()
    return ports


@contextmanager
def _process(name: str, words: list[str], folder: Path, ready: str, **environment: str) -> Iterator[None]:
    """A server's process in its virtual environment, until its URL `ready` says that it is."""
    folder.mkdir()
    binaries = _SERVERS / name / "bin"
    path = os.pathsep.join([str(binaries), os.environ["PATH"]])
    with (folder / "out.txt").open("wb") as out:
        process = subprocess.Popen(
            [str(binaries / words[0]), *words[1:]],
            cwd=folder,
            env={**os.environ, "PATH": path, **environment},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or _answers(ready))
        assert process.poll() is None, (folder / "out.txt").read_text(errors="replace")[-2000:]
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - of this test
        return bool(answer.status == 200)
    return False


@pytest.fixture(scope="module")
def triton(site: Site) -> Iterator[dict[str, str]]:
    """Triton, which takes 16 samples a call."""
    http, grpc = _ports(2)
    words = ["python", str(_HERE / "triton_server.py"), str(site.graph), str(http), str(grpc)]
    folder = site.folder / "triton"
    with _process(
        "triton", words, folder, f"http://127.0.0.1:{http}/v2/models/bert/ready", PYTRITON_HOME=str(folder / "home")
    ):
        yield {"grpc": f"v2://127.0.0.1:{grpc}/bert", "http": f"v2+http://127.0.0.1:{http}/bert"}


@pytest.fixture(scope="module")
def mlserver(site: Site) -> Iterator[dict[str, str]]:
    """MLServer, which has JSON alone over HTTP."""
    http, grpc, metrics = _ports(3)
    folder = site.folder / "mlserver-model"
    folder.mkdir()
    (folder / "settings.json").write_text(
        json.dumps({"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics})
    )
    names = {"inputs": ("input_ids", "input_mask", "segment_ids"), "outputs": _outputs(site)}
    tensors = {
        part: [{"name": name, "datatype": kind, "shape": [-1, -1]} for name in names[part]]
        for part, kind in (("inputs", "INT64"), ("outputs", "FP32"))
    }
    model = {"name": "bert", "implementation": "mlserver_model.OnnxModel", "parallel_workers": 0, **tensors}
    model["parameters"] = {"uri": str(site.graph)}
    (folder / "model-settings.json").write_text(json.dumps(model))
    words, url = ["mlserver", "start", str(folder)], f"http://127.0.0.1:{http}/v2/models/bert/ready"
    with _process("mlserver", words, site.folder / "mlserver", url, PYTHONPATH=str(_HERE)):
        yield {"grpc": f"v2://127.0.0.1:{grpc}/bert", "http": f"v2+http://127.0.0.1:{http}/bert"}


def _outputs(site: Site) -> tuple[str, ...]:
    import onnxruntime

    return tuple(one.name for one in onnxruntime.InferenceSession(site.graph).get_outputs())


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("server", ["triton", "mlserver"])
def test_a_server_scores_as_the_local_engine(
    request: pytest.FixtureRequest, site: Site, server: str, protocol: str
) -> None:
    model = request.getfixturevalue(server)[protocol]
    ended = site.run(f"{server}-{protocol}", "--backend", "v2", "--model", model, "--mode", "accuracy")
    assert _score(ended) == site.score
    record = ended.record()
    assert record["server"]["name"] == server and record["server"]["version"]
    assert record["server"]["most_batch"] == (16 if server == "triton" else None)
    assert record["precision"] == "unknown" and not record["submittable"]


@pytest.mark.parametrize("server", ["triton", "mlserver"])
@pytest.mark.parametrize("scenario", ["Offline", "SingleStream"])
def test_a_server_under_loadgen_is_valid(
    request: pytest.FixtureRequest, site: Site, server: str, scenario: str
) -> None:
    model = request.getfixturevalue(server)["grpc"]
    ended = site.run(
        f"{server}-{scenario}", "--backend", "v2", "--model", model, "--scenario", scenario,
        "--test-query-count", "150",
    )  # fmt: skip
    assert (ended.code, ended.record()["verdict"]) == (0, "VALID"), ended.out + ended.err


@pytest.fixture(scope="module")
def node(site: Site) -> Iterator[dict[str, str]]:
    """A node of ours with both faces, which needs a token."""
    (site.folder / "node").mkdir()
    token = site.folder / "token"
    token.write_text("0123456789abcdef" * 2)
    words = ["serve", *site.flags, "--v2-port", "0", "--v2-grpc-port", "0", "--token-file", str(token)]
    out = site.folder / "node" / "out.txt"
    with Command(site.folder / "node", "sut", words) as command:
        found = command.wait_until(lambda: len(re.findall("serving at", out.read_text())) == 2)
        assert found
        text = out.read_text()
        yield {kind: _address(rf"at {scheme}://(\S+)/bert", text) for kind, scheme in _SCHEMES.items()}


_SCHEMES = {"grpc": "v2", "http": r"v2\+http"}


def _address(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found
    return found[1]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_foreign_client_gets_the_answers_of_the_engine(site: Site, node: dict[str, str], protocol: str) -> None:
    batch = [site.features.sample(number)[0] for number in range(3)]
    done = _foreign_client(node[protocol], protocol, batch, (site.folder / "token").read_text())
    assert done.returncode == 0, done.stderr
    backend = OnnxRuntimeBackend(Options(threads=1))
    backend.load(with_config(find_model(str(_MODEL))))
    expected = backend.infer(Batch.of([(ids, np.zeros_like(ids)) for ids in batch]))[:, 0]
    np.testing.assert_allclose(np.concatenate(json.loads(done.stdout)), expected, atol=1e-3)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_foreign_client_without_the_token_is_refused(site: Site, node: dict[str, str], protocol: str) -> None:
    done = _foreign_client(node[protocol], protocol, [site.features.sample(0)[0]], None)
    assert done.returncode != 0 and "expected the node's token" in done.stderr


def _foreign_client(url: str, protocol: str, batch: list[Any], token: str | None) -> subprocess.CompletedProcess[str]:
    words = [str(_SERVERS / "triton" / "bin" / "python"), str(_HERE / "foreign_client.py"), url, protocol]
    text = json.dumps([ids.tolist() for ids in batch])
    return subprocess.run(
        [*words, *filter(None, [token])], input=text, capture_output=True, text=True, check=False, timeout=60
    )
