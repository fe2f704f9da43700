"""How many tokens of a prompt a step may read beside running answers: so many that their next token comes in time.

What a chunk adds to a step is no multiple of its tokens: one token joins the answers' batch, from two on there is a
second pass over all weights, and kernels change with the size. So each size is known by its own measurements.
"""

from collections import defaultdict, deque
from statistics import median_low

GAP = 2.2  # a step with a chunk takes at most this many times one without; single steps vary, up to 3 times
MOST = 2.4  # a larger size is tried where it should take at most this many times a step without
WINDOW = 64  # steps that are remembered; what was too slow before is tried again
LEAST = 3  # measurements of a step without prompts that are needed


class Pace:
    """Learns from the steps' durations, in seconds."""

    def __init__(self, most: int):
        """most: tokens that a step takes at all."""
        self.most = most
        self._plain: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))  # by answers
        self._added: deque[tuple[int, float]] = deque(maxlen=WINDOW)  # tokens, seconds that they added
        self._since_plain = 0  # steps

    def tokens(self, n_answers: int) -> int:
        """Tokens of a prompt for a step with that many running answers. 0 now and then, and then not in the step after
        it: a step without prompts is measured."""
        if not n_answers:
            return self.most
        plain = self._plain[n_answers]
        if len(plain) < LEAST or self._since_plain >= WINDOW:
            return 0
        step, sizes = median_low(plain), defaultdict(list)
        for n, seconds in self._added:
            sizes[n].append(seconds)
        added = {n: median_low(x) for n, x in sizes.items()}
        room = (GAP - 1) * step
        n = max((x for x, seconds in added.items() if seconds <= room), default=0)
        if not n:
            least = min(added, default=1)
            return max(1, min(least - 1, int(least * room / added.get(least, room))))
        trial = n + max(1, n // 4)
        expected = added[n] + step if n == 1 else added[n] * trial / n  # a second pass, or in proportion at most
        fits = trial not in added and trial <= self.most and expected <= (MOST - 1) * step
        return trial if fits else n

    def together(self, n_answers: int, n_prompts: int) -> int:
        """How many prompts may each have a single token in one step, as if they were answers too."""
        limit = GAP * median_low(self._plain[n_answers])
        n = 1
        while n < n_prompts and (plain := self._plain[n_answers + n + 1]) and median_low(plain) <= limit:
            n += 1
        return n

    def learn(self, n_answers: int, n_prompt: int, seconds: float) -> None:
        """A step of n_prompt tokens of a prompt and one token of each running answer."""
        if not n_answers:
            return
        if not n_prompt:
            self._plain[n_answers].append(seconds)
            self._since_plain = 0
        else:
            self._since_plain += 1
            self._added.append((n_prompt, max(0.0, seconds - median_low(self._plain[n_answers]))))
