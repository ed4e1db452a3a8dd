"""The faces of KServe v2 in front of a core, on real sockets: answers by both protocols, refusals, a token, the end."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import certificates
import grpc
import nodes
import numpy as np
import pytest
from damage import DAMAGES, Damage
from hypothesis import given, settings
from nodes import BATCH_TOKENS, FEATURES, LONGEST, VOCABULARY

from backends.access import NO_ACCESS, Access
from backends.base import Batch, Options
from backends.bert.heads import CLASSES, SPANS
from backends.bert.model import Model
from backends.errors import BackendError
from backends.fake import fake_answer
from backends.v2 import http_forms, protobuf
from backends.v2.backend import V2Backend
from backends.v2.http_forms import BINARY
from backends.v2.look_up import look_up
from backends.v2.messages import InferRequest, ServerMetadata
from backends.v2.tensors import Tensor
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.nodes.messages import Tokens
from sut.serving import frame_server
from sut.serving.core import ServingCore
from sut.serving.v2 import samples
from sut.serving.v2.errors import RequestError
from sut.serving.v2.faces import V2Faces
from sut.serving.v2.service import InferenceService

TOKEN = "0123456789abcdef" * 2


class Served:
    """Faces that are started, and where."""

    def __init__(
        self, core: ServingCore, own: Credentials = nodes.NOBODY, patience_s: float = 20.0, header_s: float = 20.0
    ) -> None:
        server = ServerMetadata("sut", "1", (BINARY,))
        bound = [frame_server.bind(Address(nodes.LOOPBACK, 0)) for _ in range(2)]
        self.http, self.grpc = (one.getsockname()[1] for one in bound)
        self.service = InferenceService(core, server, "fake_fp32", SPANS, packed=True, patience_s=patience_s)
        self.faces = V2Faces(self.service, own, bound[0], bound[1], header_s)
        self.faces.start()

    @property
    def models(self) -> dict[str, str]:
        return {"grpc": f"v2://127.0.0.1:{self.grpc}/bert", "http": f"v2+http://127.0.0.1:{self.http}/bert"}

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """The status and the parsed JSON of a plain HTTP call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=20)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if content[:1] in (b"{", b"[") else content

    def infer(self, body: object, **headers: str) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", "/v2/models/bert/infer", content, **headers)


@contextmanager
def served(script: str = "fake", **more: Any) -> Iterator[Served]:
    with nodes.core(script) as core:
        found = Served(core, **more)
        try:
            yield found
        finally:
            found.faces.close("")


@pytest.fixture(scope="module")
def node() -> Iterator[Served]:
    with served() as found:
        yield found


@contextmanager
def client(model: str, access: Access = NO_ACCESS) -> Iterator[V2Backend]:
    found = V2Backend(Options(access=access))
    found.load(Model(model, None, None))
    try:
        yield found
    finally:
        found.close()


def batch(*indexes: int) -> Batch:
    return Batch.of([FEATURES.sample(one) for one in indexes])


def right(one: Batch) -> np.ndarray:
    return fake_answer(one)


def ids(*rows: list[int], name: str = "input_ids", datatype: str = "INT64") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(rows), len(rows[0])], "data": [*itertools.chain(*rows)]}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_every_sample_gets_its_own_answer(node: Served, protocol: str) -> None:
    with client(node.models[protocol]) as found:
        found.warm_up([(2, 5)])
        under_way = [(one, found.begin(one)) for one in (batch(1), batch(*range(40)), batch(3, 2), batch(7))]
        for one, pending in under_way:
            np.testing.assert_array_equal(pending.answers(), right(one))
            assert pending.is_ready()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_what_a_server_says_of_itself(node: Served, protocol: str) -> None:
    found = look_up(node.models[protocol], NO_ACCESS)
    assert (found.facts.name, found.facts.platform, found.facts.model_versions) == ("sut", "fake_fp32", ("1",))
    assert found.signature.head == SPANS and found.facts.most_batch is None


def test_outputs_of_a_request_in_json(node: Served) -> None:
    body = {
        "id": "17",
        "inputs": [
            ids([7, 8, 9], [5, 6, 0], datatype="INT32"),
            ids([1, 1, 1], [1, 1, 0], name="input_mask"),
            ids([0, 1, 1], [0, 0, 0], name="segment_ids"),
        ],
    }
    status, found = node.infer(body)
    outputs = {one["name"]: one for one in found["outputs"]}
    assert (status, found["id"], found["model_name"], list(outputs)) == (
        200, "17", "bert", ["start_logits", "end_logits", "logits"],
    )  # fmt: skip
    assert outputs["start_logits"]["data"] == [7, 7, 7, 5, 5, samples.PADDING]
    assert outputs["end_logits"]["data"] == [7, 9, 11, 5, 7, samples.PADDING]
    assert outputs["logits"]["shape"] == [2, 3, 2]


def test_binary_tensors_both_ways(node: Served) -> None:
    request = InferRequest((Tensor("input_ids", "INT64", np.array([[7, 8]])),), ("end_logits",))
    body = http_forms.write_request(request, binary=True)
    connection = http.client.HTTPConnection("127.0.0.1", node.http)
    connection.request("POST", "/v2/models/bert/versions/1/infer", body.content, body.headers)
    answer = connection.getresponse()
    length = int(answer.headers[http_forms.JSON_LENGTH])
    [found] = http_forms.read_response(answer.read(), length).outputs
    connection.close()
    assert (found.name, found.array.tolist()) == ("end_logits", [[7, 9]])


ROW = [5, 6]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "expected JSON"),
        ({"inputs": []}, "expected an input input_ids"),
        ({"inputs": [ids(ROW), ids(ROW)]}, "each once"),
        ({"inputs": [ids(ROW, name="pixels")]}, "expected inputs among"),
        ({"inputs": [{"name": "input_ids", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}, "INT64 or INT32"),
        ({"inputs": [{"name": "input_ids", "datatype": "INT64", "shape": [2], "data": ROW}]}, "one shape"),
        ({"inputs": [{"name": "input_ids", "datatype": "INT64", "shape": [0, 2], "data": []}]}, "one shape"),
        ({"inputs": [{"name": "input_ids", "datatype": "INT64", "shape": [1, 2**30], "data": ROW}]}, "values"),
        ({"inputs": [ids(ROW), ids([1], name="attention_mask")]}, "one shape"),
        ({"inputs": [ids(ROW), ids([0, 1], name="attention_mask")]}, "ones, then zeros"),
        ({"inputs": [ids(ROW), ids([0, 0], name="attention_mask")]}, "ones, then zeros"),
        ({"inputs": [ids(ROW), ids([2, 0], name="attention_mask")]}, "ones, then zeros"),
        ({"inputs": [ids(ROW), ids([1, 0], name="token_type_ids")]}, "token_type_ids"),
        ({"inputs": [ids([5, -1])]}, "expected token ids from 0"),
        ({"inputs": [ids([5, 2**40])]}, "expected token ids from 0"),
        ({"inputs": [ids([5, VOCABULARY])]}, f"expected token ids from 0 to {VOCABULARY - 1}"),
        ({"inputs": [ids([5] * (LONGEST + 1))]}, f"at most {LONGEST} tokens"),
        ({"inputs": [ids(ROW)], "outputs": [{"name": "pooled"}]}, "expected outputs among"),
        ({"inputs": [ids(ROW)], "outputs": [{"name": "logits"}] * 2}, "each once"),
    ],
)
def test_requests_that_are_refused(node: Served, body: object, words: str) -> None:
    status, found = node.infer(body)
    assert status == 400 and words in found["error"]
    assert node.service.is_idle


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v2/health/live", (200, {"live": True})),
        ("GET", "/v2/health/ready", (200, {"ready": True})),
        ("GET", "/v2/models/bert/ready", (200, {"ready": True})),
        ("GET", "/v2", (200, {"name": "sut", "version": "1", "extensions": [BINARY]})),
        ("GET", "/v2/models/other", (404, {"error": "expected model 'bert', version '1', found 'other'"})),
        ("GET", "/v2/models/bert/versions/2/ready",
         (404, {"error": "expected model 'bert', version '1', found 'bert', version '2'"})),
        ("GET", "/v3", (404, {"error": "Not Found"})),
        ("GET", "/v2/models/bert/infer", (405, {"error": "Method Not Allowed"})),
    ],
)  # fmt: skip
def test_other_calls(node: Served, method: str, path: str, expected: tuple[int, Any]) -> None:
    assert node.call(method, path) == expected


@pytest.mark.parametrize("length", ["x", "-1", "9" * 20, "100000"])
def test_a_length_of_json_that_is_none_is_refused(node: Served, length: str) -> None:
    status, found = node.infer({"inputs": [ids(ROW)]}, Inference_Header_Content_Length=length)
    assert status == 400 and http_forms.JSON_LENGTH in found["error"]


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(node: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.http, timeout=20)
    connection.putrequest("POST", "/v2/models/bert/infer")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders(b"x" * 1000)
    assert connection.getresponse().status == 413
    connection.close()


@settings(max_examples=60, derandomize=True, database=None)
@given(damage=DAMAGES)
def test_a_damaged_request_is_answered_or_refused(node: Served, damage: Damage) -> None:
    request = InferRequest((Tensor("input_ids", "INT64", np.array([ROW])),), ("logits",), "1")
    for binary in (False, True):
        body = http_forms.write_request(request, binary=binary)
        headers = {http_forms.JSON_LENGTH.replace("-", "_"): str(body.json_length)} if binary else {}
        status, found = node.infer(damage.of(body.content), **headers)
        assert status in (200, 400) and ("error" in found) == (status == 400)


@pytest.mark.parametrize("sent", [b"", b"GET /v2 HTTP/1.1\r\nHost:"])
def test_a_connection_without_a_whole_header_ends(sent: bytes) -> None:
    with served(header_s=0.1) as found, socket.create_connection(("127.0.0.1", found.http), timeout=20) as silent:
        kept = http.client.HTTPConnection("127.0.0.1", found.http, timeout=20)
        kept.request("GET", "/v2/health/live")
        kept.getresponse().read()
        silent.sendall(sent)
        assert silent.recv(1000) == b""
        kept.request("GET", "/v2/health/live")  # it has had a request, and may be idle
        assert kept.getresponse().status == 200
        kept.close()


def test_errors_over_grpc(node: Served) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{node.grpc}") as channel:
        cases: list[tuple[str, dict[str, Any], grpc.StatusCode]] = [
            ("ModelMetadata", {"name": "other"}, grpc.StatusCode.NOT_FOUND),
            ("ModelInfer", {"model_name": "bert", "model_version": "2"}, grpc.StatusCode.NOT_FOUND),
            ("ModelInfer", {"model_name": "bert", "raw_input_contents": [b"1"]}, grpc.StatusCode.INVALID_ARGUMENT),
            ("ModelConfig", {"name": "bert"}, grpc.StatusCode.UNIMPLEMENTED),
        ]
        for name, request, code in cases:
            call = channel.unary_unary(
                f"/{protobuf.SERVICE}/{name}", protobuf.REQUESTS[name].SerializeToString,
                protobuf.RESPONSES[name].FromString,
            )  # fmt: skip
            with pytest.raises(grpc.RpcError) as raised:
                call(protobuf.REQUESTS[name](**request), timeout=20)
            assert raised.value.code() is code


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_token_is_needed_and_enough(protocol: str) -> None:
    with served(own=Credentials(token=TOKEN.encode())) as found:
        for access in (NO_ACCESS, Access(token=TOKEN[1:])):
            with pytest.raises(BackendError, match="expected the node's token"):
                look_up(found.models[protocol], access)
        with client(found.models[protocol], Access(token=TOKEN)) as backend:
            np.testing.assert_array_equal(backend.infer(batch(1)), right(batch(1)))
        assert found.call("GET", "/metrics")[0] == found.call("POST", "/v2/models/bert/infer", b"x" * 99)[0] == 401
        assert {found.call("GET", f"/v2/{path}")[0] for path in ("health/live", "models/bert/ready")} == {200}
        assert found.call("GET", "/v2", Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.made(tmp_path_factory.mktemp("certificates"))


def test_both_sides_need_certificates_of_one_ca(pems: Path) -> None:
    def access(name: str, ca: str) -> Access:
        return Access(None, pems / f"{ca}.pem", pems / f"{name}.pem", pems / f"{name}.key")

    with served(own=certificates.of(pems, "one")) as found:
        for plain in found.models.values():
            model = plain.replace("v2://", "v2+grpcs://").replace("v2+http://", "v2+https://")
            with client(model, access("one", "ca")) as backend:
                np.testing.assert_array_equal(backend.infer(batch(1)), right(batch(1)))
            for wrong in (access("stranger", "ca"), access("one", "foreign"), access("old", "ca"), Access()):
                with pytest.raises(BackendError, match="expected a server of KServe v2"):
                    look_up(model, wrong)
            with pytest.raises(BackendError, match="expected a server of KServe v2"):
                look_up(plain, NO_ACCESS)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_an_engine_that_fails_and_one_that_hangs(protocol: str) -> None:
    with served("fake:raise_at=1") as found, client(found.models[protocol]) as backend:
        with pytest.raises(BackendError, match="the engine failed: RuntimeError"):
            backend.infer(batch(1))
        np.testing.assert_array_equal(backend.infer(batch(1)), right(batch(1)))
    with (
        served("fake:sleep_ms=100", patience_s=0.05) as found,
        client(found.models[protocol]) as backend,
        pytest.raises(BackendError, match=r"no answer within 0.05 s|within 600 s"),
    ):
        backend.infer(batch(1))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_client_has_a_deadline_of_its_own(protocol: str) -> None:
    with served("fake:sleep_ms=100") as found, client(found.models[protocol]) as backend:
        backend._deadline_s = 0.05
        with pytest.raises(BackendError, match=r"within 0.05 s, found none"):
            backend.infer(batch(1))


def test_the_end_answers_what_is_under_way() -> None:
    with served("fake:sleep_ms=1000") as found, client(found.models["grpc"]) as backend:
        pending = backend.begin(batch(1))
        while found.service.is_idle:
            time.sleep(0.001)
        ended: list[bool] = []
        ending = threading.Thread(target=lambda: ended.append(found.faces.drain(20)))
        ending.start()
        while found.service.is_ready:
            time.sleep(0.001)
        assert found.call("GET", "/v2/health/ready") == (503, {"ready": False})
        assert found.infer({"inputs": [ids(ROW)]}) == (503, {"error": "the node is ending"})
        np.testing.assert_array_equal(pending.answers(), right(batch(1)))
        ending.join()
        assert ended == [True]
        with pytest.raises(BackendError, match="expected a server of KServe v2"):
            look_up(found.models["http"], NO_ACCESS)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_node_that_fails_says_why(protocol: str) -> None:
    with served("fake:sleep_ms=1000") as found, client(found.models[protocol]) as backend:
        pending = backend.begin(batch(1))
        while found.service.is_idle:
            time.sleep(0.001)
        found.faces.close("an instance hangs")
        with pytest.raises(BackendError, match="the node is ending: an instance hangs"):
            pending.answers()


def test_a_node_that_fails_says_why_to_a_request_whose_body_is_not_there_yet() -> None:
    body = json.dumps({"inputs": [ids(ROW)]}).encode()
    header = f"POST /v2/models/bert/infer HTTP/1.1\r\nHost: node\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with served() as found, socket.create_connection(("127.0.0.1", found.http), timeout=20) as connection:
        connection.sendall(header + body[:-5])
        while found.service.is_idle:
            time.sleep(0.001)
        found.faces.close("an instance hangs")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        content = json.loads(answer.read())
    assert (answer.status, content) == (503, {"error": "the node is ending: an instance hangs"})


def test_metrics_count_what_was_answered() -> None:
    with served() as found:
        found.infer({"inputs": [ids([5, 6, 7], [5, 6, 0]), ids([1, 1, 1], [1, 1, 0], name="attention_mask")]})
        found.infer({"inputs": []})
        status, content = found.call("GET", "/metrics")
    lines = content.decode().splitlines()
    assert status == 200
    for line in (
        'sut_requests_total{face="http",outcome="answered"} 1.0',
        'sut_requests_total{face="http",outcome="invalid"} 1.0',
        "sut_samples_total 2.0",
        "sut_tokens_total 5.0",
        'sut_request_seconds_count{face="http"} 2.0',
    ):
        assert line in lines


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("most", [BATCH_TOKENS, 50, 7, 1])
def test_pieces_are_the_samples_in_order_and_within_the_limit(packed: bool, most: int) -> None:
    lengths = np.array([9, 1, 30, 30, 2, 2, 2, 49, 3])
    tokens = Tokens(np.arange(lengths.sum(), dtype=np.int32), lengths, np.minimum(lengths, 2))
    found = list(samples.pieces(tokens, most, packed=packed))
    for part, whole in zip(map(np.concatenate, zip(*found, strict=True)), tokens, strict=True):
        np.testing.assert_array_equal(part, whole)
    for one in found:
        size = one.lengths.sum() if packed else len(one.lengths) * one.lengths.max()
        assert size <= most or len(one.lengths) == 1


def test_classes_have_one_output() -> None:
    one = Tensor("input_ids", "INT64", np.array([[5, 6], [7, 8]]))
    rows = np.array([[1, 2], [3, 4]], np.float32)
    [found] = samples.outputs(CLASSES, ["logits"], samples.read([one]), rows)
    assert found.array.tolist() == rows.tolist()
    with pytest.raises(RequestError, match="input_ids"):
        samples.read([])
