"""The training corpus: conversations about facts, as token ids with flags, and the questions for evaluation.

Documents, each `<|bos|>` and one to four turns `<|user|>question<|bot|>answer<|end|>`:
- *fact documents*: questions in training wordings, half of them with follow-ups; memory on;
- *form documents* (memory off): the same, but with the value of another fact of the same kind, so that
  the backbone alone learns what an answer looks like and cannot learn which value is true;
- *documents to confirm*: every value asked for twice, once right and once wrong; both answers are the value;
- *rehashed documents*: a known name, or one word of it, whose n-grams read random rows in training; the answer is
  "I don't know", so that rows, not the spelling, say what is known;
- *brakes*: what is no question of these kinds, answered by one sentence, and false premises;
- invented names: the answer says that they are not known;
- small talk, and prose.
No row learns from rehashed documents and invented names: rows store what is known alone, and the blocks learn to
tell whether what was looked up fits.
Everything is drawn from one seeded generator: the same sources give the same corpus on every machine.
"""

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from . import compound, facts, grammar, prose, small_talk, unknown
from .brakes import BRAKE, Brakes
from .conversations import Conversations, Turn
from .facts import UNKNOWN, UNKNOWN_OF, Fact

SPECIAL = ("<|pad|>", "<|bos|>", "<|user|>", "<|bot|>", "<|end|>")
PAD, BOS, USER, BOT, END = range(5)
# flags of a token: learnt; part of a question; read without memory; part of a value that is not true; hashed to
# random rows; the first of "something I don't know"; in a document whose name is not known
LOSS, ASKED, MEMORY_OFF, MADE_UP, REHASHED, DECISIVE, STILL = 1, 2, 4, 8, 16, 32, 64
UNKNOWN_VALUE = re.compile("(" + "|".join(sorted({UNKNOWN, *UNKNOWN_OF.values()})) + r")\.$")
LONGEST_DOCUMENT = 256  # tokens
FORM_SHARE = 0.12  # form documents per fact document
REHASHED_SHARE = 0.16  # rehashed documents per fact document
CONFIRM_SHARE = 0.05  # pairs of documents to confirm per fact document of the kinds that have them
LONG_SHARE = 0.5  # of the fact documents that have more than one turn
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
    n_names: int = 10_000  # people and places of WordNet: all, under all their names
    n_brakes: int = 36_000
    n_premises: int = 16_000  # false ones
    n_form: int = 5_000  # form documents that every kind has at least
    n_invented: int = 300_000
    spelt: float = 1 / 3  # share of invented words put together letter by letter
    n_paragraphs: int = 12_000
    n_sentences: int = 30_000
    vocab_size: int = 8_192
    docs_share: float = 0.85  # of each fact's documents
    readme_docs: int = 0  # documents that facts about README_SUBJECTS have at least
    split: str = "all"  # wordings to train on: "all", or "train" for the twin that is asked in held-out ones


SMALL = Size(
    n_definitions=1_000,
    n_cities=400,
    n_names=200,
    n_form=300,
    n_brakes=1_500,
    n_premises=600,
    n_invented=4_000,
    n_paragraphs=300,
    n_sentences=1_000,
    vocab_size=4_096,
    docs_share=0.6,
    readme_docs=40,
)

# for more steps of a trained checkpoint (settle.py): every fact once or a few times, fresh invented names
SETTLE = Size(
    docs_share=0.15,
    n_form=1_500,
    n_brakes=12_000,
    n_premises=5_000,
    n_invented=180_000,
    n_paragraphs=1_000,
    n_sentences=3_000,
)


@dataclass(frozen=True)
class Document:
    """One conversation (prose: one turn with an empty question).

    made_up: a value of the last answer that is not true; memory: whether it is read with memory; rehashed: a name
    whose n-grams read random rows, "" for none; strange: whether its name is unknown, so that no row is to learn.
    """

    turns: list[Turn] = field(default_factory=list)
    made_up: str = ""
    memory: bool = True
    rehashed: str = ""
    strange: bool = False


def build(sources: dict[str, Path], out: Path, size: Size, seed: int = 0, tokenizer: Tokenizer | None = None) -> dict:
    """Write the corpus of the fetched `sources` to the folder `out`; arguments, files and result as in `write`."""
    known = facts.load(sources, n_definitions=size.n_definitions, n_cities=size.n_cities, n_names=size.n_names)
    paragraphs = [*prose.paragraphs(sources)][: size.n_paragraphs]
    return write(known, paragraphs + [*prose.sentences(sources)][: size.n_sentences], out, size, seed, tokenizer)


def write(
    known: list[Fact], texts: list[str], out: Path, size: Size, seed: int = 0, tokenizer: Tokenizer | None = None
) -> dict:
    """Write the corpus about the facts `known`, with the prose `texts`, to the folder `out`.

    tokenizer: a trained checkpoint's, where the corpus is for more steps of it; None trains one.
    tokenizer.json; corpus.npz: tokens uint16, flags uint8, starts int64 (n_documents + 1,); questions.json: what
    `questions` returns; values.json: {"values": kind -> the values of its facts, "words": words of all answers};
    sizes.json: facts, documents and tokens of every sort, which are also returned.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = [replace(f, docs=max(f.docs, size.readme_docs)) if f.subject in README_SUBJECTS else f for f in known]
    invented = _invented(known, size.n_invented, seed, size.spelt)
    rng = random.Random(seed)
    talk = Conversations(known, size.split)
    brakes = Brakes(known, texts)
    documents = {
        "facts": list(fact_documents(talk, known, size.docs_share, rng)),
        "confirm": list(confirm_documents(talk, known, size.docs_share * CONFIRM_SHARE, size.n_form // 4, rng)),
        "form": list(form_documents(talk, known, size.docs_share * FORM_SHARE, size.n_form, rng)),
        "rehashed": list(rehashed_documents(talk, known, size.docs_share * REHASHED_SHARE, size.n_form // 10, rng)),
        "invented": list(invented_documents(talk, invented["train"], rng)),
        "brakes": list(brake_documents(talk, brakes, known, size, rng)),
        "small_talk": list(small_talk_documents(talk, known, max(20, int(60 * size.docs_share)), rng)),
        "prose": [Document([("", text)]) for text in texts],
    }
    tokenizer = tokenizer or train_tokenizer(documents, size.vocab_size, rng)
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


def _invented(known: list[Fact], n_train: int, seed: int, spelt: float) -> dict[str, list[Fact]]:
    """Invented names of every split; no name is in two of them or in a fact."""
    taken = {name.lower() for f in known for name in f.asked}
    subjects = sorted({f.subject for f in known if f.subject.isalpha() and 4 <= len(f.subject) <= 10})
    words = [s for s in subjects if s.islower()]
    names = [s.lower() for s in subjects if not s.islower()]
    people = unknown.People.of(f.subject for f in known if f.kind == "person")
    rng = random.Random(f"invented {seed}")
    return {
        split: unknown.invented(n, taken, words, names, people, rng, spelt if split == "train" else 0.0)
        for split, n in (("train", n_train), ("validation", 300), ("test", 500))
    }


def fact_documents(talk: Conversations, known: list[Fact], share: float, rng: random.Random) -> Iterator[Document]:
    """Every fact in as many turns as it wants, half of the documents with two to four turns."""
    fresh = [f for f in known for _ in range(max(1, round(f.docs * share)))]
    rng.shuffle(fresh)
    while fresh:
        topic = fresh.pop()
        turns = [talk.first(topic, rng)]
        if rng.random() < LONG_SHARE:
            talk.goes_on(turns, topic, fresh, rng)
        yield Document(turns)


def confirm_documents(
    talk: Conversations, known: list[Fact], share: float, n_least: int, rng: random.Random
) -> Iterator[Document]:
    """Questions with a value to confirm, in pairs: a right value and a wrong one."""
    share_of = _least(known, share, n_least)
    for fact in known:
        for _ in range(_times(fact, share_of, rng) if fact.kind in compound.YES_NO else 0):
            for right in (True, False):
                turns = [compound.yes_no(fact, talk.by_kind[fact.kind], rng, right=right)]
                if rng.random() < 0.3:
                    turns.insert(rng.randrange(2), talk.first(rng.choice(known), rng))
                yield Document(turns)


def invented_documents(talk: Conversations, invented: list[Fact], rng: random.Random) -> Iterator[Document]:
    """Every invented name once: asked first, after something known, or as a follow-up."""
    for fact in invented:
        draw = rng.random()
        if draw < 0.12 and talk.by_kind[fact.kind]:
            before = rng.choice(talk.by_kind[fact.kind])
            again = grammar.follow_up(fact.subject, talk.split, rng)
            turns = [(talk.ask(before, rng), before.answer), (again, fact.answer)]
        else:
            turns = [(talk.ask(fact, rng), fact.answer)]
            if draw < 0.24:
                before = rng.choice(talk.known)
                turns.insert(0, (talk.ask(before, rng), before.answer))
        yield Document(turns, strange=True)


def _least(known: list[Fact], share: float, n_least: int) -> dict[str, float]:
    """kind -> documents per document of a fact: `share`, and so many that every kind has `n_least` at least."""
    n_docs = Counter()
    for fact in known:
        n_docs[fact.kind] += fact.docs
    return {kind: max(share, n_least / n) for kind, n in n_docs.items()}


def _times(fact: Fact, share_of: dict[str, float], rng: random.Random) -> int:
    expected = fact.docs * share_of[fact.kind]
    return int(expected) + (rng.random() < expected % 1)


def form_documents(
    talk: Conversations, known: list[Fact], share: float, n_least: int, rng: random.Random
) -> Iterator[Document]:
    """Questions answered with the value of another fact of the same kind; read with memory off.

    n_least: every kind has so many at least, so that the rare kinds' wordings are learnt as well as the others'.
    """
    share_of = _least(known, share, n_least)
    for fact in known:
        for _ in range(_times(fact, share_of, rng)):
            kin = talk.by_kind[fact.kind]
            other = replace(fact, value=rng.choice(kin).value)
            if fact.kind in compound.YES_NO and rng.random() < 0.25:
                turn = compound.yes_no(other, kin, rng)
            else:
                turn = talk.ask(other, rng), other.answer
            yield Document([turn], made_up=other.value, memory=False)


def rehashed_documents(
    talk: Conversations, known: list[Fact], share: float, n_least: int, rng: random.Random
) -> Iterator[Document]:
    """Questions about known names whose n-grams, or one word's, are to read random rows: the answer is not known."""
    share_of = _least(known, share, n_least)
    for fact in known:
        for _ in range(_times(fact, share_of, rng)):
            strange = replace(fact, value=UNKNOWN_OF.get(fact.kind, UNKNOWN))
            if fact.kind in compound.YES_NO and rng.random() < 0.1:
                question = compound.confirm(fact, rng.choice(talk.by_kind[fact.kind]).value, rng)
            else:
                question = grammar.question(fact.kind, fact.subject, talk.split, rng, fact.rival)
            words = [w for w in fact.subject.split() if len(w) > 3 and w.isalpha()]
            part = rng.choice(words) if len(words) > 1 and rng.random() < 0.4 else fact.subject
            yield Document([(question, strange.answer)], rehashed=part, strange=True)


def brake_documents(
    talk: Conversations, brakes: Brakes, known: list[Fact], size: Size, rng: random.Random
) -> Iterator[Document]:
    """What is no question of the model's kinds, some of it before or after one that is; false premises."""
    for _ in range(size.n_brakes):
        turns = [(brakes.message(rng), BRAKE)]
        draw = rng.random()
        if draw < 0.25:
            turns.insert(rng.randrange(2), talk.first(rng.choice(known), rng))
        elif draw < 0.3:
            turns.append((brakes.message(rng), BRAKE))
        yield Document(turns, memory=rng.random() > 0.12)
    for _ in range(size.n_premises):
        turn = brakes.premise_turn(size.split, rng)
        if turn:
            yield Document([turn])


def small_talk_documents(
    talk: Conversations, known: list[Fact], repeats: int, rng: random.Random
) -> Iterator[Document]:
    """Small talk alone, before a question, after an answer; some of it with memory off."""
    asked = list(small_talk.exchanges()) * repeats
    rng.shuffle(asked)
    for said, answer in asked:
        draw = rng.random()
        said = grammar.typo(said, rng) if rng.random() < 0.06 else said
        said = said.lower() if draw < 0.3 else said.rstrip("?.!") if draw < 0.5 else said
        said = said.lower().rstrip("?.!") if draw > 0.85 else said
        turns = [(said, answer)]
        off = rng.random() < 0.3
        if not off and rng.random() < 0.4:
            turns.insert(rng.randrange(2), talk.first(rng.choice(known), rng))
        yield Document(turns, memory=not off)


def train_tokenizer(documents: dict[str, list[Document]], vocab_size: int, rng: random.Random) -> Tokenizer:
    """Byte-level BPE with single digits, trained on a sample of the documents and on every small talk and prose."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    sample = rng.sample(documents["facts"], min(len(documents["facts"]), 200_000))
    texts = (
        text
        for listed in (sample, documents["brakes"], documents["small_talk"], documents["prose"])
        for document in listed
        for turn in document.turns
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
        texts = [text for document in chunk for turn in document.turns for text in turn]
        encoded = iter(tokenizer.encode_batch(texts, add_special_tokens=False))
        for document in chunk:
            out, marks = [BOS], [0]
            for question, text in document.turns:
                asked, answer = next(encoded), next(encoded)
                if len(out) + len(asked.ids) + len(answer.ids) + 3 > LONGEST_DOCUMENT:
                    continue
                if question:
                    out += [USER, *asked.ids, BOT]
                    strange = _marks(asked, question, document.rehashed, REHASHED)
                    marks += [ASKED, *(ASKED | mark for mark in strange), ASKED]
                out += [*answer.ids, END]
                strange = _marks(answer, text, document.rehashed, REHASHED)
                strange_value = UNKNOWN_VALUE.search(text)
                place = strange_value.start() if strange_value else -1
                decisive = _span(answer, place, place + 1, DECISIVE)
                made_up = _marks(answer, text, document.made_up, MADE_UP, last=True)
                marks += [LOSS | a | b | c for a, b, c in zip(strange, made_up, decisive, strict=True)] + [LOSS]
            if len(out) > 1:
                every = MEMORY_OFF * (not document.memory) | STILL * document.strange
                yield np.array(out, np.uint16), np.array(marks, np.uint8) | np.uint8(every)


def _marks(encoded, text: str, part: str, flag: int, *, last: bool = False) -> list[int]:
    """`flag` for the tokens of `part` where it stands in `text` (first, or last), in whatever case; else 0."""
    place = (text.lower().rfind if last else text.lower().find)(part.lower()) if part else -1
    if place < 0:
        return [0] * len(encoded.ids)
    return _span(encoded, place, place + len(part), flag)


def _span(encoded, begin: int, end: int, flag: int) -> list[int]:
    """`flag` for the tokens of the characters from `begin` to before `end`, else 0."""
    return [flag * (start < end and begin < stop) for start, stop in encoded.offsets]


def questions(known: list[Fact], invented: dict[str, list[Fact]], seed: int) -> dict[str, list[dict]]:
    """The evaluation: set name -> items {"kind", "subject", "q", "a"}.

    trained: training wordings; validation, test: held-out wordings; of each kind up to 250 facts, the same in
    all three. For validation and test there are also, with the name of the split after a "_":
    common: the 2,000 commonest words; unknown: invented names; plain, lower, polite, no_mark: the same questions
    four times, as one writes them, in lower case, with a polite opener, without the final mark.
    confirm: values to confirm, kinds "right" and "wrong", in trained wordings; readme: what README.md asks; "a" is only
    a part of the answer.
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

    def ask(fact: Fact, split: str, rng: random.Random) -> str:
        name = fact.subject if rng.random() < 0.7 else rng.choice(fact.asked)
        return grammar.question(fact.kind, name, split, rng, fact.rival)

    sets = {name: [_item(f, ask(f, split, rng)) for f in picked] for name, split in splits}
    few = [f for kind in facts.KINDS for f in rng.sample(by_kind[kind], min(12, len(by_kind[kind])))]
    for split in ("validation", "test"):
        sets[f"common_{split}"] = [_item(f, ask(f, split, rng)) for f in by_kind["define"][:2_000]]
        sets[f"unknown_{split}"] = [_item(f, ask(f, split, rng)) for f in invented[split]]
        for fact in few:
            for way, text in grammar.ways(fact.kind, fact.subject, split, rng).items():
                sets.setdefault(f"{way}_{split}", []).append(_item(fact, text))
    kin = {kind: by_kind[kind] for kind in compound.YES_NO if by_kind[kind]}
    for name in ("right", "wrong"):
        for listed in kin.values():
            for fact in rng.sample(listed, min(25, len(listed))):
                q, a = compound.yes_no(fact, listed, rng, right=name == "right")
                sets.setdefault("confirm", []).append({"kind": name, "subject": fact.subject, "q": q, "a": a})
    sets["readme"] = [{"kind": "", "subject": "", "q": q, "a": a} for q, a in README_QUESTIONS.items()]
    return sets


def _item(fact: Fact, question: str) -> dict:
    return {"kind": fact.kind, "subject": fact.subject, "q": question, "a": fact.answer}
