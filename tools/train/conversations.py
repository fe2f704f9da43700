"""Conversations of up to four turns about facts: follow-ups, corrections, doubts, small talk in between."""

import random
from collections import defaultdict

from . import compound, grammar, small_talk
from .facts import Fact

Turn = tuple[str, str]  # question, answer
LONGEST = 4  # turns
IN_BETWEEN = {"Thank you", "Thanks", "Thank you!", "Ok", "Okay", "Great", "I see", "Cool", "Nice", "Wow", "Hi", "Hello"}


class Conversations:
    """Draws the turns that follow a first one.

    split: "all" draws from every wording, "train" from the training wordings alone.
    """

    def __init__(self, known: list[Fact], split: str):
        self.split, self.known = split, known
        self.by_kind: dict[str, list[Fact]] = defaultdict(list)
        self.by_subject: dict[str, list[Fact]] = defaultdict(list)
        for fact in known:
            self.by_kind[fact.kind].append(fact)
            self.by_subject[fact.subject].append(fact)
        self.between = {said: answer for said, answer in small_talk.exchanges() if said in IN_BETWEEN}

    def ask(self, fact: Fact, rng: random.Random) -> str:
        """A question about a fact."""
        name = fact.subject if rng.random() < 0.7 else rng.choice(fact.asked)
        return grammar.question(fact.kind, name, self.split, rng, fact.rival)

    def others(self, fact: Fact) -> list[Fact]:
        """Facts of other kinds about the same subject."""
        return [f for f in self.by_subject[fact.subject] if f.kind != fact.kind]

    def first(self, fact: Fact, rng: random.Random) -> Turn:
        """The fact asked for: most often alone, sometimes together with another."""
        if rng.random() < 0.04 and fact.kind in compound.NOUNS:
            others = [f for f in self.others(fact) if f.kind in compound.NOUNS]
            if others:
                return compound.two_parts(fact, rng.choice(others), rng)
        return self.ask(fact, rng), fact.answer

    def follow(self, topic: Fact, turns: list[Turn], rng: random.Random) -> tuple[Turn, Fact] | None:
        """A turn that only makes sense after `topic`, and the topic after it; None where the draw finds none."""
        draw = rng.random()
        if draw < 0.45:
            others = [f for f in self.others(topic) if f.kind in grammar.ABOUT_IT]
            if others:
                fact = rng.choice(others)
                return (grammar.about_it(fact.kind, rng), fact.answer), fact
        elif draw < 0.70:
            fact = rng.choice(self.by_kind[topic.kind])
            return (grammar.follow_up(fact.subject, self.split, rng), fact.answer), fact
        elif draw < 0.80:
            fact = rng.choice(self.by_kind[topic.kind])
            return (grammar.meant(fact.subject, rng), fact.answer), fact
        elif draw < 0.88 and not turns[-1][1].startswith("Yes. ") and turns[-1][1] == topic.answer:
            return (rng.choice(grammar.SURE), "Yes. " + topic.answer), topic
        elif draw < 0.96 and self.between:
            said = rng.choice([*self.between])
            return (said.lower() if rng.random() < 0.5 else said, self.between[said]), topic
        return None

    def goes_on(self, turns: list[Turn], topic: Fact, fresh: list[Fact], rng: random.Random) -> None:
        """Lengthen a conversation in place; `fresh`: facts that still wait for a document, taken from its end."""
        wanted = rng.choice((2, 2, 3, 3, 4))
        while len(turns) < min(wanted, LONGEST):
            found = self.follow(topic, turns, rng) if rng.random() < 0.62 else None
            if found is not None:
                turn, topic = found
                turns.append(turn)
            elif fresh:
                topic = fresh.pop()
                turns.append(self.first(topic, rng))
            else:
                return
