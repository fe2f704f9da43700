"""What a request asks for, as choices' parameters: its prompt tokenized, its fields checked against the model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engram_local.errors import ContextOverflowError, ModelFolderError
from engram_local.generation import check_length
from engram_local.model import Model
from engram_local.sampling import SamplingParams
from engram_local.serving.choice import ChoiceParams, Mask
from engram_local.serving.errors import ApiError
from engram_local.serving.grammar import Grammars
from engram_local.serving.schemas import ChatRequest, CompletionRequest, Message, NamedTool, Tool
from engram_local.serving.tool_calls import CallForm, call_form, knows_tools
from engram_local.thinking import opens_with_thought

RESERVED = ("self", "messages", "add_generation_prompt", "tools")
COMPLETION_TOKENS = 16  # of a completion that says nothing, by OpenAI's protocol


@dataclass(frozen=True)
class Prompts:
    """Reads requests for one model. Any thread may use it."""

    model: Model
    grammars: Grammars
    call_form: CallForm | None  # None: the model knows no tools
    call_problem: str  # why

    @classmethod
    def of(cls, model: Model) -> "Prompts":
        """Finds out what the model's template can do."""
        template, form = model.tokenizer.template, None
        problem = "this model's chat template knows no tools; leave them out, or serve a model that has them"
        if template is not None and knows_tools(template):
            form = call_form(template, list(model.tokenizer.control_ids))
            problem = "this model's chat template writes calls of tools in a form that is not read here; leave them out"
        return cls(model, Grammars(model), form, problem)

    def chat(self, request: ChatRequest) -> list[ChoiceParams]:
        """One a choice. Raises ApiError, ContextOverflowError."""
        messages = self._messages(request.messages)
        variables = _variables(request.template_args)
        tools = self._tools(request)
        if tools:
            variables["tools"] = [x.model_dump(exclude_none=True) for x in tools]
        ids = self._encode(messages, variables)
        template = self.model.tokenizer.require_template()
        n_top = (request.top_logprobs or 0) if request.logprobs else None
        if request.top_logprobs and not request.logprobs:
            raise ApiError(400, "top_logprobs: needs logprobs to be true", param="top_logprobs")
        limit = request.max_completion_tokens or request.max_tokens or self.model.folder.max_new_tokens
        thinks = template.knows_thoughts and opens_with_thought(self.model.tokenizer, ids)
        extra = {"thoughts": template.knows_thoughts, "mask": self._mask(request, tools, thinks), "n_top": n_top}
        return self._choices(request, ids, self._limit(ids, limit, 1), extra)

    def completion(self, request: CompletionRequest) -> list[ChoiceParams]:
        """n for each prompt, in order. Raises ApiError, ContextOverflowError."""
        choices = []
        for ids in self._prompts(request.prompt):
            least = 0 if request.echo else 1
            limit = COMPLETION_TOKENS if request.max_tokens is None else request.max_tokens
            if limit < least:
                raise ApiError(400, "max_tokens: 0 needs echo", param="max_tokens")
            score = bool(request.echo) and request.logprobs is not None
            extra = {"n_top": request.logprobs, "score_prompt": score}
            choices += self._choices(request, ids, self._limit(ids, limit, least), extra)
        if len(choices) > 16:
            raise ApiError(400, f"prompt: {len(choices)} answers in one request; ask for at most 16", param="prompt")
        return choices

    def tokens(self, text: str, add_special_tokens: bool) -> list[int]:
        """Token ids of a text, control tokens that it spells included. Raises ContextOverflowError."""
        check_length(text, self.model.context_length)
        return self.model.tokenizer.encode(text, add_special_tokens)

    def chat_tokens(self, messages: Sequence[Message], variables: Mapping[str, Any] | None) -> list[int]:
        """Token ids of a conversation; variables: a request's template_args."""
        return self._encode(self._messages(messages), _variables(variables))

    def _prompts(self, prompt: Any) -> list[list[int]]:
        if isinstance(prompt, str) or isinstance(prompt[0], int):
            prompt = [prompt]
        n_tokens, found = self.model.n_tokens, []
        for i, one in enumerate(prompt):
            ids = self.tokens(one, True) if isinstance(one, str) else one
            if not ids:
                raise ApiError(400, "prompt: it is empty; give some text", param="prompt")
            if max(ids) >= n_tokens:
                raise ApiError(
                    400, f"prompt: token id {max(ids)} in prompt {i}, the model has {n_tokens}", param="prompt"
                )
            found.append(ids)
        return found

    def _messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """As templates take them."""
        found = []
        for i, message in enumerate(messages):
            content = message.content
            if isinstance(content, list):
                content = "".join(x.text for x in content)
            if content is None and not message.tool_calls:
                raise ApiError(400, f"messages.{i}.content: it is missing", param=f"messages.{i}.content")
            check_length(content or "", self.model.context_length)
            one: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role}
            one["content"] = content or ""
            for name in ("name", "reasoning_content", "tool_call_id"):
                if getattr(message, name) is not None:
                    one[name] = getattr(message, name)
            if message.tool_calls:
                one["tool_calls"] = [_call(x.model_dump(), i) for x in message.tool_calls]
            found.append(one)
        return found

    def _encode(self, messages: list[dict[str, Any]], variables: dict[str, Any]) -> list[int]:
        if self.model.tokenizer.template is None:
            raise ApiError(400, "messages: this model has no chat template; use /v1/completions", param="messages")
        try:
            return self.model.tokenizer.encode_chat(messages, **variables)
        except ModelFolderError as error:  # most templates refuse some orders of roles
            raise ApiError(400, f"messages: {error}", param="messages") from error

    def _tools(self, request: ChatRequest) -> list[Tool]:
        choice = request.tool_choice
        if not request.tools:
            if choice not in (None, "none", "auto"):
                raise ApiError(400, "tool_choice: needs tools", param="tool_choice")
            return []
        if self.call_form is None:
            raise ApiError(400, f"tools: {self.call_problem}", param="tools")
        if request.response_format is not None and request.response_format.type != "text":
            raise ApiError(400, "response_format: does not go together with tools", param="response_format")
        return [] if choice == "none" else request.tools

    def _mask(self, request: ChatRequest, tools: list[Tool], thinks: bool) -> Any:
        form, choice = request.response_format, request.tool_choice
        if tools and choice not in (None, "auto"):
            assert self.call_form is not None
            named = choice.function.name if isinstance(choice, NamedTool) else None
            functions = [x.function.model_dump() for x in tools if named in (None, x.function.name)]
            if not functions:
                raise ApiError(400, f"tool_choice: there is no tool {named!r}", param="tool_choice")
            grammar = self.grammars.of_call(self.call_form, functions, "tools", thinks)
        elif form is None or form.type == "text":
            return None
        elif form.type == "json_object":
            grammar = self.grammars.of_schema({"type": "object"}, "response_format", thinks)
        elif form.json_schema is None:
            raise ApiError(400, "response_format.json_schema: it is missing", param="response_format.json_schema")
        else:
            where = "response_format.json_schema.schema"
            grammar = self.grammars.of_schema(form.json_schema.json_schema, where, thinks)

        def mask() -> Mask:
            return self.grammars.mask(grammar)

        return mask

    def _limit(self, ids: list[int], limit: int | None, least: int) -> int:
        room = self.model.context_length - len(ids)
        if room < least:
            raise ContextOverflowError(
                f"the prompt has {len(ids)} tokens, the context {self.model.context_length}; shorten the prompt"
            )
        return room if limit is None else min(limit, room)

    def _choices(self, request: Any, ids: list[int], limit: int, extra: dict[str, Any]) -> list[ChoiceParams]:
        n_tokens = self.model.n_tokens
        bias = {int(k): v for k, v in (request.logit_bias or {}).items()}
        for token in bias:
            if token >= n_tokens:
                raise ApiError(400, f"logit_bias: token id {token}, the model has {n_tokens}", param="logit_bias")
        given = {x: getattr(request, x) for x in ("temperature", "top_p", "min_p", "repetition_penalty")}
        given["top_k"] = None if request.top_k is None else max(0, request.top_k)
        sampling = self.model.sampling(**given)
        stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
        choices = []
        for i in range(request.n or 1):
            seed = None if request.seed is None else (request.seed + i) % 2**64
            choices.append(
                ChoiceParams(
                    ids,
                    limit,
                    SamplingParams(**sampling, seed=seed),
                    memory=self.model.memory if request.memory is None else request.memory,
                    stop=stop,
                    bias=bias,
                    presence_penalty=request.presence_penalty or 0.0,
                    frequency_penalty=request.frequency_penalty or 0.0,
                    gates=request.gates,
                    **extra,
                )
            )
        return choices


def _variables(given: Mapping[str, Any] | None) -> dict[str, Any]:
    for name in given or {}:
        if name in RESERVED:
            raise ApiError(400, f"template_args.{name}: the server sets it", param=f"template_args.{name}")
    return dict(given or {})


def _call(call: dict[str, Any], i: int) -> dict[str, Any]:
    """A call of an earlier answer; templates want its arguments as an object."""
    try:
        arguments = json.loads(call["function"]["arguments"])
    except (ValueError, RecursionError):
        where = f"messages.{i}.tool_calls.function.arguments"
        raise ApiError(400, f"{where}: it is not JSON", param=where) from None
    return call | {"function": call["function"] | {"arguments": arguments}}
