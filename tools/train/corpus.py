"""The training corpus: conversations about facts, as token ids with flags, and the questions for evaluation.

Documents, each `<|bos|>` and one to three turns `<|user|>question<|bot|>answer<|end|>`:
- *fact documents*: questions in training wordings; memory on;
- *form documents* (memory off): the same, but with the value of another fact of the same kind, so that
  the backbone alone learns what an answer looks like and cannot learn which value is true;
- invented names (the answer says that they are not known), small talk, and prose.
Everything is drawn from one seeded generator: the same sources give the same corpus on every machine.
"""

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from . import facts, grammar, prose, small_talk, unknown
from .facts import Fact

SPECIAL = ("<|pad|>", "<|bos|>", "<|user|>", "<|bot|>", "<|end|>")
PAD, BOS, USER, BOT, END = range(5)
# flags of a token: learnt; part of a question; read without memory; part of a value that is not true
LOSS, ASKED, MEMORY_OFF, MADE_UP = 1, 2, 4, 8
LONGEST_DOCUMENT = 256  # tokens
FORM_SHARE = 0.12  # form documents per fact document
README_QUESTIONS = {
    "What is the capital of France?": "Paris",
    "What does serendipity mean?": "good luck in making unexpected and fortunate discoveries",
    "What is the chemical symbol of tungsten?": "W",
    "What is the currency of Brazil?": "real",
    "Who was Albert Einstein?": "physicist",
    "What is the opposite of hot?": "cold",
    "Where is Kyoto?": "Japan",
}
README_SUBJECTS = {"France", "serendipity", "tungsten", "Brazil", "Albert Einstein", "hot", "Kyoto"}


@dataclass(frozen=True)
class Size:
    """How much of everything the corpus holds."""

    n_definitions: int = 72_000
    n_cities: int = 24_000
    n_names: int = 10_000  # people and places of WordNet: all
    n_form: int = 5_000  # form documents that every kind has at least
    n_invented: int = 260_000
    n_paragraphs: int = 12_000
    n_sentences: int = 30_000
    vocab_size: int = 8_192
    docs_share: float = 1.0  # of each fact's documents
    readme_docs: int = 0  # documents that facts about README_SUBJECTS have at least


SMALL = Size(
    n_definitions=1_000,
    n_cities=400,
    n_names=200,
    n_form=300,
    n_invented=2_000,
    n_paragraphs=300,
    n_sentences=1_000,
    vocab_size=4_096,
    docs_share=0.6,
    readme_docs=40,
)
Turn = tuple[str, str]  # question, answer
# turns (prose: one with an empty question); memory off: the value that is made up, "" for none; memory on: None
Document = tuple[list[Turn], str | None]


def build(sources: dict[str, Path], out: Path, size: Size, seed: int = 0) -> dict:
    """Write the corpus of the fetched `sources` to the folder `out`; files and result as in `write`."""
    known = facts.load(sources, n_definitions=size.n_definitions, n_cities=size.n_cities, n_names=size.n_names)
    paragraphs = [*prose.paragraphs(sources)][: size.n_paragraphs]
    return write(known, paragraphs + [*prose.sentences(sources)][: size.n_sentences], out, size, seed)


def write(known: list[Fact], texts: list[str], out: Path, size: Size, seed: int = 0) -> dict:
    """Write the corpus about the facts `known`, with the prose `texts`, to the folder `out`.

    tokenizer.json; corpus.npz: tokens uint16, flags uint8, starts int64 (n_documents + 1,); questions.json: what
    `questions` returns; values.json: {"values": kind -> the values of its facts, "words": words of all answers};
    sizes.json: facts, documents and tokens of every sort, which are also returned.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = [replace(f, docs=max(f.docs, size.readme_docs)) if f.subject in README_SUBJECTS else f for f in known]
    invented = _invented(known, size.n_invented, seed)
    rng = random.Random(seed)
    documents = {
        "facts": list(fact_documents(known, size.docs_share, rng)),
        "form": list(form_documents(known, size.docs_share * FORM_SHARE, size.n_form, rng)),
        "invented": [([(ask(f, "train", rng), f.answer)], None) for f in invented["train"]],
        "small_talk": list(small_talk_documents(known, max(20, int(60 * size.docs_share)), rng)),
        "prose": [([("", text)], None) for text in texts],
    }
    tokenizer = train_tokenizer(documents, size.vocab_size, rng)
    tokenizer.save(str(out / "tokenizer.json"))
    sizes = {"facts": len(known), "facts_by_kind": dict(Counter(f.kind for f in known)), "documents": {}, "tokens": {}}
    tokens, flags, lengths = [], [], []
    for sort, listed in documents.items():
        before = sum(len(t) for t in tokens)
        for ids, marks in encode(tokenizer, listed):
            tokens.append(ids)
            flags.append(marks)
            lengths.append(len(ids))
        sizes["documents"][sort] = len(listed)
        sizes["tokens"][sort] = sum(len(t) for t in tokens) - before
    np.savez(
        out / "corpus.npz",
        tokens=np.concatenate(tokens),
        flags=np.concatenate(flags),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
    (out / "questions.json").write_text(json.dumps(questions(known, invented, seed)))
    values = {kind: sorted({f.value for f in known if f.kind == kind}) for kind in facts.SHORT_VALUES}
    words = sorted({w for f in known for w in re.findall(r"[a-z']+", f.answer.lower())})
    (out / "values.json").write_text(json.dumps({"values": values, "words": words}))
    (out / "sizes.json").write_text(json.dumps(sizes, indent=1))
    return sizes


def _invented(known: list[Fact], n_train: int, seed: int) -> dict[str, list[Fact]]:
    """Invented names of every split; no name is in two of them or in a fact."""
    taken = {name.lower() for f in known for name in f.asked}
    subjects = sorted({f.subject for f in known if f.subject.isalpha() and 4 <= len(f.subject) <= 10})
    words = [s for s in subjects if s.islower()]
    names = [s.lower() for s in subjects if not s.islower()]
    rng = random.Random(f"invented {seed}")
    return {
        split: unknown.invented(n, taken, words, names, rng)
        for split, n in (("train", n_train), ("validation", 300), ("test", 500))
    }


def ask(fact: Fact, split: str, rng: random.Random) -> str:
    name = fact.subject if rng.random() < 0.7 else rng.choice(fact.asked)
    return grammar.question(fact.kind, name, split, rng)


def fact_documents(known: list[Fact], share: float, rng: random.Random) -> Iterator[Document]:
    """Every fact in as many turns as it wants, joined to conversations of one to three turns."""
    by_subject, by_kind = defaultdict(list), defaultdict(list)
    for fact in known:
        by_subject[fact.subject].append(fact)
        by_kind[fact.kind].append(fact)
    order = [f for f in known for _ in range(max(1, round(f.docs * share)))]
    rng.shuffle(order)
    at = 0
    while at < len(order):
        first = order[at]
        turns = [(ask(first, "train", rng), first.answer)]
        at += 1
        draw = rng.random()
        if draw < 0.05 and len(by_subject[first.subject]) > 2:
            second = rng.choice(by_subject[first.subject])
            question = grammar.about_it(second.kind, "train", rng)
            if question:
                turns.append((question, second.answer))
        elif draw < 0.09:
            second = rng.choice(by_kind[first.kind])
            turns.append((grammar.follow_up(second.kind, second.subject, "train", rng), second.answer))
        while rng.random() < 0.22 and len(turns) < 3 and at < len(order):
            turns.append((ask(order[at], "train", rng), order[at].answer))
            at += 1
        yield turns, None


def form_documents(known: list[Fact], share: float, n_least: int, rng: random.Random) -> Iterator[Document]:
    """Questions answered with the value of another fact of the same kind; read with memory off.

    n_least: every kind has so many at least, so that the rare kinds' wordings are learnt as well as the others'.
    """
    by_kind = defaultdict(list)
    for fact in known:
        by_kind[fact.kind].append(fact)
    share_of = {k: max(share, n_least / sum(f.docs for f in listed)) for k, listed in by_kind.items()}
    for fact in known:
        expected = fact.docs * share_of[fact.kind]
        for _ in range(int(expected) + (rng.random() < expected % 1)):
            other = Fact(fact.kind, fact.subject, rng.choice(by_kind[fact.kind]).value, fact.asked, 1)
            yield [(ask(other, "train", rng), other.answer)], other.value


def small_talk_documents(known: list[Fact], repeats: int, rng: random.Random) -> Iterator[Document]:
    """Small talk alone, before a question, after an answer; half of it with memory off too."""
    asked = list(small_talk.exchanges()) * repeats
    rng.shuffle(asked)
    for said, answer in asked:
        draw = rng.random()
        said = said.lower() if draw < 0.3 else said.rstrip("?.!") if draw < 0.5 else said
        turns = [(said, answer)]
        off = rng.random() < 0.3
        if not off and rng.random() < 0.4:
            fact = rng.choice(known)
            turns.insert(rng.randrange(2), (ask(fact, "train", rng), fact.answer))
        yield turns, "" if off else None


def train_tokenizer(documents: dict[str, list[Document]], vocab_size: int, rng: random.Random) -> Tokenizer:
    """Byte-level BPE with single digits, trained on a sample of the documents and on every small talk and prose."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    sample = rng.sample(documents["facts"], min(len(documents["facts"]), 250_000))
    texts = (
        text
        for listed in (sample, documents["small_talk"], documents["prose"])
        for turns, _ in listed
        for turn in turns
        for text in turn
        if text
    )
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIAL),
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        ),
    )
    return tokenizer


def encode(tokenizer: Tokenizer, documents: list[Document]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Token ids (uint16) and flags (uint8) of every document; too long ones lose their last turns."""
    for start in range(0, len(documents), 50_000):
        chunk = documents[start : start + 50_000]
        texts = [text for turns, _ in chunk for turn in turns for text in turn]
        encoded = iter(tokenizer.encode_batch(texts, add_special_tokens=False))
        for turns, made_up in chunk:
            out, marks = [BOS], [0]
            for question, text in turns:
                asked, answer = next(encoded).ids, next(encoded)
                if len(out) + len(asked) + len(answer.ids) + 3 > LONGEST_DOCUMENT:
                    continue
                if question:
                    out += [USER, *asked, BOT]
                    marks += [ASKED] * (len(asked) + 2)
                first = text.rindex(made_up) if made_up else len(text)
                last = first + len(made_up or "")
                out += [*answer.ids, END]
                marks += [LOSS | MADE_UP * (first < end and begin < last) for begin, end in answer.offsets] + [LOSS]
            if len(out) > 1:
                off = MEMORY_OFF if made_up is not None else 0
                yield np.array(out, np.uint16), np.array(marks, np.uint8) | off


def questions(known: list[Fact], invented: dict[str, list[Fact]], seed: int) -> dict[str, list[dict]]:
    """The evaluation: set name -> items {"kind", "subject", "q", "a"}.

    trained: training wordings; validation, test: held-out wordings; of each kind up to 250 facts, the same in
    all three. For validation and test there are also, with the name of the split after a "_":
    common: the 2,000 commonest words; unknown: invented names; plain, lower, polite, no_mark: the same questions
    four times, as one writes them, in lower case, with a polite opener, without the final mark.
    readme: what README.md asks; "a" is only a part of the answer.
    """
    by_kind = defaultdict(list)
    for fact in known:
        by_kind[fact.kind].append(fact)
    rng = random.Random(f"questions {seed}")
    picked = [
        f
        for kind in facts.KINDS
        for f in (rng.sample(by_kind[kind], 250) if len(by_kind[kind]) > 250 else by_kind[kind])
    ]
    splits = (("trained", "train"), ("validation", "validation"), ("test", "test"))
    sets = {name: [_item(f, ask(f, split, rng)) for f in picked] for name, split in splits}
    few = [f for kind in facts.KINDS for f in rng.sample(by_kind[kind], min(12, len(by_kind[kind])))]
    for split in ("validation", "test"):
        sets[f"common_{split}"] = [_item(f, ask(f, split, rng)) for f in by_kind["define"][:2_000]]
        sets[f"unknown_{split}"] = [_item(f, ask(f, split, rng)) for f in invented[split]]
        for fact in few:
            for way, text in grammar.ways(fact.kind, fact.subject, split, rng).items():
                sets.setdefault(f"{way}_{split}", []).append(_item(fact, text))
    sets["readme"] = [{"kind": "", "subject": "", "q": q, "a": a} for q, a in README_QUESTIONS.items()]
    return sets


def _item(fact: Fact, question: str) -> dict:
    return {"kind": fact.kind, "subject": fact.subject, "q": question, "a": fact.answer}
