"""What a model thinks aloud, parted from what it says: `<think>...</think>`, as Qwen3 and DeepSeek-R1 write it."""

from collections.abc import Sequence

from engram_local.tokenization import Tokenizer

OPEN, CLOSE = "<think>", "</think>"


class ThoughtFilter:
    """Parts a stream of text, holding back an end that may be the beginning of a tag. Spaces and line feeds around tags
    belong to the thought. Example: step("a<th") -> ("a", ""), step("ink>b") -> ("", "b")."""

    def __init__(self, inside: bool):
        """`inside`: the prompt has opened a thought already."""
        self.inside = inside
        self._held = ""
        self._behind = inside  # nothing has been said behind a thought yet: spaces are dropped

    def step(self, text: str) -> tuple[str, str]:
        """(what is said, what is thought) that has become certain."""
        self._held += text
        said, thought = "", ""
        while True:
            tag = CLOSE if self.inside else OPEN
            before, found, rest = self._held.partition(tag)
            if not found:
                n = next((n for n in range(len(tag) - 1, 0, -1) if self._held.endswith(tag[:n])), 0)
                before, self._held = self._held[: len(self._held) - n], self._held[len(self._held) - n :]
            said, thought = self._part(before, said, thought)
            if not found:
                return said, thought
            self._held, self.inside, self._behind = rest, not self.inside, True

    def flush(self) -> tuple[str, str]:
        """What is left at the end."""
        held, self._held = self._held, ""
        return self._part(held, "", "")

    def _part(self, text: str, said: str, thought: str) -> tuple[str, str]:
        if self._behind:
            text = text.lstrip()
            self._behind = not text
        return (said, thought + text) if self.inside else (said + text, thought)


def opens_with_thought(tokenizer: Tokenizer, prompt: Sequence[int]) -> bool:
    """Whether the prompt, token ids, ends inside a thought that the template began."""
    return tokenizer.decode(prompt[-16:], skip_special_tokens=False).rstrip().endswith(OPEN)
