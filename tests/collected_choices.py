"""Choices whose pieces are kept, without a server around."""

import threading

from engram_local.sampling import SamplingParams
from engram_local.serving.choice import Choice, ChoiceParams, Figures


class Collected(Choice):
    """A choice that keeps what it is told."""

    def __init__(self, model, prompt, limit=20, **params):
        self.items, self.done = [], threading.Event()
        params.setdefault("sampling", SamplingParams())
        super().__init__(model, ChoiceParams(list(prompt), limit, **params), self._keep)

    def _keep(self, item):
        self.items.append(item)
        if isinstance(item, Figures | Exception):
            self.done.set()

    def wait(self):
        """The pieces of the answer. Raises what the choice failed with."""
        assert self.done.wait(60), "it never ended"
        if isinstance(self.items[-1], Exception):
            raise self.items[-1]
        return [x for x in self.items[:-1] if not x.in_prompt]
