"""The description of the API: requests that it allows are answered as it says, others are refused; and `/docs`."""

import re
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from helpers.asking import InProcess
from mnist_digits.recognition import Reader
from mnist_digits.serving import create_app
from mnist_digits.serving.api import images, pictures

schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(Reader()))


few, many = (
    settings(max_examples=count, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
    for count in (2, 15)
)


# Its images take seconds to generate, a pixel at a time.
@schema.include(path="/v1/classify").parametrize()
@few
def test_images_are_answered_as_described(case: Any):
    check(case)


@schema.exclude(path="/v1/classify").parametrize()
@many
def test_all_else_is_answered_as_described(case: Any):
    check(case)


def check(case: Any) -> None:
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        unsupported_method,
        negative_data_rejection,
    ]
    case.call_and_validate(checks=checks, headers={"Host": "localhost"})


def test_docs_load_nothing_from_other_servers(ask: InProcess):
    page = ask("GET", "/docs").text
    assert "http" not in page
    files = re.findall(r'(?:href|src)="(?!data:)([^"]+)"', page)
    assert len(files) == 3
    for file in files:
        answer = ask("GET", f"/{file}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].split(";")[0] in ("text/css", "text/javascript")
    assert not re.search(r"<script(?! src=)|style=|onload=", page), "nothing inline"


def test_every_route_is_described(ask: InProcess):
    paths = ask("GET", "/openapi.json").json()["paths"]
    assert {"/v1/predict", "/v1/read", "/v1/classify", "/v2/models/digits/infer", "/healthz", "/metrics"} <= set(paths)
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert ask(method.upper(), path).status_code != 404
            assert operation["summary"], path


def test_examples_are_what_their_schemas_say(ask: InProcess, digit_png: bytes):
    description = ask("GET", "/openapi.json").json()
    schemas = description["components"]["schemas"]
    shown = {name: schema["examples"][0] for name, schema in schemas.items() if "examples" in schema}
    assert set(shown) >= {"PredictionResult", "PageResult", "ImagesResult", "Error"}
    for name, model in (
        ("PredictionResult", pictures.PredictionResult),
        ("PageResult", pictures.PageResult),
        ("ImagesResult", images.ImagesResult),
    ):
        assert model.model_validate(shown[name], extra="forbid").model_dump() == shown[name]
    assert ask("POST", "/v1/predict", content=digit_png).json().keys() == shown["PredictionResult"].keys()
    assert ask("POST", "/v1/read", content=digit_png).json().keys() == shown["PageResult"].keys()
    asked = description["paths"]["/v2/models/digits/infer"]["post"]["requestBody"]["content"]["application/json"]
    (example,) = asked["schema"]["examples"]
    assert ask("POST", "/v2/models/digits/infer", json=example).status_code == 200
