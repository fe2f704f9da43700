"""Ways to ask about the kinds that came last, the bare forms that people type, questions about "it", "her", "there".

PATTERNS is written as in `wordings_combined.py`.
"""

PATTERNS = {
    "noun": """What is a {s}? | What's a {s}? | (Define/Explain) a {s}.
        | (What/Which) thing is (a/called a) {s}? | What does the noun {s} mean? | the meaning of the noun {s}
        | a {s} is what? | {s} as a noun | {s} (noun) | (Define/Explain) the noun {s}.
        | (Tell me/Say) what a {s} is. | Describe a {s}. | what a {s} is | the definition of a {s}
        | (What/How) do you (call/define) a {s}? | {s}, the noun: what does it mean?
        | If {s} is a noun, what does it mean? | What (do people mean by/is meant by) a {s}?
        | What kind of thing is meant by the noun {s}? | a {s}""",
    "verb": """What does it mean to {s}? | What does to {s} mean? | What does the verb {s} mean? | to {s}
        | the meaning of the verb {s} | {s} as a verb | {s} (verb) | (Define/Explain) the verb {s}.
        | What (do/does) (people/someone) do when they {s}? | (Define/Explain) to {s}. | what it means to {s}
        | {s}, the verb: what does it mean? | If {s} is a verb, what does it mean? | How do you {s}, as a word?
        | What is it to {s}? | What am I doing when I {s}? | the definition of the verb {s}
        | I {s}: what do I do?""",
    "location": """Where is {s}? | Where's {s}? | Where can I find {s}? | Where (does/would) {s} lie?
        | where {s} is | Where (on earth/in the world/exactly) is {s}?
        | In (what/which) (place/country/part of the world) is {s}? | {s} is where? | {s}: where is (that/it)?
        | the location of {s} | {s} location | location of {s} | Where do I have to go to see {s}?
        | (Locate/Find) {s}. | {s}, where is that? | {s} lies where? | Where is {s} (located/situated/found)?
        | Where would I (find/see) {s} on a map? | where {s} lies | In which country (is/lies) {s}?
        | (What/Which) country is {s} in? | {s} where""",
    "state_with_capital": """(What/Which) (state/US state/American state) has the capital {s}?
        | {s} is the capital of which state? | (What/Which) (state/US state) is {s} the capital of?
        | {s}: capital of (what/which) state?
        | the (state/US state/American state) (with the capital/whose capital is) {s}
        | the state that {s} is the capital of | (What/Which) state is governed from {s}?
        | (What/Which) state's capital is {s}? | In which state is {s} the capital?
        | {s} is a state capital: of which state? | Of (what/which) (state/US state) is {s} the capital?
        | For (what/which) state is {s} the capital? | {s} state capital of | state capital {s}""",
    "domain_of": """(What/Which) country has the (internet/web/) (domain/ending/code) {s}?
        | the country (of/behind/with) the domain {s}
        | {s} is the (internet/web/) domain of (what/which) country? | (What/Which) country (uses/owns) {s}?
        | {s} domain | (What/Which) country is {s}? | {s}: which country?
        | the country whose internet domain is {s} | Where do web addresses that end in {s} come from?
        | An address ends in {s}: which country is that? | the country of the top-level domain {s} | {s} tld
        | {s} belongs to which country on the internet? | To which country does the domain {s} belong?
        | (What/Which) (nation/country) has the top-level domain {s}? | the country that has {s}
        | sites ending in {s} are from which country?""",
    "calling_code_of": """(What/Which) country has the (calling/phone/dialing/country/telephone) code {s}?
        | the country with the (calling/phone/dialing/country) code {s}
        | {s} is the (calling/phone) code of (what/which) country? | (What/Which) country is {s}?
        | {s}: which country? | A call from {s}: which country is it? | {s} country | {s} phone code
        | (What/Which) country do I call with {s}? | {s} is which country's calling code?
        | Which country's (phone/calling/telephone) numbers begin with {s}? | the country I reach with {s}
        | Somebody called me from {s}. (What/Which) country is that?
        | To which country does the code {s} belong? | Where does a phone number with {s} come from?
        | the country behind the calling code {s}""",
    "melting_point": """(When/At what temperature/How hot) does {s} melt? | the melting point of {s}
        | {s} melting point | the temperature at which {s} melts | the melting temperature of {s}
        | {s}'s melting point | melting point {s} | (What/Which) melting point does {s} have?
        | At (what/which) (temperature/heat/degree) (will/does) {s} (melt/become liquid)?
        | {s} melts at what temperature? | How hot must {s} be to melt? | {s}: melting point?
        | How many degrees does it take to melt {s}? | when {s} melts | where {s} melts
        | {s} becomes liquid when? | How hot does it have to be for {s} to melt? | What heat melts {s}?""",
    "boiling_point": """(When/At what temperature/How hot) does {s} boil? | the boiling point of {s}
        | {s} boiling point | the temperature at which {s} boils | the boiling temperature of {s}
        | {s}'s boiling point | boiling point {s} | (What/Which) boiling point does {s} have?
        | At (what/which) (temperature/heat/degree) (will/does) {s} (boil/become a gas)?
        | {s} boils at what temperature? | How hot must {s} be to boil? | {s}: boiling point?
        | How many degrees does it take to boil {s}? | when {s} boils | where {s} boils | {s} becomes gas when?
        | How hot does it have to be for {s} to boil? | What heat makes {s} boil?""",
    "discoverer": """Who (discovered/found/isolated) {s}?
        | (What/Which) (chemist/scientist/person) (discovered/found) {s}? | the discoverer of {s}
        | {s} discoverer | {s} was discovered by whom? | who discovered {s} | {s} discovered by
        | By whom was {s} (discovered/found/isolated)? | the (chemist/scientist/person) who discovered {s}
        | Who was the (discoverer/finder) of {s}? | {s}: discovered by?
        | To whom do we owe the discovery of {s}? | Who was the first to (find/see/isolate) {s}?
        | the name of the discoverer of {s} | {s}, who found it?
        | Who gets the credit for (discovering/finding) {s}? | the one who found {s}""",
    "discovered": """When was {s} (discovered/found/isolated)?
        | (In what/What/In which) year was {s} discovered? | the year of the discovery of {s}
        | {s} was discovered when? | when {s} was discovered | discovery of {s} | the year {s} was discovered
        | {s}: discovered when? | {s} discovery year | Since when do we know {s}?
        | (What/Which) year (brought/saw) the discovery of {s}? | {s}, when was it found?
        | {s} was found in what year? | How long (has/is) {s} been known? | the date of the discovery of {s}
        | When did chemists find {s}?""",
    "members": """What are {s}? | Name {s}. | List {s}. | (List/Name/Give me) all of {s}.
        | (What/Which) are {s}? | {s} | {s} list | Which (ones/things) are {s}? | a list of {s}
        | the list of {s} | Tell me {s}. | {s}: which ones? | the names of {s}
        | (What/Which) (names/things) belong to {s}? | Can you (list/name) {s}? | {s} are which ones?
        | Which belong to {s}? | Enumerate {s}. | {s}, please. | {s} are what? | Do you know {s} by name?
        | who or what belongs to {s}""",
    # bare forms of the older kinds
    "define": """{s} | {s}? | {s} meaning | meaning {s} | meaning of {s} | define {s} | definition {s}
        | definition of {s} | what is {s} | whats {s} | what's a {s} | {s} definition | {s} mean
        | what does {s} mean | explain {s}""",
    "synonym": """synonym {s} | synonym for {s} | synonym of {s} | {s} synonym | another word {s}
        | other word for {s} | similar to {s} | words like {s} | {s} synonyms | synonyms of {s}
        | synonyms for {s} | same as {s}""",
    "antonym": """opposite {s} | opposite of {s} | {s} opposite | antonym {s} | {s} antonym
        | opposite to {s} | contrary of {s} | antonym of {s} | antonym for {s} | not {s}""",
    "plural": """plural {s} | plural of {s} | {s} plural | more than one {s} | many {s} | two {s}
        | plural form of {s} | What is the plural form of {s}? | How do (you/I) say more than one {s}?""",
    "kind_of": """category {s} | {s} category | {s} is a kind of | type of thing {s}
        | A {s} is a kind of what?""",
    "part_of": "{s} part of | {s} is part of | part of what is a {s}",
    "adverb_of": "adjective {s} | adjective of {s} | {s} adjective | adjective from {s}",
    "jargon": "{s} hacker slang | {s} slang | {s} jargon | hacker term {s} | jargon file {s} | slang {s}",
    "person": """{s} | {s}? | who {s} | who is {s} | who was {s} | whos {s} | about {s} | {s} who
        | tell me about {s} | info {s} | {s} biography | What was {s}? | Do you know who {s} (is/was)?
        | what (do/did) {s} do""",
    "born": """{s} born | {s} birth | {s} birthday | birth year {s} | birth year of {s} | when born {s}
        | {s} birth year | {s} date of birth | {s} year of birth | {s} born when | How old is {s}?
        | when was {s} born""",
    "died": """{s} died | {s} death | death of {s} | death year of {s} | death year {s} | {s} death year
        | when died {s} | {s} date of death | {s} died when | when did {s} die""",
    "place": """{s} | {s}? | what {s} | what is {s} | whats {s} | about {s} | tell me about {s} | info {s}
        | What was {s}? | What are {s}? | Who are {s}? | What do you know about {s}? | Which place is {s}?""",
    "capital": """{s} capital | capital {s} | capital of {s} | capital city {s} | capital city of {s}
        | capital in {s} | {s} capital city | {s}'s capital | What is the capital in {s}?""",
    "capital_of": """{s} capital of | {s} is capital of | country with capital {s} | capital {s} country
        | {s} is the capital of what""",
    "currency": """{s} currency | currency {s} | currency of {s} | currency in {s} | money {s} | {s} money
        | money in {s} | money of {s} | What money (do they have/is there/do they use) in {s}?
        | What do (people/they) pay with in {s}?""",
    "continent": """continent of {s} | {s} continent | continent {s} | where {s} | where is {s}
        | wheres {s} | Where's {s}? | (On/In) (which/what) continent is {s}? | What continent is {s} (on/in)?
        | {s} where""",
    "language": """{s} language | language {s} | language of {s} | language in {s} | languages of {s}
        | {s} languages | official language {s} | official language of {s} | What do they speak in {s}?
        | spoken in {s}""",
    "demonym": """{s} people | people from {s} | people of {s} | {s} demonym | demonym {s} | demonym of {s}
        | people in {s} | someone from {s} | someone from {s} is called
        | What do you call (someone/somebody/a person) from {s}?""",
    "population": """population {s} | population of {s} | {s} population | people in {s}
        | how many people {s} | population in {s} | inhabitants {s} | inhabitants of {s} | {s} inhabitants
        | number of people in {s} | How many people live in {s}?""",
    "city_population": """population {s} | population of {s} | {s} population | people in {s}
        | how many people {s} | inhabitants of {s} | {s} inhabitants | How many people live in {s}?
        | How many inhabitants (has/does) {s} have? | How big is {s}?""",
    "area": """area {s} | area of {s} | {s} area | size of {s} | {s} size | size {s} | how big {s}
        | How (big/large) is {s}?""",
    "neighbours": """{s} neighbours | {s} neighbors | neighbours {s} | neighbors of {s} | neighbours of {s}
        | borders of {s} | {s} borders | countries around {s} | countries next to {s} | next to {s}
        | countries bordering {s} | (What/Which) countries (border/share a border with/are next to) {s}?""",
    "calling_code": """{s} calling code | calling code {s} | calling code of {s} | {s} phone code
        | phone code {s} | phone code of {s} | phone code for {s} | country code {s} | country code of {s}
        | {s} country code | dialing code {s} | dialing code of {s} | {s} dialing code
        | What is the (phone/calling/country/dialing) code (of/for) {s}?""",
    "domain": """{s} tld | tld {s} | tld of {s} | tld for {s} | {s} domain | domain {s} | domain of {s}
        | internet domain {s} | internet ending {s} | {s} internet domain | web domain of {s}
        | (What/Which) internet ending does {s} have?""",
    "city": """{s} | where {s} | where is {s} | wheres {s} | {s} where | {s} country | country of {s}
        | city {s} | {s} city | Where's {s}? | {s} location | location of {s} | What country is {s} in?
        | (What/Which) state is {s} in? | In (what/which) country is (the city of/) {s}? | Where can I find {s}?
        | What is {s}?""",
    "time_zone": """{s} time zone | time zone {s} | time zone of {s} | timezone {s} | {s} timezone
        | timezone of {s} | time zone in {s} | time in {s} | What time zone is {s} in?
        | (In/) (what/which) (time zone/timezone) is {s}?""",
    "symbol": """{s} symbol | symbol {s} | symbol of {s} | symbol for {s} | chemical symbol {s}
        | {s} chemical symbol | chemical symbol of {s} | chemical symbol for {s}
        | What's the symbol (for/of) {s}?""",
    "symbol_of": """element {s} | {s} element | symbol {s} | {s} symbol | {s} chemistry
        | element with symbol {s} | What is {s} in chemistry? | (What/Which) element (has/is) the symbol {s}?
        | {s} in chemistry""",
    "atomic_number": """{s} atomic number | atomic number {s} | atomic number of {s} | {s} number
        | protons {s} | {s} protons | number of {s} | protons in {s} | protons of {s}""",
    "number_of": """element {s} | element number {s} | atomic number {s} | number {s} element | {s} protons
        | Which element is number {s}?""",
    "atomic_weight": """{s} atomic weight | atomic weight {s} | atomic weight of {s} | {s} weight
        | {s} mass | atomic mass {s} | weight of {s} | atomic mass of {s} | {s} atomic mass
        | How heavy is (an atom of/a) {s} (atom/)?""",
    "element_type": """{s} element type | type of {s} | {s} type | kind of element {s} | element type {s}
        | element type of {s} | What kind of element is {s}? | Is {s} a metal?
        | Is {s} a metal or (a gas/a nonmetal/what)?""",
    "python_module": """{s} python | python {s} | {s} module | module {s} | python module {s}
        | {s} python module | {s} in python | import {s} | What does the {s} module do in Python?
        | What is the {s} module (for/) in Python? | python's {s}""",
    "http_status": """http {s} | error {s} | status {s} | http status {s} | http error {s}
        | status code {s} | {s} error | http code {s} | {s} http | {s} status | {s} status code | response {s}
        | http status code {s} | code {s}""",
}

# What follows a first answer about a country, an element, a person, ...; {it}: "it", "its", "there" stand in the text.
ABOUT_IT = {
    "capital": "its capital | the capital | the capital there | the capital of it",
    "currency": """its currency | the currency | the currency there | the money there
        | What do they pay with there? | What money do they use there?""",
    "continent": """its continent | Which continent is it on? | Where is it? | Where does it lie?
        | What continent is it in?""",
    "language": """its language | the language there | What do they speak there?
        | Which language do they speak there? | What language is spoken there?
        | What language do people speak there?""",
    "demonym": """its demonym | What are the people there called? | What do you call its people?
        | What do you call someone from there?""",
    "population": """its population | the population | How many people live there?
        | How many inhabitants does it have? | How many people live in it?""",
    "city_population": """its population | the population | How many people live there?
        | How many inhabitants does it have?""",
    "area": "its area | its size | How big is it? | How large is it? | the area",
    "neighbours": """its neighbours | its neighbors | its borders | What does it border?
        | Which countries does it border? | Which countries are next to it?""",
    "calling_code": """its calling code | its phone code | its country code | the calling code
        | How do I call someone there?""",
    "domain": """its internet domain | its domain | its tld | the internet domain
        | What do web addresses there end in?""",
    "time_zone": """its time zone | the time zone | What time zone is it in? | What time zone is that?
        | Which time zone is it in? | What time zone do they have there?""",
    "city": """its country | Where is it? | Where is that? | What country is it in?
        | Which country is that in? | Where does it lie?""",
    "symbol": """its symbol | its chemical symbol | the symbol | What symbol does it have?
        | How is it written?""",
    "atomic_number": """its atomic number | the atomic number | What number does it have?
        | How many protons does it have?""",
    "atomic_weight": """its atomic weight | its atomic mass | How heavy is it? | How much does it weigh?
        | the atomic weight""",
    "element_type": """its type | What kind of element is it? | What type of element is it?
        | Is it a metal?""",
    "melting_point": """its melting point | When does it melt? | At what temperature does it melt?
        | the melting point""",
    "boiling_point": """its boiling point | When does it boil? | At what temperature does it boil?
        | the boiling point""",
    "discoverer": "its discoverer | Who discovered it? | Who found it? | Who discovered that?",
    "discovered": "When was it discovered? | In which year was it discovered? | When was it found?",
    "born": """When was (he/she/they) born? | (his/her/their) birth year | In what year was (he/she) born?
        | When was that, (his/her) birth? | What year was (he/she) born? | And born when?""",
    "died": """When did (he/she/they) die? | (his/her/their) death year | In what year did (he/she) die?
        | the year of (his/her) death | And died when? | And when did (he/she) die?""",
    "person": """Who was (he/she)? | Who was that? | Who is that? | What did (he/she) do?
        | Who is (he/she)?""",
    "place": "What is it? | What is that? | Tell me about it. | What is there?",
    "location": "Where is it? | Where is that? | Where does it lie? | In which country is it?",
    "define": "What does it mean? | its meaning | its definition | What does that mean? | What is that?",
    "synonym": "a synonym of it | another word for it | a synonym | What is another word for it?",
    "antonym": "its opposite | the opposite | the opposite of it | What is the opposite?",
    "plural": "its plural | the plural | the plural of it",
    "kind_of": "its category | What kind of thing is it? | What kind of thing is that?",
}
CARRIERS_ABOUT_IT = (
    "What is {p}?", "And what is {p}?", "And {p}?", "and {p}", "{p}?", "Tell me {p}.", "What about {p}?",
    "Also {p}, please.", "Now {p}.", "And {p}, please.", "What's {p}?", "{p}", "what about {p}",
    "Do you know {p}?", "Can you tell me {p}?",
)  # fmt: skip
ANOTHER = (  # after an answer about one subject, the same about another
    "And {s}?", "and {s}", "and {s}?", "What about {s}?", "what about {s}", "How about {s}?", "And of {s}?",
    "And for {s}?", "And in {s}?", "And {s}'s?", "{s}?", "And what about {s}?", "and of {s}?", "Now {s}.",
    "Same for {s}?", "The same for {s}, please.", "Okay, and {s}?", "also {s}", "And how about {s}?",
    "Then {s}?",
)  # fmt: skip
MEANT = (
    "No, I meant {s}.", "no, {s}", "No, {s}.", "I meant {s}.", "I mean {s}", "Sorry, I meant {s}.",
    "no i meant {s}", "not that, {s}", "Not that one, {s}.", "No, I mean {s}", "Sorry, {s}.",
    "I was asking about {s}.", "Oh, I meant {s}.", "wait, {s}", "Actually {s}.",
)  # fmt: skip
SURE = (
    "Are you sure?", "are you sure", "Really?", "really", "Is that right?", "Is that true?", "Sure?",
    "Are you certain?", "Is that correct?", "You are sure?", "is it", "Are you really sure?", "Is this true?",
)  # fmt: skip
