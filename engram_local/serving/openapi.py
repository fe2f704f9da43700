"""The OpenAPI document, made of the classes that check requests."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from engram_local.serving.errors import KINDS
from engram_local.serving.schemas import ChatRequest, CompletionRequest, DetokenizeRequest, TokenizeRequest

POSTS: dict[str, tuple[type[BaseModel], str, bool]] = {
    "/v1/chat/completions": (ChatRequest, "Answer a conversation.", True),
    "/v1/completions": (CompletionRequest, "Continue a text, or score one (echo, logprobs).", True),
    "/tokenize": (TokenizeRequest, "Token ids of a text or a conversation.", False),
    "/detokenize": (DetokenizeRequest, "Text of token ids.", False),
}
GETS = {
    "/v1/models": ("What is served.", "application/json"),
    "/health": ("Whether the server answers, and how busy it is.", "application/json"),
    "/metrics": ("Counts in Prometheus' format.", "text/plain"),
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def document(version: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    kinds = [(kind, "validation") for kind, _, _ in POSTS.values()]
    _, schemas = models_json_schema(kinds, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    paths: dict[str, Any] = {}
    for path, (kind, summary, streams) in POSTS.items():
        content: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
        if streams:
            content["text/event-stream"] = {}  # OpenAPI 3.1 has no schema of events
        schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        responses = {"200": {"description": "OK", "content": content}, **_errors()}
        paths[path] = {"post": {"summary": summary, "requestBody": body, "responses": responses}}
    for path, (summary, media) in GETS.items():
        schema = {"type": "object"} if media == "application/json" else {"type": "string"}
        ok = {"description": "OK", "content": {media: {"schema": schema}}}
        paths[path] = {"get": {"summary": summary, "responses": {"200": ok, **_errors()}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "engram_local", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"] | {"Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _errors() -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {str(status): {"description": kind, "content": content} for status, kind in KINDS.items()}
