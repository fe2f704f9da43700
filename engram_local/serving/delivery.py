"""An answer on its way to a client: whole or as a stream, and what happens when the client goes away."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse

from engram_local.serving.choice import Figures, Piece
from engram_local.serving.errors import api_error, error_body


async def whole(answer: Any, batches: AsyncIterator[list[tuple[int, Any]]]) -> dict[str, Any]:
    """An answer that does not stream."""
    pieces: list[list[Piece]] = [[] for _ in answer.params]
    async for batch in batches:
        for index, item in batch:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, Figures):
                answer.figures[index] = item
            else:
                pieces[index].append(item)
    choices = [answer.whole(i, x) for i, x in enumerate(pieces)]
    return answer.head(answer.object) | {"choices": choices, "usage": answer.usage()}


async def events(
    answer: Any, first: list[tuple[int, Any]], batches: AsyncIterator[list[tuple[int, Any]]], usage: bool
) -> AsyncIterator[str]:
    """An answer as server-sent events. A choice's last pieces wait for its figures, which come at once."""
    waiting: dict[int, list[Piece]] = {}
    batch: list[tuple[int, Any]] | None = first
    while batch is not None:
        for index, item in batch:
            if isinstance(item, Exception):
                yield _event(error_body(api_error(item)))
                yield "data: [DONE]\n\n"
                return
            if isinstance(item, Figures):
                answer.figures[index] = item
                waiting.setdefault(index, [])
            else:
                waiting.setdefault(index, []).append(item)
        parts = []
        for index in list(waiting):
            ends = any(x.finish_reason for x in waiting[index])
            if not ends or index in answer.figures:
                parts.append(answer.part(index, waiting.pop(index)))
        if told := [x for x in parts if x is not None]:
            yield _event(answer.chunk(told, usage))
        batch = await anext(batches, None)
    if usage:
        yield _event(answer.chunk([], False) | {"usage": answer.usage()})
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


class Stream(StreamingResponse):
    """Server-sent events; `leave` is called however it ends."""

    def __init__(self, content: AsyncIterator[str], leave: Callable[[], None]):
        super().__init__(content, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._leave = leave

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


async def unless_gone(request: Request, wanted: Awaitable[Any]) -> Any:
    """What is awaited. Raises ClientDisconnect as soon as nobody waits for it any more."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(wanted), asyncio.ensure_future(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            return tasks[0].result()
        raise ClientDisconnect
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
