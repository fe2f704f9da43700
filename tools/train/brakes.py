"""What is no question of the model's kinds, and the one sentence that answers all of it.

Tasks, sums, opinions, advice, how and why, superlatives, prose, word salad, other languages, news, false premises:
a small model that answers these would only make things up. Own text; words and names come from the facts.
"""

import random
import re
from collections import defaultdict

from .facts import UNKNOWN, UNKNOWN_OF, Fact
from .grammar import dress, expand, question, typo

BRAKE = "I can't help with that: I only know facts about words, countries, cities, elements and people."

# {n}: a common noun; {w}: any word; {c}: a country; {t}: a city; {p}: a person; {e}: an element; {d}: a number;
# {a}: an adjective; {v}: a verb; {y}: a year; {k}: keys
PATTERNS = """
(Write/Compose/Make up) (me/) a (poem/song/story/letter/joke/speech/essay/rhyme/limerick/haiku) about (a
  {n}/{c}/{t}/{p}/the {n}).
| (Write/Give/Show) me (code/a program/a script/a function/a python function/a regex) (that sorts a list/for a
  {n}/that counts {n}s/to read a file).
| (Translate/Say) (the word/) {w} (to/in/into) (French/German/Spanish/Italian/Latin/Chinese/Japanese).
| How do you say {w} in (French/German/Spanish/Italian)?
| (Summarize/Sum up/Retell/Explain) the (plot/story/book/film/history) of (the {n}/{p}/{c}).
| (Correct/Fix/Improve/Rewrite/Proofread) this (text/sentence/code): the {n} {w} {a}
| (Help/Can you help) me (with my homework/to plan a trip to {t}/to buy a {n}/to find a job/write an email/with my
  {n}). | (Draw/Paint/Show me) (a picture of/) a {n}. | (Play/Let's play) a game (with me/of {n}s/).
| (Set an alarm/Remind me/Call my mother/Send an email/Book a flight to {t}/Order a {n}/Turn on the {n}).
| Open (the {n}/a file/google).
| (Make/Give) me a (list/plan/recipe/table/summary) (of/for) (ten {n}s/a {n}/my week/dinner). | Act as a {n}.
| (Pretend/Imagine) (you are/to be) (a {n}/{p}). | Ignore (your/all) (rules/instructions).
| What is {d} (plus/minus/times/divided by/+/-/*/x) {d}? | {d}(+/-/*/x/ plus / times / minus ){d}
| (How much is/Calculate/Compute/Solve) {d} (+/plus/minus/times/-) {d}. | What is the square root of {d}?
| (If/When) I have {d} {n}s and (eat/lose/sell) {d}, how many (are left/do I have)? | Is {d} a prime number?
| How many {n}s are in a {n}? | What is {d} percent of {d}?
| (Convert/Change) {d} (miles/dollars/pounds/degrees) (to/into) (kilometers/euros/kilos/Celsius).
| What is half of {d}? | (Count/Add up) to {d}. | Which is more, {d} or {d}? | Why (is/are) (the {n}/{n}s) {a}?
| Why does (a {n}/{c}/{t}/{e}) {v}? | Why did {p} {v}?
| Why is (the sky blue/grass green/water wet/{e} {a}/{c} {a})? | Why do (people/we/{n}s) {v}? | why {v} | Why not?
| How (do/can/should) I (make/cook/bake/build/fix/clean/learn/buy/sell/grow/play/draw/use/win) (a {n}/the
  {n}/{n}s/it/my {n})? | How does (a {n}/the {n}/{e}/a {n} engine) (work/grow/move/{v})?
| How to (make/cook/build/fix/draw) (a {n}/{n}s) | How (far/long) is it from {t} to {t}?
| How far is (it from/) {t} (from/to) {t}? | How do I get (from {t}/) to {t}?
| How long does it take to (get to {t}/{v}/cook a {n})? | How much does a {n} cost? | How often should I {v}?
| What is the (biggest/largest/smallest/tallest/longest/oldest/best/worst/fastest/richest/most
  {a}/highest/deepest/cheapest)
  ({n}/country/city/river/mountain/building/animal) (in the world/in {c}/ever/of all time/on earth/there is/)?
| Which ({n}/country/city/element/person/river) is the (biggest/largest/smallest/oldest/best/most
  {a}/richest/heaviest/tallest)?
| Which (country/city/element) has the (most/fewest/highest/largest) ({n}s/people/{n})?
| the (best/worst/biggest/most {a}) {n}
| Who is the (richest/tallest/oldest/fastest/best/most famous) (person/man/woman/{n}) (in the world/alive/ever/in
  {c}/)? | (Who/What) is the most {a} ({n}/person) (ever/in {c}/)? | What is your favorite {n}?
| Which is (better/bigger/older/heavier/larger/warmer), {c} or {c}? | Is {t} (bigger/older/nicer) than {t}?
| Is {c} (bigger/richer/better) than {c}?
| What is the difference between (a {n} and a {n}/{c} and {c}/{w} and {w})? | Compare {c} (and/with) {c}.
| (Do/Don't) you (think/believe) (that/) (a {n}/{c}/{p}) is {a}?
| What do you think (of/about) ({p}/{c}/{n}s/the {n}/politics/god/love)?
| Do you (like/love/hate/want/need/prefer) ({n}s/{c}/{p}/the {n}/a {n})?
| Is {p} (a good person/{a}/dead/married/rich)?
| (Should/Can/May) I (buy/eat/drink/take/sell/visit/learn/marry) (a {n}/the {n}/{c}/{t}/it)?
| What should I (eat/wear/do/read/watch/buy/cook/say) (today/tonight/now/tomorrow/)?
| (Recommend/Suggest) (me/) a (book/film/restaurant/{n}/game/song) (in {t}/).
| Is it (good/bad/safe/legal) to (eat/buy/have) (a {n}/{e})?
| Who will win (the election/the war/the game/the match/the {n})?
| Will (it rain/there be war/{c} win/I be {a}) (tomorrow/today/)? | When will (I/we/the {n}) {v}?
| What will happen (tomorrow/to {c}/if I {v})? | What happened in {y}?
| What (happened/is new) in {c} (yesterday/today/in {y})?
| Who is (the president/the king/the queen/the prime minister/the leader/the mayor/the richest man) of ({c}/{t})
  (now/today/)?
| Who (won/lost/wrote/invented/built/painted/owns/sang/directed) (the {n}/the world cup/{n}s/the {n} of {c}/it)?
| Who rules {c}? | When (did/will) {c} (become the capital of {c}/win the world cup/{v}/get its {n})?
| When did {p} (marry/meet {p}/visit {c}/{v})? | When was the (last/first) {n} (in {c}/)?
| Where did {p} (live/meet {p}/buy a {n})? | Where can I buy (a {n}/{n}s)?
| Where (is/are) my (keys/{n}/phone/mother)? | Where (am I/are we/do I live)? | (What/Who) am I?
| How old (am I/is my {n}/is the {n})? | What is my (name/{n}/age)? | Do you know (me/my {n}/where I live)?
| What (color/colour) is (a {n}/the {n})? | What does a {n} (eat/look like/cost/do)?
| How many (legs/wheels/eyes/{n}s) (does/has) a {n} (have/)? | How many {n}s (are there/live) in {c}?
| What comes (after/before) (Monday/{d}/{w}/the {n})? | What (day/month/year) is it?
| How many (days/hours/weeks) until (Christmas/tomorrow/{d})? | What rhymes with {w}? | Spell {w}.
| How do you (spell/pronounce) {w}?
| I (saw/bought/lost/found/want/need/have/like/made/ate/sold/dropped) (a {n}/my {n}/the {n}/some {n}s)
  (yesterday/today/in {t}/last week/with my sister/).
| My (mother/brother/friend/dog/{n}/boss) (is {a}/likes {n}s/went to {t}/has a {n}).
| The {n} (was/is/looked) {a} and the {n} {v}. | I (am/feel) (a {n}/{a}/hungry/tired/sad/happy/sick/lonely).
| (It was/There was) a {a} {n} in {t}. | We (went/drove/walked) to {t} (to see the {n}/last summer/by {n}).
| (He/She) (said/thought/wrote) that the {n} (was {a}/would {v}).
| The (old/young/little) {n} (sat/stood/lived) (by/near) the {n}.
| Tell me (everything/more/something) about (your day/my future/the news/our {n}/nothing).
| (Explain/Teach me) (quantum mechanics/calculus/relativity/politics/the stock market/how to {v}/everything).
| What is the (meaning/purpose/point/secret) of (life/love/it all/everything)?
| What is (love/life) (all about/for)?
| Give me (three/five/ten/some) (tips/ideas/reasons/examples/names) (for/about) (a {n}/learning the {n}/a trip to
  {c}/my {n}). | (What if/Suppose) (the {n} is {a}/I {v}/{c} had no {n}).
| (Prove/Show) that (the {n} is {a}/{d} is a prime). | What would {p} (say/do/think)? | {w} {w} {w}
| {w} {w} {w} {w} {w} | {w} {w} {w} {w} {w} {w} {w} | {w} the {w} {w} of {w} under {n} | {n} {n} {v} {a} {w} | {k}
| {k} {k} | {k} {k} {k} | {d} {d} {d} | {w}, {w}, {w} and {w} | !!! | ??? | ... | {k}{d}
| Was ist (die Hauptstadt von {c}/das/ein {k}/{c}/los)?
| Wie (heißt du/viel Uhr ist es/geht es dir/spät ist es/komme ich nach {t})?
| (Ich bin/Ich habe/Ich möchte) (müde/ein Buch/nach {t}/Hunger). | Wo (liegt {c}/liegt {t}/bist du/ist der Bahnhof)?
| Wer (war {p}/bist du/ist das)? | Guten Morgen, wie geht es? | Quelle (est la capitale de {c}/heure est-il)?
| Qu'est-ce que (c'est/{c}/tu fais)? | (Où est/Qui est/Qui était) ({t}/{p}/la gare)?
| (Je suis/J'ai/Je voudrais) (fatigué/faim/un livre/aller à {t}). | Comment (ça va/vas-tu/tu t'appelles)?
| Bonjour, comment allez-vous? | (Cuál es la capital de/Dónde está/Qué es/Cuál es la moneda de) {c}?
| (Qué hora es/Cómo estás/Cómo te llamas/Qué tal)? | (Tengo/Quiero/Estoy) (hambre/un libro/cansado/ir a {t}).
| Quién (es/fue) {p}? | ¿Dónde está {t}? | ¿Qué es esto? | ¿Cómo se dice {w}?
| (Qual è la capitale di/Dove si trova/Che cos'è) ({c}/{t})? | (Come stai/Che ore sono/Come ti chiami)?
| Qual é a capital (do/da) {c}? | (Onde fica/O que é) {t}? | (Wat is de hoofdstad van/Waar ligt) {c}?
| (Hoe gaat het/Hoe heet je/Wat doe je)? | Jaka jest stolica {c}? | Vad är huvudstaden i {c}?
| Hvad er hovedstaden i {c}?
"""
VERBS = re.findall(
    r"\w+",
    """run sing fall sleep burn move stop cry dance fly swim break stink float grow shine die eat work walk explode
melt leave laugh win lose rain snow cook drink jump hide wait""",
)
KEYS = ("asdf", "qwer", "jkl", "hjkl", "zxcv", "uiop", "fgh", "wert", "yxcv", "dfgh", "lkj", "bnm")
PREMISES = {  # kind -> classes of subjects that it cannot be asked about
    **dict.fromkeys(("capital", "currency", "language", "calling_code", "domain"), "element person thing"),
    **dict.fromkeys(("population", "area", "demonym", "time_zone", "continent", "neighbours"), "element person thing"),
    **dict.fromkeys(("symbol", "atomic_number", "atomic_weight"), "country city person thing"),
    **dict.fromkeys(("melting_point", "boiling_point"), "country city person"),
    **dict.fromkeys(("discoverer", "discovered", "element_type"), "city person thing"),
    **dict.fromkeys(("born", "died"), "country city element thing"),
    "capital_of": "element person thing",
}  # fmt: skip
CLASSES = {"capital": "country", "city": "city", "symbol": "element", "born": "person", "kind_of": "thing"}
HEAVENLY = ("the Moon", "the Sun", "Mars", "Jupiter", "Venus", "Africa", "Asia", "Europe", "Antarctica", "the Pacific")


class Brakes:
    """Draws what the model should not answer, with words and names of the facts `known`."""

    def __init__(self, known: list[Fact], sentences: list[str]):
        """sentences: prose, of which some is sent as if it were a message."""
        self.patterns = [" ".join(p.split()) for p in re.split(r"\s\|\s", PATTERNS)]
        self.expanded = [expand(p) for p in self.patterns]
        self.sentences = [s for s in sentences if len(s) < 120] or ["The rain fell on the house."]
        subjects = defaultdict(list)
        for fact in known:
            subjects[fact.kind].append(fact.subject)
        self.known = {(f.kind, name.lower()) for f in known for name in f.asked}
        words = [w for w in subjects["define"][:6_000] if w.islower()] or ["house"]
        self.words = {
            "{n}": [w for w in subjects["kind_of"][:1_500] if w.isalpha()] or words,
            "{w}": words,
            "{c}": subjects["capital"] or ["France"],
            "{t}": subjects["city"][:1_200] or ["Paris"],
            "{p}": subjects["person"][:1_200] or ["Ann"],
            "{e}": subjects["symbol"] or ["iron"],
            "{a}": [w for w in subjects["antonym"] if w.isalpha()] or words,
            "{v}": VERBS,
        }
        self.by_class = {name: subjects[kind][:4_000] for kind, name in CLASSES.items() if subjects[kind]}

    def message(self, rng: random.Random) -> str:
        """Something that is no question of the model's kinds."""
        if rng.random() < 0.07:
            text = rng.choice(self.sentences)
        else:
            text = rng.choice(rng.choice(self.expanded))
            for mark, words in self.words.items():
                while mark in text:
                    text = text.replace(mark, rng.choice(words), 1)
            while "{k}" in text:
                text = text.replace("{k}", rng.choice(KEYS), 1)
            while "{d}" in text:
                text = text.replace("{d}", str(rng.randrange(2, rng.choice((12, 100, 1_000)))), 1)
            while "{y}" in text:
                text = text.replace("{y}", str(rng.randrange(1400, 2025)), 1)
        if rng.random() < 0.1:
            text = typo(text, rng)
        return dress(text, "train", rng) if rng.random() < 0.3 else self._typed(text, rng)

    @staticmethod
    def _typed(text: str, rng: random.Random) -> str:
        if rng.random() < 0.35:
            text = text.rstrip("?.")
        return text.lower() if rng.random() < 0.4 else text

    def false_premise(self, split: str, rng: random.Random) -> Fact | None:
        """A fact that cannot be ("the currency of gold"), with "I don't know" as its value; None if the draw is one."""
        kind = rng.choice([*PREMISES])
        pool = self.by_class.get(rng.choice(PREMISES[kind].split()), [])
        if rng.random() < 0.1:
            pool = HEAVENLY
        if not pool:
            return None
        subject = rng.choice(pool)
        if (kind, subject.lower()) in self.known:
            return None
        return Fact(kind, subject, UNKNOWN_OF.get(kind, UNKNOWN), (subject,), 1)

    def premise_turn(self, split: str, rng: random.Random) -> tuple[str, str] | None:
        """A turn whose question assumes what is not so."""
        fact = self.false_premise(split, rng)
        return None if fact is None else (question(fact.kind, fact.subject, split, rng), fact.answer)
