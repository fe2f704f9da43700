"""More ways to ask, each a pattern: (a/b/) stands for one of its alternatives, the last of which may be nothing.

A pattern that starts with a small letter is a noun phrase for the carriers of `grammar.py`, any other a whole
question. {s} stands for the subject.
"""

PATTERNS = {
    "define": """(What/Which) meaning does (the word/the term/) {s} have? | What (sense/meaning) has the word {s}?
        | How (can/should/could) I understand (the word/the term/) {s}? | What is the (word/term) {s} about?
        | (Give/Write/Read) me (a/the) (dictionary entry/gloss) (for/of) {s}. | {s}, (define/explain) it.
        | (Say/Tell me/Write) what (the word/the term/a) {s} (means/is). | {s} (meaning/definition)
        | What would you say {s} (means/is)? | (Tell me/Say) in (a few/plain/other) words what {s} means.
        | What is (the word/the term) {s} (used for/supposed to mean)? | {s} is a word that means what?
        | What (is/do people call) a {s}? | What (exactly/really/) does {s} mean?
        | (Look up/Find/Check) (the word/) {s}.
        | (Who can explain/Can you explain/Can you define) (the word/the term/) {s}? | When is something {s}?
        | I (saw/heard/met) the word {s}. What (does it mean/is it)? | What does it mean to (say/call something) {s}?
        | the (gloss/dictionary entry) (of/for) (the word/) {s} | what (the word/) {s} means
        | the (exact/usual/basic/main) (meaning/definition) of {s} | (the word/) {s} in (plain/simple/other) words
        | (In/With) (one sentence/a few words/your own words), what does {s} mean?
        | (How/What) does (the/a) dictionary (define/say about) {s}?
        | (Give/Show/Tell) me the (meaning/definition/sense) of (the word/the term/) {s}.
        | What is the (meaning/definition/sense) behind (the word/) {s}?
        | (Somebody/Someone/He/She) (called/named) it {s}. What does that mean?
        | What (idea/thing/concept) does (the word/) {s} (describe/name/express)?
        | (Can/Could/Would) you (explain/define/describe) (the word/the term/) {s} (to me/for me/)?
        | (Please/Now/Just) (explain/define/describe) {s}. | The (definition/sense) of (the word/) {s} is what?
        | (Teach/Help) me (understand/to use) the word {s}. | {s} (is defined as/stands for/says) what?
        | What am I saying when I say {s}? | What should I (imagine/think of) when I (read/hear) {s}?
        | Who knows what {s} means? | the word {s} and its meaning
        | (Which/What) (sense/meaning) (is behind/lies in/belongs to) (the word/) {s}?
        | {s}, (what is that/what does that mean/explain)? | {s} (is/means) (something/a thing): what?
        | (The word/The term) {s}, please (explain/define).
        | (Do/Did) you (know/understand/see) (the word/) {s}? (Explain/Define) it.
        | Is {s} a word, and what does it mean? | (Open/Use) your dictionary at {s}.
        | How (do/would) (dictionaries/people) (define/understand) (the word/) {s}?
        | (What/Which) is the (meaning/definition/sense) (that/) {s} has?
        | I (need/want/look for) the (meaning/definition) of (the word/) {s}.
        | (Check/Read/Look up/Find) the (meaning/definition) of (the word/) {s}.
        | For (the word/) {s}, (what is the meaning/give a definition). | In English, what (does {s} mean/is {s})?
        | (Translate/Put) {s} into (plain/simple/easy) words. | {s} (as a word/in English) means what?""",
    "kind_of": """(What/Which) (kind/sort/type/class) of thing does {s} (name/describe)?
        | (What/Which) group does {s} belong to? | What is (a/) {s}, (in general/more generally/broadly)?
        | A {s} is (a kind/a sort/an example/a form) of what? | {s} is (a sort/a form/one kind) of what?
        | Under (what/which) (category/heading/term) does {s} (fall/come)?
        | (Name/Give me/Tell me) the (category/class/broader word/general word) (of/for) {s}.
        | (What/Which) (broader/more general/wider) (word/term/class) (covers/includes/fits) {s}?
        | (What/Which) (word/term) is (broader/more general) than {s}? | {s}: (category/kind/class)?
        | (Sort/Classify/Categorize) (the word/) {s}. | How is {s} (classified/categorized)?
        | (What/Which) (class/category/kind) is {s} (in/part of)? | Into (what/which) (category/class) does {s} fall?
        | the (broader/wider/general/more general) (word/term/class/category) (for/of/above) {s}
        | the (class/kind/sort/type) (of/for) (the word/) {s} | what kind of thing (a/) {s} is
        | (Which/What) (class/sort/kind) of thing do we (call/mean by) {s}?
        | (A/Any/Every) {s} is also (a/some kind of) what?
        | {s} is (one/a member/an instance) of (which/what) (class/group/category)? | (Generalize/Generalise) {s}.
        | More generally, what is (a/) {s}? | (Where/Under which word) would you (file/sort/list) {s}?
        | the (group/family) of things that {s} (belongs to/is in)
        | {s} is (one of/among) (which/what) (things/kinds/class)?
        | {s} (belongs to/is in/falls under) (which/what) (class/group/category)?
        | {s}, (which/what) (class/kind/category)? | The word {s} names (what kind/which kind) of thing?
        | (Which/What) (class/sort) (would you put {s} in/is {s})? | {s} counts as (a kind of/an example of) what?
        | I need a (broader/more general) word for {s}. | Is there a (broader/more general) (word/term) for {s}?""",
    "synonym": """(What/Which) (word/term) is (similar to/close to/like/equal to) {s}? | {s} (synonym/in other words)
        | (Give/Tell/Show) me (a synonym/another word/a similar word) (for/of) {s}.
        | What is (a synonym/the synonym) (for/of) {s}? | (Replace/Substitute/Swap/Reword) (the word/) {s}.
        | What (word/else) (could/can/might) (replace/stand for) {s}?
        | (Is/What is) there (another/a similar/a different) (word/term) for {s}?
        | How (else/otherwise) (could/would) you say {s}?
        | (What/Which) (other/different) (word/term) (can/could/would) I use for {s}?
        | Say {s} (differently/with another word). | (Name/Find) a (word/term) (that means/with the meaning) {s}.
        | {s} means the same as (what/which word)? | {s} is (also called/also known as/another word for) what?
        | What is another (term/name/expression) for {s}? | What do you (use/say/write) (instead of/in place of) {s}?
        | (What/Which) word (equals/matches) {s}? | a (similar/related/equal) word (to/for) {s}
        | (another/a different/an alternative) (term/expression) for {s}
        | a word (similar to/close to/in place of) {s} | the word that can replace {s}
        | (Is there/Do you have/Do you know) (a synonym/another word/a similar word) for {s}?
        | (Which/What) (word/words) (mean/are like/come close to) {s}?
        | (Put/Write/Express) {s} (differently/another way/in another word).
        | I (need/want/look for) another (word/term) for {s}. | {s}: (another word/similar word)?
        | (Avoid/Do not say) {s}: what (can/could) I say? | {s} or what other word?
        | (Suggest/Offer) a (synonym/word) for {s}. | a word to use (for/instead of/in place of) {s}
        | the synonym of the word {s} | How (might/can/do) (I/we/people) (otherwise/also) say {s}?
        | What (do/can) people (also/otherwise) (say/write/call it) (for/instead of) {s}?
        | (Other/Different/More) words for {s}? | In place of {s}, (what/which word) (can/do) I (use/say/write)?
        | Instead of {s}, what (can I/do people) say? | {s} can also be (called/said/written) how?
        | How is {s} (also/otherwise) (called/said)? | Do not repeat {s}: (give another word/what else)?
        | (Write/Use) something else for {s}. | {s}, (in another word/another word)?
        | (Which/What) (word/term) (is another name/is another word) for {s}?
        | (Name/Find/Give) a word (like/close to/similar to) {s}.
        | A (synonym/similar word) (of/for/to) {s} is (what/which)?
        | {s} (equals/is the same as/resembles) (what/which) (other/) word?""",
    "antonym": """(What/Which) (word/term) (opposes/contradicts/is contrary to) {s}? | {s} (antonym/opposite)
        | (Give/Tell/Show) me (an antonym/the opposite/an opposite) (of/for) {s}.
        | What is (the antonym/an opposite) (of/for) {s}?
        | (Name/Find) (an antonym/the opposite) (of/for) (the word/) {s}.
        | The (contrary/reverse/antonym) of {s} is what? | What is the (reverse/contrary/exact opposite) of {s}?
        | (What/Which) is (contrary/opposed/opposite) to {s}?
        | What do you (say/call it) if (something/it) is not {s}? | What is (not/the other side of) {s}?
        | {s} and its opposite: what is it? | Something that is not {s} is what? | If not {s}, (what/then what)?
        | (Turn/Reverse) the word {s} into its opposite. | {s} has (what/which) (antonym/opposite)?
        | (What/Which) (antonym/opposite) does {s} have? | Between {s} and its opposite, what is the opposite?
        | the (antonym/exact opposite/contrary) (of/for) (the word/) {s} | an opposite (word/) (of/for/to) {s}
        | the word (contrary to/opposed to) {s} | what {s} is the opposite of
        | (Is there/Do you know) (an opposite/an antonym) (of/for) {s}?
        | {s} is the (reverse/contrary/antonym) of (what/which word)?
        | (Which/What) word (is not/goes against/stands against) {s}? | I (need/want) the opposite of {s}.
        | {s}: (antonym/contrary)? | Say the opposite of {s}. | (Contrast/Oppose) {s} with a word.
        | the other end of {s} | {s}, and the opposite? | I need an (antonym/opposite) (of/for) {s}.
        | {s} is (not/the opposite of) what? | The (antonym/opposite) (for/of) {s} is (which word/what)?
        | From {s} to its opposite: which word? | (Which/What) word (would be/could be/might be) the opposite of {s}?
        | (Which/What) is the (opposite/antonym/contrary) (word/term/) (of/for/to) {s}?
        | {s} (versus/against/or) what? | The (word/term) (contrary/opposed) to {s} is what?
        | How (do you say/would you say/do you call) the (opposite/contrary/reverse) of {s}?
        | (Flip/Invert/Negate) (the word/) {s}. | (Something/Someone) not {s} is (what/called what)?
        | The (very/direct/complete) opposite of {s} is (what/which word)?
        | In an opposites game I say {s}, what do you say? | Which word is as far from {s} as can be?
        | the (direct/very/complete) (opposite/contrary) of (the word/) {s}""",
    "plural": """(What/Which) is the plural (form/) of (the word/the noun/) {s}?
        | {s} (plural/in the plural/plural form) | (Give/Tell/Write) me the plural (of/for) {s}.
        | (Put/Write/Say) (the word/the noun/) {s} in the plural.
        | (Two/Many/Several/Three) of (a/one) {s} are called what?
        | (What/How) do you call (two/many/several/three) of (a/the) {s}?
        | How (do you spell/do I write/do you make) the plural of {s}? | How is the plural of {s} (formed/written)?
        | {s} becomes what in the plural? | The plural (form/) of (the word/the noun/) {s} is what?
        | One {s}, (many/several/three/ten) what? | (What/Which) plural (form/) does (the noun/) {s} have?
        | If there is more than one {s}, what do I say? | (Make/Form) the plural of {s}.
        | What is (the noun/the word) {s} (in the plural/when there are many)? | I have one {s}. What do I call two?
        | (Pluralize/Pluralise) {s}. | (What/Which) word means more than one {s}?
        | the (plural form/right plural/proper plural) (of/for) (the word/) {s}
        | the word for (many/two/several) of (a/the) {s} | (the word/the noun/) {s} in the plural
        | (I have/There are/We saw) (many/two/three) of a {s}: what do I call them?
        | (Say/Write/Tell me) more than one {s}. | {s}: (two/many) of them?
        | (Which/What) is the right plural (of/for) {s}? | (From/Of) {s}, what is the plural?
        | what the plural of {s} is | (Which/What) (word/form) (names/is used for) (several/two) of a {s}?
        | {s}, in the plural? | I need the plural of {s}. | (Name/Find) the plural of {s}.
        | A {s} and another {s} are two what? | {s} has (which/what) plural?""",
    "part_of": """(What/Which thing/Which whole) (has/contains/includes/holds) (a/the) {s}?
        | (A/The) {s} (belongs to/is in) what? | (A/The) {s} is (a piece/one part/a component) of what?
        | (Of what/To what) does (a/the) {s} (form a part/belong)?
        | What is (a/the) {s} (a piece of/a component of/one part of/found in)? | {s} (is part of/belongs to) what?
        | (What/Which) (bigger/larger) thing (has/contains/includes) (a/the) {s}?
        | {s}: (part of/belongs to) (which thing/what)?
        | (Name/Tell me/Give me) (the thing/something/the whole) (with/that has) (a/the) {s}.
        | Where (do you find/is) (a/the) {s} a part? | (In/On) what (would/do/can) you (find/see) (a/the) {s}?
        | What (would/does) (a/the) {s} (belong to/come with)?
        | (What/Which thing) is (made with/built with/equipped with) (a/the) {s}?
        | What is the whole (of/for/around) (a/the) {s}?
        | (the whole/the thing/something) (with/that contains/that has/that includes) (a/the) {s}
        | the (bigger/larger/complete) thing (with/that has/around) (a/the) {s} | what (a/the) {s} is (a/) part of
        | the whole (of/for) (a/the) {s} | {s}, part of what? | I need the thing that has a {s}.
        | (Which/What) thing has a {s} (in it/on it/)? | A {s} is (on/in/inside/found on) what?
        | (Which/What) (object/body/thing) is a {s} part of?
        | (Which/What) (thing/object) (would/does) (have/contain) a {s}?
        | (Name/Find) (what/the thing) a {s} is part of. | A {s} (is/comes/sits) in (which/what) (thing/whole)?
        | (To/In) (which/what) (thing/whole) does a {s} (belong/sit)? | Where (would/do) I see a {s}?
        | A {s} makes up a part of what?""",
    "adverb_of": """(What/Which) adjective is (the adverb/) {s} (formed from/derived from/based on/related to)?
        | (Give/Tell/Name) me the adjective (of/for/behind) (the adverb/) {s}. | {s}: (which/what) adjective?
        | {s} adjective | (Turn/Change) the adverb {s} into (an/its) adjective.
        | The adverb {s} (is made/is formed/derives) from what?
        | (What/Which) adjective (goes with/gives/makes/matches) (the adverb/) {s}?
        | {s} is the adverb of (which/what) adjective?
        | (What/Which) is the adjective (of/for/in/behind) (the adverb/) {s}?
        | From (what/which) adjective do we get {s}?
        | If (something is done/you do it) {s}, what adjective (fits/is it)?
        | What adjective (lies in/hides in/is in) {s}? | (Make/Form) an adjective (of/from) {s}.
        | {s} derives from (what/which) (adjective/word)? | the adjective (related to/matching/behind/under) {s}
        | the (base/root/source) adjective (of/for) (the adverb/) {s}
        | the adjective from which {s} (comes/derives/is formed) | {s}, from which adjective?
        | I need the adjective (of/for) {s}. | The adjective (of/for) {s} is what?
        | {s} is (made/formed) from (what/which) (word/adjective)? | Without its ending, {s} is which adjective?
        | (Name/Find) the adjective (for/of) {s}.""",
    "jargon": """What is (the term/the word/) {s} in (jargon/computer jargon/hacker jargon/hacker language)?
        | (Explain/Define/Describe) (the slang/the jargon/the slang word/the jargon term) {s}.
        | {s} in (hacker slang/the Jargon File)
        | What (do/would) (programmers/hackers/computer people) (call/understand by) {s}?
        | (When/If) a (hacker/programmer) says {s}, what (is meant/does it mean)?
        | How do (hackers/programmers) use (the word/) {s}?
        | What does the (hacker word/slang word/jargon word) {s} mean?
        | As (hacker/computer/programmer) (slang/jargon), what (does {s} mean/is {s})?
        | {s} is (hacker/computer) slang for what? | (Look up/Find) {s} in the Jargon File.
        | What is {s} (to/among/for) (hackers/programmers)?
        | (Tell me/Say) what {s} means (in hacker slang/to hackers/among hackers).
        | the (hacker/jargon/computer) (sense/definition) of {s} | what (hackers/programmers) (mean by/call) {s}
        | {s} in (hacker/computer) (jargon/language) | (In/Among) hackers, {s} is what?
        | I need the hacker meaning of {s}. | A hacker says {s}: (meaning/what is it)? | {s}, in hacker slang?
        | (How/What) does the Jargon File (define/call) {s}?
        | (Which/What) (meaning/sense) does {s} have (for/among) hackers?
        | Hackers say {s}: (what is it/what does it mean)? | {s} (is/means) what (to/for/among) (hackers/programmers)?
        | (Define/Explain) {s} (for hackers/in hacker slang/as hackers use it).
        | In the (slang/language/jargon) of (hackers/programmers), (what is/define/explain) {s}?""",
    "person": """(What/Which) kind of person (was/is) {s}? | (Tell/Teach) me (something/a bit/a little) about {s}.
        | Who (might/could) {s} be? | What (do we know/is known/can you tell me) about {s}?
        | What (work/job) did {s} (do/have)? | {s}: who (was/is) (it/he or she)?
        | (Describe/Introduce/Present/Explain) (the person/) {s}. | (In a sentence/In short/Briefly), who was {s}?
        | What (made/makes) {s} (known/important/famous/special)?
        | Why (do we remember/do people know/is) {s} (important/)? | What is {s} (remembered/celebrated/noted) for?
        | {s}, (who is that/who was it/tell me about that person)?
        | Who (in history/) (was/is) (this/that) (person/) {s}?
        | (Do you know/Can you say/Say) (who/what) {s} (was/is)? | (What/Who) (do you think/would you say) was {s}?
        | I (heard/saw) the name {s}. Who (was that/is it)? | who {s} (was/is)
        | the (person/man or woman) (by the name of/known as) {s} | the (role/importance/fame) of {s}
        | (For what/Why) (do people know/do we know/should I know) {s}?
        | (Give/Write) me a (short description/sentence/line) (of/about) {s}.
        | (What/Which) (thing/achievement/work) is {s} (known/famous/remembered) for?
        | (Was/Is) {s} a (writer/scientist/ruler) or what? | {s}: (who/tell me)
        | What (is the importance of/is special about/is there to know about) {s}? | In history, who was {s}?
        | (Who/What) do people mean by {s}? | {s} is (known/famous/remembered) for what? | {s} (did/was) what?
        | What do people (remember/know/say) of {s}? | Have you (ever/) (read of/met the name) {s}?
        | I know the name {s}, but who was it? | {s}: (explain/describe/what kind of person)?
        | (What/Which) profession (did/had) {s} (have/)? | (Which/What) person do we call {s}?
        | (Name/Say) one thing about {s}. | The name {s} (stands for/refers to/belongs to) whom?
        | (Explain/Tell me) who the person {s} was. | What can be said (about/of) {s}? | (Look up/Find) {s} (for me/).
        | In a lexicon, who is {s}? | Who (ever/) was this {s}? | (What/Which) role did {s} (play/have)?
        | {s} is (who/which person)?""",
    "born": """(When/In what year/In which year) (did {s}'s life start/was the birth of {s})?
        | {s} (birth year/year of birth/born when) | (What/Which) is (the birth year/the year of birth) of {s}?
        | (Tell me/Say/Give me) (when/in which year) {s} was born.
        | (What/Which) year did {s} (see the light of day/come into the world/enter the world)?
        | {s}'s birth was (when/in which year)? | (What/Which) year (saw/marks/brought) the birth of {s}?
        | How long ago was {s} born? | When did {s}'s (mother/parents) have {s}?
        | From (what/which) year on did {s} live? | When did {s}'s life (begin/start)?
        | When does the life of {s} (begin/start)? | At what (date/time) was {s} born?
        | {s} (came into the world/started life) when? | What is {s}'s (birthday/birth date)?
        | the (year/date/time) of {s}'s birth | the (birth/beginning of life) of {s} | when {s} was born
        | the year that {s} was born | the (date/year) on which {s} was born
        | (Which/What) was the (first year/year of the birth) of {s}? | {s} (lived from/was alive from) which year?
        | Since which year was {s} alive? | (Do you know/I forgot) when {s} was born.
        | (Which/What) (birthday/birth year) (has/did) {s} (had/have)?
        | (At/In) what time did {s} come into the world? | the first year of {s}'s life
        | {s}: (birth/year of birth/born)? | {s} (lived/was alive) from (when/which year)?
        | (Which/What) year (began/opened) {s}'s life? | In (which/what) year (was/came) {s}'s birth?
        | I need the year {s} was born. | {s}, born when? | (Since/From) when was {s} alive?""",
    "died": """(When/In what year/In which year) (did {s}'s life stop/was {s}'s death)?
        | {s} (death year/year of death/died when) | (What/Which) is (the death year/the year of death) of {s}?
        | (Tell me/Say/Give me) (when/in which year) {s} died.
        | (What/Which) year did {s} (pass away/leave the world)? | When did {s} (pass away/leave this world)?
        | {s}'s death was (when/in which year)? | (What/Which) year (saw/marks/brought) the death of {s}?
        | How long ago did {s} die? | Up to (what/which) year did {s} live? | When did {s}'s life (end/stop)?
        | When does the life of {s} end? | At what (date/time) did {s} die? | {s} (passed away/left the world) when?
        | In (what/which) year did {s} pass away? | (What/Which) was the last year of {s}?
        | the (end of life/death/passing) of {s} | the (year/date/time) (of/when) {s}'s death
        | when {s} (died/passed away) | the last year of {s}'s life | the year that {s} died
        | the (date/year) on which {s} died | (Which/What) was the (last year/year of the death) of {s}?
        | {s} (lived until/was alive until) which year? | Until (which/what) year (was {s} alive/did {s} live)?
        | (Do you know/I forgot) when {s} died. | When was {s} (buried/dead/gone)? | When did {s} (go/perish)?
        | (Until/Up to) when was {s} alive? | {s} (was/is) dead since (when/which year)?
        | {s} lived (until/up to) (when/which year)? | {s}: (death/year of death/died)?
        | (Which/What) year (ended/closed) {s}'s life? | In (which/what) year (was/came) {s}'s (end/death)?
        | I need the year {s} died. | How did the life of {s} end, and when? | {s}, died when?""",
    "place": """(What/Which) (kind/sort) of (thing/place) is {s}?
        | (Tell/Teach) me (something/a bit/a little) about {s}. | What (exactly/) is {s}?
        | What (do we know/is known/can you tell me) about {s}? | {s}: what (was/is) (it/that)?
        | (Describe/Explain/Introduce) {s} (for me/). | (In a sentence/In short/Briefly), what is {s}?
        | What (would you say/do you think) is {s}? | {s}, (what is that/describe it)
        | I (heard/saw) the name {s}. What (is that/is it)? | (Do you know/Can you say/Say) what {s} (was/is).
        | What would I find at {s}? | What does (the name/) {s} (refer to/stand for)?
        | What (thing or place/place or thing) is {s}? | (What/Which thing) is called {s}? | what {s} (was/is)
        | the (place/thing/event) (by the name of/known as/named) {s} | a (line/sentence) about {s}
        | (Give/Write) me a (short description/sentence/line) (of/about) {s}. | {s}: (what/tell me)
        | What is (special/there to know) about {s}? | (What/Which thing) do people mean by {s}?
        | (What/Where) is {s} and what is it? | (Which/What) (thing/place) has the name {s}?
        | (What/How) would you describe {s}? | What lies behind the name {s}? | (Help/Teach) me about {s}.
        | (What/Which) is the (story/description/nature) of {s}? | At {s}, what (is there/would one see)?
        | What (is there/do you see/does one find) (at/in) {s}? | {s} (was/is) (which thing/what thing)?
        | (Which/What) (sort/type) of (name/thing) is {s}? | (Is/Was) {s} a (place/river/town) or what?
        | Have you (ever/) (seen/been to/read of) {s}? | I know the name {s}, but what is it?
        | {s}: (explain/describe/what kind of thing)? | (Which/What) (thing/place) do we call {s}?
        | (Name/Say) one thing about {s}. | {s} is known as what? | The name {s} (stands for/refers to/means) what?
        | (Explain/Tell me) the name {s}. | (Where/What) is the (place/thing) named {s}?
        | What can be said (about/of) {s}? | (Look up/Find) {s} (for me/).
        | (What/Which) (entry/line) is there on {s}? | In a lexicon, what is {s}?""",
    "python_module": """What does the (module/library module/standard module) {s} do in Python?
        | (Tell me/Say/Explain) what (the Python module/Python's) {s} (does/is for).
        | {s} (module/Python module/in Python)
        | (Explain/Describe) (Python's {s} module/the {s} module of Python/the {s} module in Python).
        | Why do (Python programmers/people) use {s} in Python?
        | What is the Python (module/library) {s} (about/good for/used for)?
        | Python's {s} (module/library) (does/is for) what?
        | In Python, (what is {s} for/why import {s}/what can I do with {s})?
        | What does the (module/library) {s} (contain/offer) in Python?
        | I import {s} in Python. What (is it for/does it do)?
        | the (task/function/aim) of (the Python module {s}/Python's {s} module)
        | what the Python module {s} (does/is for) | the (module/library) {s} (in/of) Python""",
    "http_status": """What does the (HTTP code/web error/response code/code) {s} mean?
        | (Explain/Describe/Define) (the HTTP error/HTTP code/HTTP status/the response) {s}.
        | HTTP {s} (meaning/means/error)
        | (I get/I see/We got/There is) (an HTTP/a/the error) {s}. What (does that mean/is it)?
        | What is (status/error/code/HTTP code) {s}?
        | A (server/website/page) (returns/sends/gives) {s}. What (does that mean/is wrong)?
        | (Status/Error/Code) {s} (stands for/is) what? | (Tell me/Say) what (HTTP/HTTP status/status code) {s} means.
        | (What/Which) (status/message) (belongs to/has) (HTTP/the number) {s}?
        | (In HTTP/On the web), what does {s} mean? | the (HTTP error/HTTP response/status code/web status) {s}
        | the (message/text/name) (of/for/behind) HTTP {s} | what (HTTP/status) {s} means
        | {s} from a (server/web server/website) means what?
        | (Which/What) (problem/thing) does (HTTP/a website) {s} (tell/report)?
        | (I got/We see/It says) HTTP {s}: what is (it/that)?
        | The (page/site/browser) (says/shows/gives) (error/code) {s}: (why/what is that)?
        | The (response/answer) was {s}. What does (HTTP/the server) mean?
        | HTTP (code/response/status code) {s}: (what/meaning)? | Why does a (server/website) (answer/say) {s}?
        | {s} is the HTTP (status/code) for what? | What does the web (code/status) {s} (say/mean)?
        | The (HTTP/web) (status/code/error/message) {s} (means/says/tells) what?
        | (Name/Give/Find) the meaning of HTTP {s}. | HTTP (status/code/error) {s}, what is it?
        | (Which/What) (text/phrase/message) goes with HTTP (status/code/) {s}?
        | My (server/program/client) (gets/logs/reports) HTTP {s}: what is it?
        | A (request/page) fails with {s}: what (is/does) the (reason/code say)?
        | For HTTP, {s} is (what/which status)? | (The number/Code) {s} in HTTP (means/is) what?
        | Why do I (see/get) (HTTP/error) {s}?""",
    "capital": """(What/Which) (city/town) (is/acts as/serves as) the (capital/capital city) (of/for) {s}?
        | {s} (capital/capital city) | (What/Which) city does {s} have as (its/) capital? | (capital/capital city) {s}
        | {s} is governed from (which/what) (city/place)?
        | (Where/In which city) (does {s} have its capital/is {s}'s capital)?
        | (Where/In which city) (does the government of {s} sit/is the seat of government of {s})?
        | From where is {s} (governed/ruled)?
        | (Tell me/Say/Name) (which/what) city is (the capital of {s}/{s}'s capital).
        | {s}'s (capital/capital city) is (called/named) what? | The capital (city/) of {s} is (called/named/) what?
        | (What/How) is the (capital/capital city) of {s} (called/named)?
        | (What/Which) (capital/capital city) (belongs to/goes with/has) {s}? | Of {s}, what is the capital?
        | If I (fly/travel) to the capital of {s}, (where am I/which city is it)?
        | In (what/which) city (is the parliament/is the government/are the ministries) of {s}?
        | (What/Which) city governs {s}? | the (capital/capital city) (in/for/belonging to) {s}
        | the (city/place) (from which/from where) {s} is governed
        | the (city/name of the city) that (governs/leads/is the capital of) {s}
        | the (seat/place) of {s}'s government | which city is {s}'s capital
        | (Which/What) (place/town/city) is the (head/first/main/leading) city of {s}? | {s}: which capital?
        | (Where/In which city) does {s} keep its government? | (Which/What) is the capital (town/city) of {s}?
        | (I visit/I go to) the capital of {s}: which city? | (Who/What) is {s}'s capital?
        | (What/Which) is the {s} capital (city/called/)? | (Name/Give me/Tell me) the {s} capital (city/).
        | {s}: (its capital/capital city/name the capital)? | {s} and its capital?
        | For {s}, (which/what) city is (the/its) capital? | The government of {s} (sits/is) in (which/what) city?
        | I know {s}, but what is its capital (called/)? | {s} has its (capital/government) (where/in which city)?
        | the capital that {s} has""",
    "currency": """(What/Which) (currency/money) (is used in/is valid in/do they have in/does one use in) {s}?
        | {s} (currency/money) | (What/Which) (coins/notes/bills) (do they use/are used/do people use) in {s}?
        | (currency/money) {s} | With what (money/currency) do they pay in {s}?
        | (Tell me/Say) (which/what) (currency/money) (they use in {s}/{s} uses/{s} has).
        | In {s}, (what do people pay with/what is the currency/what is the money)?
        | {s} (pays with/has) (which/what) (currency/money)? | What (is/do they call) the money (of/in) {s}?
        | {s}'s (currency/money) is (called/) what? | The (currency/money/legal tender) (of/in) {s} is what?
        | (What/Which) (currency/money) (belongs to/circulates in/is official in) {s}?
        | (I am going/I fly/I travel) to {s}. What (money/currency) do I (need/take)?
        | What do (shops/people/you) (take/accept/pay with) in {s}?
        | What is (legal tender/the legal tender/the unit of money) in {s}?
        | the (money/currency/legal tender) (that people use/people use/valid/accepted) in {s}
        | the (monetary unit/unit of money/kind of money) (of/in) {s} | what people pay with in {s}
        | the (coins and notes/cash) (of/in) {s} | (How/With what) do I pay in {s}?
        | (What/Which) (banknotes/dollars or euros) do they (use/have) in {s}?
        | My (trip/journey) goes to {s}: which (money/currency)?
        | (What/Which) do {s}'s (shops/people/banks) (use/take) as money? | {s}'s money: what is it?
        | (Which/What) (currency/money) (would I need/do I need/do I take) (for/in) {s}?
        | {s}, (which/what) (money/currency)? | I need the currency of {s}.
        | (Name/Find) the (money/currency) (of/in) {s}. | (In/For) {s} one pays (with/in) what?
        | Prices in {s} are in (which/what) (currency/money)?""",
    "continent": """(What/Which) continent (is {s} part of/does {s} lie on/holds {s}/has {s}/contains {s})?
        | {s} (continent/location/which continent)
        | (On/In) (what/which) continent (does {s} lie/do I find {s}/would I find {s}/is {s} located)?
        | {s} (belongs to/is part of/lies on) (what/which) continent?
        | (Tell me/Say/Explain) (where {s} is/which continent {s} is on/where {s} lies).
        | Where (would you find/do I find/can one find/on Earth is) {s}?
        | In (what/which) (region/part/area) of the (world/globe/earth) (is/lies) {s}?
        | To (what/which) continent does {s} belong? | {s} is (located/found/situated) (where/on which continent)?
        | Where is {s} (found/situated/to be found)? | {s} is where?
        | the (continent/part of the earth/region of the world) (of/around/where you find/that has) {s}
        | where {s} (is/lies) | the (place/location) of {s} (in the world/on the map/on the globe)
        | which continent {s} (is on/belongs to)
        | (Which/What) (part/corner/side) of the (world/earth/map) (is/holds) {s} (in/)?
        | (Help/Show) me (find/where to find) {s}. | Where (must/should) I look for {s}? | {s}: where?
        | (Is/Where is) {s} in Asia, Africa or where?
        | (What/Which) (region/continent) (holds/includes/is the home of) {s}?
        | {s}, (which/what) (continent/part of the world)? | {s} is in (which/what) (part/region) of the world?
        | The country {s} (is/lies) (where/on what continent)?
        | {s} is a (country/land/place) (on/of) (which/what) continent? | I need the continent of {s}.
        | Where on (earth/the globe) does {s} lie?""",
    "language": """(What/Which) (language/languages/tongue) (is (spoken/used/official) in/do people use in/do
          they use in) {s}?
        | {s} (language/languages)
        | (What/Which) (language/languages) (does one speak/do you hear/do the people speak/do folks speak) in {s}?
        | (language/languages) {s}
        | (Tell me/Say) (which/what) language (they speak in {s}/people speak in {s}/is spoken in {s}).
        | In {s}, (what do people speak/what is spoken/what is the language)?
        | People (in/from) {s} speak (what/which) language? | {s}'s (language/languages) (is/are) what?
        | How do people (speak/talk) in {s}? | The (language/languages) (of/in) {s} (is/are) what?
        | (What/Which) is the (official/main/national/usual) language (of/in) {s}?
        | (I am going/I travel/I move) to {s}. (What/Which) language (do I need/should I learn)?
        | What do (people/locals/citizens) (of/in) {s} speak?
        | (What/Which) (tongue/language) (belongs to/is native to/is heard in) {s}?
        | the (main/official/usual) (language/languages) (in/of/spoken in) {s}
        | the (tongue/speech/language) (of the people in/people use in/they speak in) {s} | what people speak in {s}
        | (What/Which) (language/tongue) do I (hear/need/use) in {s}? | How do (they/the people) (talk/speak) in {s}?
        | (In/On the streets of) {s}, people (speak/talk) what? | {s}: what do they speak?
        | (Which/What) language is (native/common/normal) in {s}?""",
    "demonym": """(What/How) (do you call/do people call) (the people/the inhabitants/the citizens) (of/from) {s}?
        | What do you call (someone/a person/people) (from/living in) {s}? | {s} (demonym/nationality)
        | (What/Which) (word/name/term) (do we use/is used) for (people/someone/a person) from {s}?
        | {s}'s (people/inhabitants/citizens) are called what?
        | (A person/A citizen/An inhabitant/Somebody) (of/from) {s} is (called/named) what?
        | (Tell me/Say) (what/how) people from {s} are called.
        | The (people/inhabitants/citizens) of {s} are called what?
        | (What/Which) nationality (is a person from {s}/has someone from {s}/do people of {s} have)?
        | (What/Which) is the (demonym/nationality) (of/for) {s}?
        | If (you are/I am/someone is) from {s}, what (are you/am I/is that person) called?
        | What do (citizens/inhabitants/people) of {s} call themselves?
        | the (name/word/term) for (the people/the citizens/the inhabitants/natives) of {s}
        | the (nationality/name) of (someone/a person/people) from {s} | what people from {s} are called
        | (Which/What) (word/name) (is for/names/means) the (people/citizens) of {s}?
        | People who come from {s} are what? | {s}: (what are its people called/which nationality)?
        | He (is/comes) from {s}, so he is what? | {s}, and its people are called what?
        | Someone who (lives in/comes from) {s} is (a what/called what)?
        | I need the (demonym/nationality) (of/for) {s}. | The (word/name) for people (of/from) {s} is what?
        | I met a person from {s}: what is that person called?
        | (Which/What) (word/name) do (the people/the citizens/inhabitants) of {s} (have/go by/use)?
        | As what are (the people/citizens/inhabitants) of {s} known? | {s} is (home/the home) of which people?
        | The (citizens/inhabitants/natives) of {s} are (who/what)?
        | My friend (is/comes) from {s}, so my friend is what?
        | (Which/What) (adjective/noun) (describes/names) people from {s}?
        | (Citizens/Inhabitants/Natives) of {s} have (which/what) name?
        | the (name/word) that people (of/from) {s} (have/go by)""",
    "population": """How many (people/inhabitants/citizens/residents) (are in/live in/does one find
          in/inhabit/has) {s}?
        | {s} (population/inhabitants)
        | (What/How large/How high) is (the population of {s}/the population in {s}/{s}'s population)?
        | (population/inhabitants) {s}
        | (Tell me/Say) how many (people/inhabitants) (live in {s}/{s} has/there are in {s}).
        | {s} is home to how many people? | How many (persons/folks/souls/citizens) (live/are there) in {s}?
        | By how many people is {s} inhabited? | {s} has (what/which) population?
        | (What/Which) number of people (lives/live) in {s}? | In {s}, how many (people live/inhabitants are there)?
        | {s} counts how many people? | The population of {s} is (what/how big)? | How (crowded/populated) is {s}?
        | What is the (size/number) of the (population/people) (of/in) {s}?
        | the (number/count) of (people/residents/citizens/inhabitants) (in/of/that live in) {s}
        | the (population count/population figure) of {s} | how many people live in {s} | {s}, how many people?
        | I need the population of {s}. | {s} has a population of (what/how many)?
        | (Count/Estimate) the people (of/in) {s}. | {s} is (lived in/inhabited) by how many?""",
    "area": """(What/How large/How big) is the (area/land area/surface/territory) (of/covered by) {s}?
        | {s} (area/size/surface)
        | How many (square kilometers/square kilometres) (does {s} (have/cover/measure)/are in {s})?
        | How much land does {s} (have/take up)? | (area/size) {s} | (Tell me/Say) how (big/large) {s} is.
        | {s} (measures/has/spans) how many square kilometers? | {s}'s (area/size/surface) is (what/how large)?
        | (What/Which) (area/surface/size) does {s} (have/cover)?
        | What is the (size/land area/surface area/total area) of {s} (in square kilometers/)?
        | How (large/big/vast/extensive) is (the country/the territory of/the land of) {s}?
        | Over how many square kilometers does {s} (extend/spread/stretch)?
        | In square kilometers, how (big/large) is {s}? | the (extent/size/territory) of {s} (in square kilometers/)
        | how (big/large) {s} is | the (number of square kilometers/land) (of/in/covered by) {s}
        | the (size/extent) of the (country/territory) {s} | (How/What) big (a/) (country/land/place) is {s}?
        | {s}: (size/how big)? | (How/By how) far does {s} reach in square kilometers?
        | How much (space/surface/ground) does {s} (cover/have)? | how much land {s} (has/covers)
        | {s} is how (big/large)? | {s}, how (big/large) is it? | The (area/size/surface) of {s} is what?
        | I need the (area/size) of {s}. | {s} (takes up/fills/occupies) how (much land/many square kilometers)?
        | Is {s} big, and how big?""",
    "neighbours": """(What/Which) (countries/nations/states/lands) (are neighbours of/touch/adjoin/lie next
          to/are next to/surround/have a border with) {s}?
        | {s} (neighbours/borders/neighbors)
        | (What/Which) (countries/nations/states) (does {s} touch/are around {s}/are beside {s}/are the
          neighbours of {s})?
        | (neighbours/borders/neighbors) {s}
        | (Tell me/Say/List) (which countries border {s}/the countries around {s}/{s}'s neighbours).
        | {s} (touches/adjoins/has borders with/is next to) (which/what) countries?
        | Who (are the neighbours of {s}/lives next to {s}/is next to {s})?
        | (With/To) (whom/which countries) does {s} (border/have borders)?
        | (What/Which) (neighbour/neighboring/neighbouring) (countries/states) does {s} have?
        | {s}'s neighbours are (who/which countries)? | Which borders does {s} have?
        | Between which countries does {s} lie? | By which countries is {s} (surrounded/bordered)?
        | If I leave {s} by land, where am I? | the (nations/states/lands) (bordering/around/next to/that touch) {s}
        | the (land borders/border countries/adjacent countries) of {s}
        | the countries (touching/surrounding/beside) {s} | which countries border {s}
        | (Which/What) (countries/lands) (can/do) I (reach/enter) from {s} by land?
        | {s}: (which neighbours/neighbouring countries)? | Around {s}, (which/what) countries are there?
        | (Who/What countries) (shares/share) (a border/its borders) with {s}?
        | {s} (borders on/touches/is next to) (what/whom)? | {s}, and its neighbours are (which/who)?
        | I need the (neighbours/borders) of {s}. | The (neighbours/neighboring countries) of {s} are (which/what)?
        | On which countries does {s} border?
        | (Which/What) (countries/states/nations) (do you find/are found/lie) (around/beside/next to) {s}?
        | (Who/Which countries) (borders/border) {s}? | {s} (lies/is) between which countries?
        | (Name/Give/Find) the (countries/states) (around/next to/beside) {s}.
        | (Which/What) land borders (has/does) {s} (have/)? | (Across/Over) the border of {s} (is/lies) what?
        | {s} is bordered by (which/what) (countries/nations)?""",
    "calling_code": """(What/Which) (code/number/prefix) (do I dial/do I need/does one dial) (to call/to
          phone/for) {s}?
        | {s} (calling code/phone code/dialing code)
        | (What/Which) is the (phone/telephone/dialing/calling/country calling) (code/prefix/number) (of/for/in) {s}?
        | (calling code/phone code/dialing code) {s}
        | (Tell me/Say) (how to call {s}/what to dial for {s}/which code {s} has).
        | {s} has (what/which) (calling code/phone code/dialing code/telephone prefix)?
        | (How/With which code) (can/do) I (call/phone/ring) (someone in/) {s}?
        | {s}'s (calling/phone/dialing) code is what?
        | I (want/need) to (call/phone/telephone) {s}. (Which/What) (code/prefix) do I dial?
        | A phone number (in/from) {s} (starts/begins) (with what/how)?
        | (Phone/Telephone) numbers (in/of/from) {s} (begin/start) with (what/which number)?
        | the (code/prefix/number) (to call/for calling/for phoning/to phone) {s}
        | the (dialing/phone/telephone/country) (prefix/number) (for/of) {s} | which code to dial for {s}
        | (Which/What) (digits/numbers) (come/go) before a (phone/telephone) number in {s}?
        | {s}: (phone code/which code)? | (How/With what) do I start a call to {s}?
        | (Dialing/Calling/Phoning) {s} needs (which/what) code?""",
    "domain": """(What/Which) (domain/web domain/internet domain/top-level domain/internet code) (is used
          (in/by/for)/belongs to/stands for) {s}?
        | {s} (domain/internet domain/web domain)
        | What do (websites/web addresses/internet addresses) (in/from/of) {s} end (with/in)?
        | (domain/internet domain) {s}
        | (Tell me/Say) (which domain {s} has/how web addresses in {s} end/{s}'s domain).
        | {s} has (what/which) (domain/internet domain/top-level domain)?
        | (With/In) what do (web addresses/websites) (of/from) {s} end?
        | {s}'s (domain/internet domain/top-level domain) is what?
        | A (website/web address) (in/from/of) {s} ends (with/in) what?
        | (What/Which) (ending/suffix) do (web addresses/websites) (of/in) {s} have?
        | (What/Which) is the (country code domain/internet suffix/web suffix/domain suffix) (of/for) {s}?
        | the (internet/web/domain) (suffix/code/name/ending) (of/for) {s}
        | the (ending/suffix) of (web addresses/websites/internet addresses) (in/from/of) {s}
        | how web addresses of {s} end | (Which/What) (letters/code) (end/ends) (web/internet) addresses of {s}?
        | {s}: (which domain/web domain)? | (Which/What) (site/web page) ending is for {s}?
        | On the internet, what (stands for/is the ending of) {s}?""",
    "city_population": """How many (people/inhabitants/citizens/residents) (are in/live in/does one find
          in/inhabit/has) {s}?
        | {s} (population/inhabitants)
        | (What/How large/How high) is (the population of {s}/the population in {s}/{s}'s population)?
        | (population/inhabitants) {s}
        | (Tell me/Say) how many (people/inhabitants) (live in {s}/{s} has/there are in {s}).
        | {s} is home to how many people? | How many (persons/folks/souls/citizens) (live/are there) in {s}?
        | By how many people is {s} inhabited? | {s} has (what/which) population?
        | (What/Which) number of people (lives/live) in {s}? | In {s}, how many (people live/inhabitants are there)?
        | {s} counts how many people? | The population of {s} is (what/how big)? | How (crowded/populated) is {s}?
        | How many people (live/are) in the (city/town) (of/) {s}?
        | What is the (size/number) of the (population/people) (of/in) {s}?
        | the (population count/population figure) of {s}
        | the (number/count) of (people/residents/citizens/inhabitants) (in/of/that live in) {s}
        | how many people live in {s} | {s}, how many people? | I need the population of {s}.
        | {s} has a population of (what/how many)? | (Count/Estimate) the people (of/in) {s}.
        | {s} is (lived in/inhabited) by how many?""",
    "city": """(What/Which) (country/land/nation) (is {s} part of/does {s} lie in/has {s}/contains {s}/is home
          to {s})?
        | {s} (country/location/which country)
        | In (what/which) (country/land/nation/state) (does {s} lie/do I find {s}/would I find {s}/is {s}
          located/is {s} situated)?
        | {s} (belongs to/is part of/lies in) (what/which) country?
        | (Tell me/Say/Explain) (where {s} is/which country {s} is in/where {s} lies).
        | Where (would you find/do I find/can one find/on Earth is) {s}?
        | {s} is (located/found/situated) (where/in which country)? | Where is {s} (found/situated/to be found)?
        | {s} is where? | To (what/which) country does {s} belong? | Where is the (town/city/place) (of/called/) {s}?
        | In which country is the (town/city) (of/) {s}?
        | (Which country/What nation) is the (city/town) of {s} (in/part of)?
        | the (country/land/nation) (of/around/where you find/that has/with the city) {s} | where {s} (is/lies)
        | which country {s} (is in/belongs to)
        | the (place/location) of (the city/the town/) {s} (in the world/on the map/)
        | the (home country/country) of (the city/the town) (of/) {s}
        | (Which/What) (part/country) of the (world/earth) (is/holds) {s} (in/)?
        | (Help/Show) me (find/where to find) {s}. | Where (must/should) I look for {s}? | {s}: where?
        | (In/To) (which/what) country must I go for {s}? | {s}, (which/what) (country/nation)?
        | {s} is in (which/what) (part of the world/land)? | The (city/town) {s} (is/lies) (where/in what country)?
        | {s} is a (town/place) (in/of) (which/what) (country/land)? | I need the country of {s}.
        | Where on (earth/the globe) does {s} lie? | Who owns {s}, which country?""",
    "time_zone": """(What/Which) (time zone/timezone) (is (used/valid) in/has/do they have in/applies in/do
          people use in) {s}?
        | {s} (time zone/timezone)
        | In (what/which) (time zone/timezone) (does {s} lie/do I find {s}/is {s} located/are people in {s})?
        | (time zone/timezone) {s} | (Tell me/Say) (which/what) time zone {s} (is in/has/uses).
        | {s} (belongs to/lies in/has/follows) (what/which) (time zone/timezone)?
        | {s}'s (time zone/timezone) is what? | The (time zone/timezone) (of/in/for) {s} is what?
        | To (what/which) time zone does {s} belong? | (How/To what) do I set my (clock/watch) in {s}?
        | (What/Which) zone of time (is {s} in/does {s} use)?
        | (What/Which) clock time (zone/) does {s} (keep/follow/have)?
        | (What/Which) is the (time zone/timezone/local time zone) (of/in/for/at) {s}?
        | the (time zone/timezone) (valid in/for/at/that {s} follows/people in {s} use/where {s} lies)
        | the (clock zone/zone) (of/for) time in {s} | which time zone {s} is in | {s}, which time zone?
        | I need the time zone of {s}. | The clocks in {s} follow which time zone?
        | {s} is in (what/which) (timezone/zone of time)?
        | (Which/What) zone (for/of) time (applies/is valid) in {s}?""",
    "capital_of": """(What/Which) (country/nation/state/land) (has the capital/is governed from/is ruled
          from/belongs to the capital/calls its capital) {s}?
        | {s} is (whose/which nation's/what country's) capital?
        | {s} (is the capital of/governs/is the capital city of/serves as capital of) (which/what)
          (country/nation/state)?
        | {s}: (which country's capital/capital of what)?
        | (Tell me/Say) (which country has the capital {s}/what country {s} is the capital of/of which
          country {s} is the capital).
        | {s} capital of which country | Of (what/which) (country/nation/state) is {s} the (capital/capital city)?
        | To (what/which) country does the capital {s} belong?
        | For (what/which) (country/nation) is {s} the (capital/capital city)?
        | (What/Which) (country/nation)'s (capital/capital city) is (called/named/) {s}?
        | The capital {s} (is in/belongs to/governs) (which/what) country?
        | If the capital is {s}, what is the country? | (What/Which) country is run from {s}?
        | the (country/nation/state/land) (governed from/ruled from/with the capital/that has the
          capital/belonging to the capital) {s}
        | the (country/nation/state) (for which/of which/where) {s} is the (capital/capital city)
        | which country has the capital {s} | {s}, capital of what? | I need the country whose capital is {s}.
        | (Which/What) country does the capital {s} (govern/have/belong to)?
        | {s} is the seat of government of which country? | The government in {s} rules (which/what) country?
        | (Which/What) (country/nation/state) (has/uses/calls) {s} (as its/its) capital (city/)?
        | {s} is a capital, but of (which/what) (country/nation)?
        | In {s} sits the government of (which/what) (country/nation)?
        | {s} is (whose/which country's) (seat of government/capital city)?
        | The capital {s} (is/stands) in (which/what) (country/nation)?
        | (Which/What) (country/nation) would I visit to see its capital {s}?
        | (Name/Give/Find) the (country/nation) (ruled/governed) from {s}. | {s} governs (what/which) (nation/state)?
        | the (land/state) whose (government/parliament) (sits in/is in) {s}
        | the country (having/naming) {s} as (its/the) capital""",
    "symbol": """(What/Which) (symbol/chemical symbol/element symbol/abbreviation) (is used for/belongs to/goes
          with/denotes/represents/do chemists use for) {s}?
        | {s} (symbol/chemical symbol/element symbol) | How do (you/chemists) (write/abbreviate) (the element/) {s}?
        | (symbol/chemical symbol) {s} | (Tell me/Say) (which/what) symbol {s} has.
        | {s}'s (symbol/chemical symbol/element symbol) is what?
        | The (symbol/chemical symbol/element symbol) (of/for) {s} is what?
        | {s} has (what/which) (symbol/chemical symbol/abbreviation)?
        | (With/By) (what/which) (letters/symbol/letter) (is {s} (written/denoted/abbreviated)/do chemists write {s})?
        | (What/Which) letters (denote/represent/mean/stand for/are used for) {s}?
        | In the periodic table, (how is {s} written/what stands for {s}/what is {s}'s symbol)?
        | In chemistry, (how is {s} written/what stands for {s}/what is {s}'s symbol)?
        | How does a chemist (write/abbreviate) {s}? | As what is {s} (written/abbreviated) in chemistry?
        | the (abbreviation/letter/letters/sign) (of/for/that stands for/used for) (the element/) {s}
        | the (chemical/element/periodic table) (sign/abbreviation/symbol) (of/for) {s}
        | the symbol (chemists use for/used for/that denotes) {s} | which symbol {s} has""",
    "symbol_of": """(What/Which) (element/chemical element) (is written as/is abbreviated as/is denoted by/uses
          the symbol/has the abbreviation/is meant by) {s}?
        | {s} (element/chemical element/which element)
        | (What/Which) (element/chemical element) (does (the symbol/) {s} (stand
          for/mean/denote/represent)/belongs to the symbol {s})?
        | element {s} | (Tell me/Say) (which/what) element {s} (is/stands for).
        | {s} (is/denotes/stands for/represents/means) (what/which) (element/chemical element)?
        | The (symbol/chemical symbol/letters) {s} (stands for/means/belongs to/denotes) (what/which element)?
        | In the periodic table, what does {s} (stand for/mean)?
        | In chemistry, what does {s} (stand for/mean/denote)?
        | What is the (element/symbol) {s} (in chemistry/in the periodic table)?
        | For (what/which) element does {s} stand? | Chemists write {s} for (what/which element)?
        | (What/Which) element do (chemists/you) (write/abbreviate) (as/with) {s}?
        | the (element/chemical element) (that has the symbol/denoted by/abbreviated/called/written/with the
          letters) {s}
        | the (name/meaning) of (the element/the symbol/) {s} in (chemistry/the periodic table)
        | the element (behind/for) the (symbol/letters) {s} | what the (chemical symbol/symbol) {s} stands for
        | {s}, which element? | I need the element {s}. | (Which/What) element has {s} as (its/a) symbol?
        | {s} as a chemical symbol is what? | In formulas, what is {s}? | A formula says {s}: which element?
        | (Which/What) (element/atom) (carries/bears/gets/has) (the/) (sign/letters/abbreviation) {s}?
        | (Look up/Find/Name) the element {s}. | Under the symbol {s}, (which/what) element (is there/do I find)?
        | {s} (is/means) (which/what) (atom/element) (in chemistry/)? | Chemical symbol {s}: (which/what) element?""",
    "atomic_number": """(What/Which) (number/atomic number/element number/proton number) (belongs to/goes
          with/is given to) {s}?
        | {s} (atomic number/number of protons/proton number)
        | How many protons (are inside/are found in/does one find in) {s}?
        | How many protons does (an atom of/the nucleus of) {s} have? | (atomic number/proton number) {s}
        | (Tell me/Say) (which atomic number {s} has/how many protons {s} has/{s}'s atomic number).
        | {s}'s (atomic number/number/proton number) is what?
        | The (atomic number/proton number) (of/for) (the element/) {s} is what?
        | {s} is (which/what) (number/element number) in the periodic table?
        | At (what/which) (number/place/position) (is/do I find) {s} in the periodic table?
        | (What/Which) (position/place) does {s} have in the periodic table?
        | In the periodic table, (what number is {s}/where is {s}/at which place is {s})?
        | (What/Which) is the (atomic number/proton number/number of protons) (of/in) {s}?
        | the (atomic number/proton number) (belonging to/that {s} has/given to {s})
        | the (position/place/number) of {s} (in the periodic table/among the elements) | how many protons {s} has
        | the number of protons (an atom of {s} has/in an atom of {s}/in the nucleus of {s})""",
    "number_of": """(What/Which) (element/chemical element) (is at/stands at/comes at/sits at/is found at)
          (number/place/position) {s} (in the periodic table/)?
        | (element/atomic number/element number) {s}
        | (What/Which) (element/chemical element/atom) has (the atomic number/atomic number/{s} protons in
          its nucleus/the proton number/the number) {s}?
        | (Tell me/Say) (which/what) element has (atomic number/the number/the atomic number) {s}.
        | (Atomic number/Element number/Proton number) {s} (is/means/belongs to) (what/which element)?
        | An atom with {s} protons is (what/which element)?
        | {s} protons (are in/make/belong to) (what/which) element?
        | Number {s} in the periodic table is (what/which element)?
        | In the periodic table, (what is number {s}/which element is number {s}/what comes at {s})?
        | (What/Which) is the element (number/with number/at number) {s}? | (What/Which) element is (number/no.) {s}?
        | With {s} protons, (what/which element) is it? | If the atomic number is {s}, (what/which) is the element?
        | the (element/chemical element/atom) (at number/at place/at position/numbered) {s} (in the periodic table/)
        | the (element/atom) (that has/having/with) (the number/the proton number/exactly {s} protons) {s}
        | which element has atomic number {s} | the (name of the/) element (with/for) (number/atomic number) {s}
        | {s} is the number of which element? | I need element {s}.
        | (Which/What) element has {s} as (its/the) (atomic/) number?
        | Place {s} in the periodic table (is/belongs to) what? | Which atom has {s} protons (inside/in it/)?
        | (Which/What) (element/atom) (carries/bears/gets/holds) (the/) (atomic number/number) {s}?
        | {s} protons (give/form/mean) (which/what) element? | (Which/What) element do {s} protons (make/give/form)?
        | (Look up/Find/Name) (element/atomic number) {s}.
        | Under number {s}, (which/what) element (is there/do I find)?
        | {s} is the (atomic number/proton number) (of/for) (what/which) (element/atom)?
        | (Which/What) is the element with (exactly/) {s} protons?
        | Atomic number {s}: (which/what) (element/atom)?""",
    "atomic_weight": """What is the (mass/weight/atomic mass) of (an atom of/one atom of/) {s}?
        | {s} (atomic weight/atomic mass/weight)
        | (What/Which) (atomic weight/atomic mass/weight/mass/relative atomic mass) does {s} have?
        | (atomic weight/atomic mass) {s}
        | (Tell me/Say) (how heavy {s} is/how much {s} weighs/what {s} weighs/{s}'s atomic weight).
        | {s}'s (atomic weight/atomic mass) is what?
        | The (atomic weight/atomic mass/mass) (of/for) (an atom of/) {s} is what?
        | An atom of {s} weighs (what/how much)? | {s} (weighs how much/has which atomic mass)?
        | (What/How much) does (one atom of/a single atom of/the element/an atom of) {s} weigh?
        | In atomic units, (how heavy is {s}/what does {s} weigh)?
        | (What/Which) is the (standard weight/relative atomic mass/average atomic mass) of {s}?
        | the (average/relative/standard) (atomic mass/atomic weight/mass) of {s}
        | the (mass/weight) of (an atom of/one atom of/the element) {s}
        | how (heavy (an atom of/) {s} is/much (an atom of/) {s} weighs)""",
    "element_type": """(What/Which) (kind/type/sort/class/category/group/family/series) of elements (does {s}
          belong to/is {s} in/includes {s}/has {s})?
        | {s} (element type/type of element/kind of element) | Is {s} a metal, a nonmetal or what?
        | (Tell me/Say) what (kind/type/sort) of element {s} is.
        | {s} is (a member/part) of (what/which) (group/family/class) (of elements/)?
        | {s} belongs to (what/which) (kind/class/group/family/category/series) of elements?
        | To (what/which) (class/kind/category/series) of elements does {s} belong? | As an element, what is {s}?
        | (Classify/Categorize) the element {s}.
        | In (what/which) (class/category/group/family/series) of elements is {s}?
        | How (would you/do we) classify the element {s} (in chemistry/)?
        | Among the elements, what (is {s}/kind is {s})? | What (is {s}, chemically/is the element {s})?
        | the (class/family/group/category/series) of elements (that includes/with/where we put) {s}
        | the chemical (class/family/group/series/category) of {s}
        | the element (class/type/kind/family/series) of {s} | what kind of element {s} is
        | {s}, (what kind/which kind/which class) of element?
        | {s} is (an element/a chemical element) of (what/which) (kind/type/class/group)?
        | (Which/What) (sort/kind) of (metal/element) is {s}? | {s} (counts/is counted) among (what/which) elements?
        | (Does {s} belong/Is {s}) to the metals or what? | Among (which/what) elements (do we find/is) {s}?
        | {s} is one of (which/what) (elements/group of elements)?
        | In the periodic table, {s} (is among/belongs to) what? | I need the (group/family/class) of {s}.""",
}
