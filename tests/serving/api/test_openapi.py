"""Everything that the description allows is answered as it says, and what it does not is refused."""

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

from mnist_digits.recognition import Reader
from mnist_digits.serving import create_app

schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(Reader()))


few, many = (
    settings(max_examples=count, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
    for count in (2, 15)
)


# Its images take seconds to make up, a pixel at a time.
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
