"""How many tokens of prompts a step may read beside running answers: so many that their next token comes in time."""

GAP = 2.5  # a step with prompts takes at most this many times one without
FIRST = 3  # tokens, before anything was measured
RISE, FALL = 0.5, 0.2  # weight of the newest measurement, where a prompt's token costs more than thought, or less


class Pace:
    """Learns from the steps' durations, in seconds."""

    def __init__(self, most: int):
        """most: tokens that a step takes at all."""
        self.most = most
        self._step_s: float | None = None  # without prompts
        self._token_s: float | None = None  # a prompt's token beside answers; small chunks cost more a token than large

    def tokens(self, n_answers: int) -> int:
        """Tokens of prompts for a step with that many running answers; at least 1, so that every prompt comes to its
        end."""
        if not n_answers:
            return self.most
        if self._step_s is None or self._token_s is None:
            return min(FIRST, self.most)
        return min(self.most, max(1, int((GAP - 1) * self._step_s / max(self._token_s, 1e-9))))

    def learn(self, n_answers: int, n_prompt: int, seconds: float) -> None:
        """A step of n_prompt tokens of prompts and one token of each running answer."""
        if n_answers and not n_prompt:
            self._step_s = _mean(self._step_s, seconds, FALL)
        elif n_answers and self._step_s is not None:
            token_s = max(0.0, seconds - self._step_s) / n_prompt
            self._token_s = _mean(self._token_s, token_s, RISE if token_s > (self._token_s or 0.0) else FALL)


def _mean(old: float | None, new: float, weight: float) -> float:
    return new if old is None else (1 - weight) * old + weight * new
