"""From the scheduler's thread to one request's coroutine."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

from engram_local.serving.choice import Figures, Item


class Mailbox:
    """Items of a request's choices. A reader that is behind takes all that wait at once."""

    def __init__(self, n_choices: int):
        """For the running event loop."""
        self._n_open = n_choices
        self._items: deque[tuple[int, Item]] = deque()
        self._loop, self._there = asyncio.get_running_loop(), asyncio.Event()

    def put(self, index: int, item: Item) -> None:
        """Any thread: an item of the index-th choice."""
        self._items.append((index, item))
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._there.set)

    async def batches(self) -> AsyncIterator[list[tuple[int, Item]]]:
        """What has come, until every choice has ended."""
        while self._n_open:
            await self._there.wait()
            self._there.clear()
            batch = []
            while self._items:
                batch.append(self._items.popleft())
            self._n_open -= sum(isinstance(x, Figures | Exception) for _, x in batch)
            if batch:
                yield batch
