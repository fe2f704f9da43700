"""What schemathesis makes of the OpenAPI document: whatever it sends, an answer that the document knows."""

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis")
from schemathesis import checks  # noqa: E402
from schemathesis.specs.openapi import checks as openapi  # noqa: E402

EXAMPLES = 60
CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize", "/v1/models"])
def test_whatever_is_sent(onnx_server, path):
    schema = schemathesis.openapi.from_url(f"{onnx_server.url}/openapi.json")
    (operation,) = [x.ok() for x in schema.get_all_operations() if x.ok().path == path]
    answered = set()

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(operation.as_strategy())
    def send(case):
        response = case.call(timeout=60)
        answered.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    send()
    assert 200 in answered or "completions" in path, "nothing that it sent was right"


def test_the_document_names_what_the_server_has(onnx_server):
    document = httpx.get(f"{onnx_server.url}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    body = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    fields = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"]
    assert {"messages", "temperature", "memory", "gates", "template_args", "response_format", "tools"} <= set(fields)
