"""The Open Inference Protocol, as clients use it."""

import json

import numpy as np
import pytest

from helpers.asking import InProcess
from mnist_digits.dataset import Dataset
from mnist_digits.recognition import Reader

INFER = "/v2/models/digits/infer"
BINARY = "Inference-Header-Content-Length"


def described(shape: list[int], **more: object) -> dict:
    return {"name": "images", "datatype": "UINT8", "shape": shape, **more}


def binary_body(request: dict, raw: bytes) -> tuple[bytes, dict[str, str]]:
    head = json.dumps(request).encode()
    return head + raw, {BINARY: str(len(head)), "Content-Type": "application/octet-stream"}


def test_server_and_model_describe_themselves(ask: InProcess):
    assert ask("GET", "/v2").json()["extensions"] == ["binary_tensor_data"]
    assert ask("GET", "/v2/health/live").json() == {"live": True}
    assert ask("GET", "/v2/health/ready").json() == {"ready": True}
    assert ask("GET", "/v2/models/digits/ready").json() == {"name": "digits", "ready": True}
    model = ask("GET", "/v2/models/digits").json()
    assert model["inputs"] == [described([-1, 28, 28])]
    assert model["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
        {"name": "is_digit", "datatype": "FP32", "shape": [-1]},
    ]
    assert ask("GET", "/v2/models/letters").status_code == 404
    assert "error" in ask("GET", "/v2/models/letters").json()


def test_json_tensors_flat_or_nested(ask: InProcess, reader: Reader, mnist: Dataset):
    images = mnist.test.images[:3]
    for data in (images, images.reshape(3, 784), images.ravel()):
        request = {"id": "a-7", "inputs": [described([3, 28, 28], data=data.tolist())]}
        answer = ask("POST", INFER, json=request)
        assert answer.status_code == 200
        assert (answer.json()["model_name"], answer.json()["model_version"]) == ("digits", "1")
        assert answer.json()["id"] == "a-7"
        first, second = answer.json()["outputs"]
        assert (first["name"], first["datatype"], first["shape"]) == ("probabilities", "FP32", [3, 10])
        expected = reader.classifier.probabilities(images)
        np.testing.assert_array_equal(np.float32(first["data"]).reshape(3, 10), expected)
        assert (second["name"], second["shape"]) == ("is_digit", [3])


def test_binary_tensors_as_tritons_client_sends_them(ask: InProcess, reader: Reader, mnist: Dataset):
    # By default, its HTTP client requests every output by name, as bytes.
    images = mnist.test.images[:100]
    request = {
        "inputs": [described([100, 28, 28], parameters={"binary_data_size": images.nbytes})],
        "outputs": [
            {"name": "is_digit", "parameters": {"binary_data": True}},
            {"name": "probabilities", "parameters": {"binary_data": True}},
        ],
    }
    content, headers = binary_body(request, images.tobytes())
    answer = ask("POST", INFER, content=content, headers=headers)
    assert answer.status_code == 200
    length = int(answer.headers[BINARY])
    outputs = json.loads(answer.content[:length])["outputs"]
    assert [output["parameters"]["binary_data_size"] for output in outputs] == [400, 4000]
    values = np.frombuffer(answer.content[length:], "<f4")
    np.testing.assert_allclose(values[100:].reshape(100, 10), reader.classifier.probabilities(images), atol=1e-6)
    assert ((values[:100] >= 0) & (values[:100] <= 1.001)).all()


def test_outputs_may_be_chosen_and_mixed(ask: InProcess, mnist: Dataset):
    data = described([1, 28, 28], data=mnist.test.images[0].ravel().tolist())
    plain = ask("POST", INFER, json={"inputs": [data], "outputs": [{"name": "is_digit"}]})
    assert [output["name"] for output in plain.json()["outputs"]] == ["is_digit"]
    request = {"inputs": [data], "parameters": {"binary_data_output": True}}
    answer = ask("POST", INFER, json=request)
    assert len(answer.content) - int(answer.headers[BINARY]) == 44
    request["outputs"] = [{"name": "is_digit", "parameters": {"binary_data": False}}, {"name": "probabilities"}]
    answer = ask("POST", INFER, json=request)
    head = json.loads(answer.content[: int(answer.headers[BINARY])])
    assert "data" in head["outputs"][0]
    assert len(answer.content) - int(answer.headers[BINARY]) == 40


ZEROS = [0] * 784


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        ({}, "inputs: Field required"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [described([1, 28, 28], data=ZEROS)] * 2}, "inputs"),
        ({"inputs": [{**described([1, 28, 28], data=ZEROS), "name": "x"}]}, "input 'x'"),
        ({"inputs": [{**described([1, 28, 28], data=ZEROS), "datatype": "FP32"}]}, "FP32"),
        ({"inputs": [described([1, 784], data=ZEROS)]}, "shape [1, 784]"),
        ({"inputs": [described([0, 28, 28], data=[])]}, "shape [0, 28, 28]"),
        ({"inputs": [described([2, 28, 28], data=ZEROS)]}, "784 values"),
        ({"inputs": [described([10**9, 28, 28], data=ZEROS)]}, "784 values"),
        ({"inputs": [described([1, 28, 28], data=[*ZEROS[1:], 256])]}, "data.783"),
        ({"inputs": [described([1, 28, 28], data=[*ZEROS[1:], 0.5])]}, "data.783"),
        ({"inputs": [described([1, 28, 28], data=["a" * 1000, *ZEROS[1:]])]}, "data.0"),
        ({"inputs": [described([1, 28, 28], data=[[0] * 700, [0] * 84])]}, "uneven rows"),
        ({"inputs": [described([1, 28, 28], data=[[[[0]]]])]}, "data.0"),
        ({"inputs": [described([1, 28, 28])]}, "binary_data_size None and 0 bytes"),
        ({"inputs": [described([1, 28, 28], data=ZEROS)], "outputs": [{"name": "logits"}]}, "output 'logits'"),
    ],
)
def test_invalid_requests_are_refused(ask: InProcess, request_: dict, found: str):
    answer = ask("POST", INFER, json=request_)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert found in answer.json()["error"]


def test_wrong_lengths_are_refused(ask: InProcess):
    request = {"inputs": [described([1, 28, 28], parameters={"binary_data_size": 784})]}
    content, headers = binary_body(request, bytes(784))
    assert ask("POST", INFER, content=content, headers=headers).status_code == 200
    for changed in ({BINARY: "0"}, {BINARY: "-1"}, {BINARY: "x"}, {BINARY: "9" * 5000}, {BINARY: "7"}, {BINARY: "²"}):
        answer = ask("POST", INFER, content=content, headers={**headers, **{k: v.encode() for k, v in changed.items()}})
        assert answer.status_code == 400, changed
    for wrong in (content[:-1], content + b"0"):
        answer = ask("POST", INFER, content=wrong, headers=headers)
        assert answer.status_code == 400
        assert "binary_data_size 784" in answer.json()["error"]
    for size in ("784", 784.0, True, -1, None):
        request["inputs"][0]["parameters"] = {"binary_data_size": size}
        content, headers = binary_body(request, bytes(784))
        assert ask("POST", INFER, content=content, headers=headers).status_code == 400, size
