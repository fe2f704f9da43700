"""What requests hold. The classes check it, and the OpenAPI document is made of them.

Fields that OpenAI's protocol has and that change nothing here (user, metadata, ...) are taken and ignored, and so are
those of other programs; one that is spelled almost like a field of ours is refused.
"""

import difflib
import json
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from engram_local.serving.errors import ApiError

MOST_CHOICES = 16
MOST_TOP = 20
Kind = TypeVar("Kind", bound=BaseModel)
Text = Annotated[str, Field(max_length=1 << 24)]
Stop = Annotated[str, Field(min_length=1)] | Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=16)]
Texts = Annotated[list[Text], Field(min_length=1)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
TokenId = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]  # a key of JSON
Penalty = Annotated[float, Field(ge=-2, le=2)]


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Request(_Checked):
    @model_validator(mode="before")
    @classmethod
    def _no_misspelling(cls, data: Any) -> Any:
        known = set(cls.model_fields)
        for name in data if isinstance(data, dict) else ():
            if name not in known and name not in IGNORED:
                near = difflib.get_close_matches(name, known, 1, 0.85)
                if near:
                    raise ValueError(f"there is no field {name[:60]}; did you mean {near[0]}?")
        return data


class StreamOptions(_Checked):
    include_usage: bool = False


class _Sampled(_Request):
    """What both kinds of completion take."""

    model: str | None = None
    max_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.001, le=1000)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | None = None
    logit_bias: (
        dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], Annotated[float, Field(ge=-100, le=100)]] | None
    ) = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    memory: bool | None = Field(None, description="false: the answer without the Engram layers.")
    gates: bool = Field(False, description="How far each layer's gate opened at every token, and the rows it read.")


class Function(_Checked):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: Text | None = None
    parameters: dict[str, JsonValue] | None = None


class Tool(_Checked):
    type: Literal["function"]
    function: Function


class FunctionName(_Checked):
    name: str


class NamedTool(_Checked):
    type: Literal["function"]
    function: FunctionName


class FunctionCall(_Checked):
    name: str
    arguments: Text


class ToolCall(_Checked):
    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class TextPart(_Checked):
    type: Literal["text"]
    text: Text


class Message(_Checked):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[TextPart] | None = None
    name: str | None = None
    reasoning_content: Text | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class JsonSchema(_Checked):
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    json_schema: dict[str, JsonValue] = Field(alias="schema")


class ResponseFormat(_Checked):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(_Sampled):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_TOP)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    template_args: dict[str, JsonValue] | None = Field(None, description="Variables of the chat template.")


class CompletionRequest(_Sampled):
    prompt: (
        Text | TokenIds | Annotated[list[Text], Field(min_length=1)] | Annotated[list[TokenIds], Field(min_length=1)]
    )
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_TOP)] | None = None
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None
    suffix: Annotated[str, Field(max_length=0)] | None = None


class TokenizeRequest(_Request):
    prompt: Text | None = None
    messages: Annotated[list[Message], Field(min_length=1)] | None = None
    add_special_tokens: bool = True
    template_args: dict[str, JsonValue] | None = None


class DetokenizeRequest(_Request):
    tokens: list[Annotated[int, Field(ge=0, lt=2**31)]]
    skip_special_tokens: bool = False


# Fields of OpenAI's that nothing here depends on.
IGNORED = frozenset(
    (
        *("user", "metadata", "store", "service_tier", "parallel_tool_calls", "prediction", "modalities", "audio"),
        *("reasoning_effort", "verbosity", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
        *("web_search_options", "function_call", "functions"),
    )
)

_VARIANT = re.compile(r"(str|constrained-\w+|literal\[.*|list\[.*|dict\[.*|function-.*)$")  # pydantic's names for them


def parse(kind: type[Kind], body: bytes) -> Kind:
    """A request out of its JSON. Raises ApiError 400 that names the field."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {str(error)[:120]}") from None
    if not isinstance(data, dict):
        raise ApiError(400, "the body is not a JSON object")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _first(error) from None
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply") from None


def _first(error: ValidationError) -> ApiError:
    """Of all that is wrong the first, as one line; of a field that may be one of several things, where it is nearest to
    being one."""
    found = error.errors(include_url=False)
    field = found[0]["loc"][:1]
    first = max(
        (x for x in found if x["loc"][:1] == field), key=lambda x: (not x["type"].endswith("_type"), len(x["loc"]))
    )
    param = ".".join(str(x) for x in first["loc"] if not _VARIANT.match(str(x))) or None
    said = first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] in ("missing", "value_error") else f" (it is {_shown(first['input'])})"
    return ApiError(400, f"{param}: {said}{given}" if param else said, param=param)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
