"""The HTTP side: routes, and one request from its body to its last byte."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from engram_local import __version__
from engram_local.errors import EngramError
from engram_local.model import Model
from engram_local.serving.answers import Answer, ChatAnswer, CompletionAnswer
from engram_local.serving.choice import Choice, ChoiceParams
from engram_local.serving.delivery import Stream, events, unless_gone, whole
from engram_local.serving.door import PAGE_FILES, Door
from engram_local.serving.errors import ApiError, api_error, error_response
from engram_local.serving.mailbox import Mailbox
from engram_local.serving.metrics import Metrics
from engram_local.serving.openapi import document
from engram_local.serving.options import ServeOptions
from engram_local.serving.prompts import Prompts
from engram_local.serving.scheduler import Scheduler
from engram_local.serving.schemas import ChatRequest, CompletionRequest, DetokenizeRequest, TokenizeRequest, parse

PAGE = Path(__file__).parent / "page"
MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
LEAST_BODY = 1 << 20  # bytes that a request may have
BODY_BYTES_A_TOKEN = 16  # of the context, where that is more


def make_app(model: Model, options: ServeOptions) -> Starlette:
    """The application; it owns a Scheduler from its start to its end."""
    server = _Server(model, options)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(server.scheduler.close)

    routes = [
        Route("/v1/chat/completions", server.chat, methods=["POST"]),
        Route("/v1/completions", server.completion, methods=["POST"]),
        Route("/v1/models", server.models),
        Route("/v1/models/{model:path}", server.one_model),
        Route("/tokenize", server.tokenize, methods=["POST"]),
        Route("/detokenize", server.detokenize, methods=["POST"]),
        Route("/health", server.health),
        Route("/metrics", server.metrics_page),
        Route("/openapi.json", server.openapi),
    ]
    if options.page:
        routes += [Route(path, partial(_page, file)) for path, file in PAGE_FILES.items()]
    middleware = [Middleware(Door, options=options, metrics=server.metrics)]
    if options.origins:
        cors: dict[str, Any] = {"allow_origins": list(options.origins), "allow_methods": ["GET", "POST"]}
        cors["allow_headers"] = ["Authorization", "Content-Type"]
        middleware.insert(0, Middleware(CORSMiddleware, **cors))
    handlers: Any = {EngramError: _on_error, HTTPException: _on_http, ClientDisconnect: _on_gone, Exception: _on_error}
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers, lifespan=lifespan)
    app.state.scheduler = server.scheduler
    return app


class _Server:
    """What the routes share."""

    def __init__(self, model: Model, options: ServeOptions):
        self.model, self.options = model, options
        self.name = options.name or model.folder.path.resolve().name
        self.prompts = Prompts.of(model)
        self.metrics = Metrics(model)
        self.scheduler = Scheduler(
            model,
            n_slots=options.n_slots,
            queue_limit=options.queue_limit,
            time_limit=options.time_limit,
            observer=self.metrics,
        )
        self.metrics.watch(self.scheduler)
        self.most_body = max(LEAST_BODY, BODY_BYTES_A_TOKEN * model.context_length)

    async def chat(self, request: Request) -> Response:
        asked = parse(ChatRequest, await self._body(request))
        self._check(asked)
        params = await asyncio.to_thread(self.prompts.chat, asked)
        form = self.prompts.call_form if asked.tools and asked.tool_choice != "none" else None
        functions = [x.function.model_dump() for x in asked.tools or ()]
        return await self._answer(request, asked, params, ChatAnswer(self.model, self.name, params, form, functions))

    async def completion(self, request: Request) -> Response:
        asked = parse(CompletionRequest, await self._body(request))
        self._check(asked)
        params = await asyncio.to_thread(self.prompts.completion, asked)
        answer = CompletionAnswer(self.model, self.name, params, bool(asked.echo))
        return await self._answer(request, asked, params, answer)

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def one_model(self, request: Request) -> Response:
        self._check_name(request.path_params["model"])
        return JSONResponse(self._model())

    async def tokenize(self, request: Request) -> Response:
        asked = parse(TokenizeRequest, await self._body(request))
        if (asked.prompt is None) == (asked.messages is None):
            raise ApiError(400, "prompt: give a prompt or messages", param="prompt")
        if asked.messages is not None:
            tokens = await asyncio.to_thread(self.prompts.chat_tokens, asked.messages, asked.template_args)
        else:
            tokens = await asyncio.to_thread(self.prompts.tokens, asked.prompt or "", asked.add_special_tokens)
        return JSONResponse({"tokens": tokens, "count": len(tokens), "max_model_len": self.model.context_length})

    async def detokenize(self, request: Request) -> Response:
        asked = parse(DetokenizeRequest, await self._body(request))
        known = self.model.tokenizer.vocab_size
        for i, token in enumerate(asked.tokens):
            if token >= known:
                raise ApiError(400, f"tokens.{i}: token id {token}, the model has {known}", param=f"tokens.{i}")
        text = await asyncio.to_thread(self.model.tokenizer.decode, asked.tokens, asked.skip_special_tokens)
        return JSONResponse({"prompt": text})

    async def health(self, _: Request) -> Response:
        scheduler = self.scheduler
        return JSONResponse(
            {
                "status": "ok",
                "slots": scheduler.slots.n,
                "slots_busy": scheduler.n_running,
                "waiting": scheduler.n_waiting,
            }
        )

    async def metrics_page(self, _: Request) -> Response:
        text = await asyncio.to_thread(generate_latest, self.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, _: Request) -> Response:
        return JSONResponse(document(__version__))

    def _model(self) -> dict[str, Any]:
        template = self.model.tokenizer.template
        return {
            "id": self.name,
            "object": "model",
            "created": 0,
            "owned_by": "engram_local",
            "max_model_len": self.model.context_length,
            "engram": {
                "layers": [
                    {"id": x.layer_id, "orders": [{"order": o.order, "heads": len(o.moduli)} for o in x.orders]}
                    for x in self.model.config.layers
                ],
                "rows_per_token": sum(x.n_heads for x in self.model.config.layers),
                "memory": self.model.memory,
                "backend": self.model.backend.name,
                "chat": template is not None,
                "chat_limit": min(self.model.tokenizer.max_length or 2**31, self.model.context_length),
                "tools": self.prompts.call_form is not None,
                "thinking": bool(template and template.switches_thoughts),
            },
        }

    def _check(self, asked: ChatRequest | CompletionRequest) -> None:
        """What can be refused before a prompt is tokenized."""
        self._check_name(asked.model)
        self.scheduler.check(asked.n or 1)

    def _check_name(self, name: str | None) -> None:
        if name not in (None, self.name):
            raise ApiError(404, f"model: there is no {name[:80]!r} here; it is called {self.name!r}", param="model")

    async def _body(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # which a page of another origin cannot send unasked
            raise ApiError(400, f"Content-Type is {kind[:60] or 'missing'!r}; send application/json")
        parts, n = [], 0
        async for part in request.stream():
            n += len(part)
            if n > self.most_body:
                raise ApiError(413, f"the body has more than {self.most_body} bytes; shorten it")
            parts.append(part)
        return b"".join(parts)

    async def _answer(
        self, request: Request, asked: ChatRequest | CompletionRequest, params: Sequence[ChoiceParams], answer: Answer
    ) -> Response:
        mailbox = Mailbox(len(params))

        def make() -> list[Choice]:
            return [Choice(self.model, x, partial(mailbox.put, i)) for i, x in enumerate(params)]

        choices = await asyncio.to_thread(make)
        self.scheduler.submit(choices)

        def leave() -> None:
            for choice in choices:
                choice.cancel()

        try:
            batches = mailbox.batches()
            if asked.stream:
                first = await unless_gone(request, anext(batches))
                for _, item in first:
                    if isinstance(item, Exception):
                        raise item
                usage = bool(asked.stream_options and asked.stream_options.include_usage)
                return Stream(events(answer, first, batches, usage), leave)
            return JSONResponse(await unless_gone(request, whole(answer, batches)))
        except BaseException:
            leave()
            raise


async def _page(file: str, _: Request) -> Response:
    path = PAGE / file
    return FileResponse(path, headers=PAGE_HEADERS, media_type=MEDIA_TYPES[path.suffix])


async def _on_error(_: Request, error: Exception) -> Response:
    return error_response(api_error(error))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {404: f"there is nothing at {request.url.path[:80]}", 405: f"{request.method} is not for this path"}
    response = error_response(ApiError(error.status_code, known.get(error.status_code, error.detail)))
    response.headers.update(error.headers or {})
    return response


async def _on_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # that nobody reads
