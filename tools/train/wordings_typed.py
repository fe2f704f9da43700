"""Wordings as people type them into a search box or a form, and more families for the kinds that had few.

PATTERNS is written as in `wordings_combined.py`; what starts with a small letter is bare, for no carrier. Kinds that
ask for something with a name ("the time zone") share the sentences of TYPED, with their own NOUNS.
"""

NOUNS = {  # kind -> article, names of what is asked for
    "synonym": ("a", "synonym / similar word / substitute / word with the same meaning"),
    "antonym": ("the", "opposite / antonym / contrary / opposite word"),
    "plural": ("the", "plural / plural form / form for many"),
    "define": ("the", "meaning / definition / explanation"),
    "kind_of": ("the", "category / broader word / general term"),
    "adverb_of": ("the", "adjective / base adjective"),
    "part_of": ("the", "whole / larger thing"),
    "http_status": ("the", "meaning / message / reason"),
    "python_module": ("the", "purpose in Python / use in Python"),
    "person": ("the", "story / work / life"),
    "place": ("the", "description / explanation"),
    "born": ("the", "birth year / year of birth / date of birth / birth date"),
    "died": ("the", "death year / year of death / date of death"),
    "location": ("the", "location / position / place on the map"),
    "city": ("the", "country / location"),
    "continent": ("the", "continent / part of the world"),
    "demonym": ("the", "demonym / nationality / name of the people"),
    "population": ("the", "population / number of inhabitants / number of people / head count"),
    "city_population": ("the", "population / number of inhabitants / number of people / head count"),
    "area": ("the", "area / size / surface / land area"),
    "neighbours": ("the", "neighbours / neighbors / bordering countries / neighbouring countries"),
    "calling_code": ("the", "calling code / phone code / country code / dialing code / phone prefix"),
    "domain": ("the", "internet domain / domain ending / web ending"),
    "symbol_of": ("the", "element / element name"),
    "number_of": ("the", "element / element name"),
    "melting_point": ("the", "melting point / melting temperature"),
    "boiling_point": ("the", "boiling point / boiling temperature"),
    "discoverer": ("the", "discoverer / finder"),
    "discovered": ("the", "discovery year / year of discovery / discovery date"),
    "domain_of": ("the", "country / nation"),
    "calling_code_of": ("the", "country / nation"),
    "capital": ("the", "capital / capital city / seat of government"),
    "currency": ("the", "currency / money / official currency"),
    "language": ("the", "language / official language / main language"),
    "time_zone": ("the", "time zone / timezone / local time zone"),
    "symbol": ("the", "symbol / chemical symbol / element symbol"),
    "atomic_number": ("the", "atomic number / proton number / number of protons"),
    "atomic_weight": ("the", "atomic weight / atomic mass / relative atomic mass"),
    "element_type": ("the", "element type / kind of element / element group"),
    "jargon": ("the", "hacker meaning / meaning in hacker slang / jargon meaning"),
    "members": ("the", "members / names / complete list"),
}
TYPED = """(find/look up) NOUN for {s} | (check/search) {s} NOUN | (need/want) THE NOUN of {s}
        | i (forgot/need) THE NOUN for {s} | whats THE NOUN (of/for) {s} | (tell me/show me) {s} NOUN
        | {s} NOUN (please/pls) | NOUN of {s} (please/pls) | {s} what is THE NOUN | {s} and THE NOUN of it
        | (do you know/can you find) THE NOUN of {s} | i am looking for THE NOUN (of/for) {s}
        | Can you (look up/check) THE NOUN for {s}? | Could you (give/tell) me THE NOUN of {s}, please?
        | I (have to/must) write down THE NOUN of {s}. | My (homework/quiz) asks for THE NOUN of {s}.
        | In a (quiz/form), what is THE NOUN for {s}?
        | (A friend/Someone) asked me about THE NOUN of {s}. What is it? | For {s}, what (is/would be) THE NOUN?
        | (Regarding/About) {s}: what is THE NOUN? | (Fill in/Complete): THE NOUN of {s} is
        | Do you (have/remember) THE NOUN of {s}? | What do you (say/give) as THE NOUN of {s}?
        | What should I (write/enter) as THE NOUN for {s}? | (Which/What) NOUN goes with {s}?
        | {s}: THE NOUN, (please/thanks). | {s}'s NOUN is (which one/what exactly)?
        | I (do not know/cannot remember) THE NOUN of {s}. | (Next/Question): what is THE NOUN of {s}?
        | When I (read/hear) {s}, what is THE NOUN? | There is {s}, but what is THE NOUN?"""
SENTENCES = {
    "members": """Which (elements/countries/bodies) are {s}? | What (elements/countries) are among {s}?
        | (Write/Read) out {s}. | (Count/Go through) {s} by name. | Give me the names of {s}.
        | Tell me all the names of {s}. | What are all of {s} called? | What are {s} called?
        | How are {s} called, one by one? | Who or what are {s}? | Which (ones/names) make up {s}?
        | What makes up {s}? | Of what do {s} consist? | What do {s} consist of?
        | Which of them are counted among {s}? | What is counted among {s}? | What do we count among {s}?
        | What is one of {s}, and the others? | {s}, which are they? | {s}, what are they? | {s}: name them (all/).
        | {s}: list (them/all of them). | {s}, (one after the other/one by one). | Help me to remember {s}.
        | I have to learn {s}. | I need (all of/a full list of/the names of) {s}.
        | I can never remember {s}: which are they? | Do you know all of {s}? | Do you know which ones {s} are?
        | Can you tell me (which are {s}/what {s} are)? | Could you (write/count) out {s}? | Let me (hear/see) {s}.
        | Show me (all of/the list of) {s}. | who are {s} | name all {s} | list all {s} | list of {s} | all {s}
        | which are {s} | names of {s} | members of {s} | {s} members | {s} names | what belongs to {s}
        | what are {s} called | everything in {s} | the members of the group {s} | all the names in {s}
        | what {s} are | which ones {s} are | In a quiz: name {s}! | (Every one/Each) of {s}, please.
        | The full list of {s} is what? | {s} are a group: of what? | The group called {s} has which members?""",
    "state_with_capital": """(What/Which) state is run from {s}? | (What/Which) state is ruled from {s}?
        | {s} is the seat of government of which state? | The state government of which state sits in {s}?
        | The governor who works in {s} governs which state? | The governor in {s} is the governor of which state?
        | In {s} sits the government of which state? | (What/Which) state has its (capital/government) in {s}?
        | (What/Which) state calls {s} its capital? | (What/Which) state has {s} as its capital (city/)?
        | To (what/which) state does the capital {s} belong? | The capital {s} belongs to (what/which) state?
        | The capital city {s} is in (what/which) US state? | {s} is a capital in the US. Of which state?
        | {s} is a US state's capital: which state's? | {s} is the capital of (what/which) American state?
        | {s} is the capital city of which state? | The US state with {s} as its capital is which one?
        | Name the (state/US state) with the capital {s}. | Find the (state/US state) whose capital is {s}.
        | Give me the state that has {s} as its capital. | Tell me which state has the capital {s}.
        | (Say/Tell me) of which state {s} is the capital. | I need the state whose capital is called {s}.
        | If {s} is the capital, what is the state? | If the capital is {s}, which US state is it?
        | With {s} as the capital, which state is it? | In the United States, {s} is the capital of which state?
        | In the USA, which state has the capital {s}? | Among the states, which one has the capital {s}?
        | Whose capital is {s}, among the states? | {s}: which state's capital?
        | {s}: the capital of which US state? | {s}, capital of (what/which) state?
        | {s} as a state capital: which state? | {s} governs which state? | state with capital {s}
        | state with the capital {s} | us state capital {s} | which state has capital {s}
        | {s} is capital of which state | {s} capital of what state | {s} is a state capital of
        | capital {s} us state | {s} state | {s} us state | state of the capital {s}
        | which us state is {s} the capital of | the state governed from {s} | the state that has {s} as its capital
        | the state for which {s} is the capital | the American state ruled from {s}
        | the state whose government sits in {s} | which state {s} is the capital of""",
    "http_status": """(What/Which) error is {s}? | What is the error {s}? | What does the error {s} mean?
        | What does (code/error) {s} mean? | What does (code/error/status) {s} mean in HTTP?
        | What does a {s} mean on the web? | What does a (web server/browser/website) mean with {s}?
        | What does it mean when a (page/site/server) returns {s}? | What does it mean if I get a {s}?
        | What does it mean to get (error/status) {s}? | What happened when I get a {s}?
        | What happened if a website gives me {s}? | What is wrong when a page shows {s}?
        | What went wrong with a {s}? | What is meant by (HTTP/status/error) {s}?
        | What is the HTTP (code/response/error) {s}? | What is a {s} (status/response/code)?
        | What is the name of the (status/error) {s}? | What is HTTP status {s} called? | What is error {s} called?
        | What is the text of (status/error/HTTP) {s}? | What text comes with (status/error) {s}?
        | What stands behind {s} in HTTP? | Which HTTP (error/status) has the number {s}?
        | Which error has the (code/number) {s}? | Which status is {s} in HTTP?
        | How do I read the HTTP (status/code) {s}? | How do I explain a {s} error?
        | How should I understand status {s}? | Explain the (error/status/code) {s} to me.
        | Explain what a {s} error is. | Explain error {s} from a web server. | I (get/got/see/have) a {s} error.
        | I (get/got) the status {s}. What is it? | I got {s} from the (server/website/API). Why?
        | I keep getting {s}. What does it mean? | I see {s} in my browser. What does it mean?
        | I see {s} in the log. What is that? | My (site/page/website) returns {s}. What does that mean?
        | My (request/upload) failed with {s}. What does it mean? | My API (returns/answers) {s}: what does it mean?
        | An API answers with {s}. What is that? | The API returned {s}. What does it mean?
        | The (log/browser/server) shows {s}: what does it mean? | The page gave me a {s}.
        | The server sent a {s}. What is it? | The request ended with status {s}. What does it mean?
        | The code {s} means what on the web? | The error code {s} means what? | {s} in HTTP is what?
        | {s} on a website means what? | {s} as a status code means what? | {s} as an HTTP code is what?
        | {s} is which HTTP (error/status)? | {s} is what kind of error? | {s}: which HTTP status?
        | {s}, the HTTP code: meaning? | HTTP {s}, what does it stand for? | HTTP {s}: what went wrong?
        | HTTP response {s} is what? | HTTP gives {s}. What is it? | {s} error code | error code {s}
        | {s} error meaning | error {s} meaning | http {s} meaning | {s} http code | {s} http status
        | {s} http error | {s} status meaning | what is error {s} | what is http {s} | what is a {s} error
        | what does error {s} mean | what does a {s} mean | {s} response code | {s} server error code
        | web error {s} | website error {s} | {s} page error | server returns {s} | server says {s} | got a {s}
        | why {s} error | meaning of {s} error | meaning of http {s} | status code {s} meaning | {s} code
        | {s} web error | the error with the number {s} | the status with the code {s} | what error {s} is
        | what a {s} error means | the reason for a {s} error | the HTTP status with the number {s}
        | what the server means by {s}""",
    "synonym": """What is a word like {s}? | What is a similar word to {s}?
        | What is a good (replacement/substitute) for {s}? | What (means/says) the same as {s}?
        | What word is like {s}? | What words are like {s}? | What word has the same sense as {s}?
        | Which word has the same meaning as {s}? | Which word comes closest to {s}?
        | Which word could stand in for {s}? | Which word could I put in place of {s}?
        | Which words are synonyms of {s}? | How could I (replace/rephrase) {s}? | How else would you put {s}?
        | How else do people call {s}? | How would you say {s} in a different way? | Give a synonym for {s}.
        | Give me (a/one) synonym of {s}. | Give one word that means {s}. | Find a synonym for {s}.
        | Find me a (nicer/better) word for {s}. | Find a replacement for the word {s}.
        | Think of another word for {s}. | Tell me a word that means the same as {s}.
        | Tell me a different word for {s}. | Can I use another word for {s}? | Can you find a word similar to {s}?
        | Can you think of a synonym for {s}? | Do you know a word like {s}? | Do you know what else means {s}?
        | Is there a (nicer/shorter/simpler) word for {s}? | I wrote {s} too often. What else could I write?
        | I want a word that means the same as {s}. | I am tired of the word {s}. What else is there?
        | I used {s} twice. Which other word is there? | I need a synonym for (the word/) {s} in my essay.
        | A word close in meaning to {s}? | A different word with the meaning of {s}?
        | The thesaurus entry for {s} says what? | In a thesaurus, what stands next to {s}?
        | In my crossword: another word for {s}? | Crossword clue: {s}. | {s} has what synonym?
        | {s} has the same meaning as which word? | {s} is similar to which word? | {s} is like which other word?
        | {s} can be replaced by (what/which word)? | {s}, or in a different word?
        | {s}: a word with the same meaning? | {s} thesaurus | thesaurus {s} | {s} similar words | {s} other word
        | {s} another word | {s} same meaning | word like {s} | words similar to {s} | word similar to {s}
        | word that means {s} | words that mean {s} | what means the same as {s} | what is a synonym of {s}
        | other words for {s} | alternative to {s} | replace {s} | another term for {s} | different word for {s}
        | same meaning as {s} | {s} in other words | other way to say {s}""",
    "antonym": """What is opposite to {s}? | What is the word opposite of {s}? | What is the opposite word of {s}?
        | What is the (opposite/antonym) of being {s}? | What is something called when it is not {s}?
        | What would not be {s}? | What would you call the opposite of {s}?
        | What do we call it when something is not {s}? | What is the other extreme of {s}?
        | What comes at the other end from {s}? | What has the opposite meaning of {s}?
        | What word has the opposite meaning to {s}? | Which word has the opposite meaning of {s}?
        | Which word has the opposite sense to {s}? | Which word is an opposite of {s}?
        | Which word is the contrary of {s}? | Which word says the contrary of {s}?
        | Which words are antonyms of {s}? | How would I say the opposite of {s}?
        | How is the opposite of {s} called? | How do you call what is not {s}? | Give an antonym for {s}.
        | Give the opposite of {s}. | Give me a word that means the opposite of {s}.
        | Give me the antonym for the word {s}. | Find me the opposite of {s}. | Find an antonym of {s}.
        | Tell me the contrary of {s}. | Tell me what the opposite of {s} is. | Tell me what is not {s}.
        | Think of the opposite of {s}. | Write the opposite of {s}. | Can you find the opposite of {s}?
        | Can you give me an antonym for {s}? | Do you know what the opposite of {s} is?
        | Is there a word for the opposite of {s}? | I want a word that is the opposite of {s}.
        | I am looking for the opposite of {s}. | I mean the opposite of {s}. What is the word?
        | I do not mean {s}, I mean the opposite. | It is not {s}, it is the opposite. What is it?
        | It is not {s}, so what is it? | If something is not {s}, then what is it?
        | If {s} is one end, what is the other? | The word that means the opposite of {s} is what?
        | The exact contrary of {s} is what? | An antonym of {s} is what? | In my crossword: the opposite of {s}?
        | {s} and what are opposites? | {s} and what are antonyms? | {s} is not what? | {s} has which opposite word?
        | {s} is the antonym of which word? | {s} is opposite to what? | {s} is contrary to what?
        | {s}, on the contrary? | {s}: what is the contrary? | {s}: what would be the opposite? | {s} antonyms
        | antonyms of {s} | antonyms for {s} | {s} opposite word | opposite word of {s} | opposite word for {s}
        | opposite meaning of {s} | {s} opposite meaning | what is the opposite of {s} | opposites of {s}
        | reverse of {s} | {s} contrary | {s} vs | word opposite to {s} | word opposite of {s} | unlike {s}
        | what is not {s} | the contrary to {s} | the word for what is not {s} | the other extreme of {s}
        | what is opposite to {s}""",
    "part_of": """What are {s} parts of? | What is it that has a {s}? | What kind of thing has a {s}?
        | What sort of thing has a {s}? | What kind of thing contains a {s}? | What comes with a {s}?
        | What usually has a {s}? | What has a {s} in it? | What has a {s} as a part?
        | What does a {s} form a part of? | What does a {s} help to make up? | What is it called that has a {s}?
        | What do you get a {s} with? | What does the {s} belong to? | What would have a {s}? | What can have a {s}?
        | Which thing has a {s} as one of its parts? | Which thing is a {s} a part of?
        | Which whole is a {s} part of? | Which whole does a {s} belong to? | Which thing needs a {s}?
        | Which larger thing is a {s} part of? | Which bigger thing has the {s}? | Where is a {s} found?
        | Where would you find a {s}? | Where would I look for a {s}? | Where does the {s} sit?
        | Where can you find a {s}? | On which thing is a {s}? | In which thing is a {s} found?
        | Inside what is a {s}? | To what thing does the {s} belong? | Of which thing is the {s} a part?
        | Of which whole is a {s} a part? | Name something that has a {s}. | Name a thing with a {s}.
        | Name the whole that a {s} is part of. | Tell me what has a {s}. | Tell me what a {s} is part of.
        | Tell me what a {s} belongs to. | Tell me where a {s} belongs. | Say what the {s} is a part of.
        | Give me the whole for the part {s}. | Do you know what has a {s}? | Do you know what a {s} is part of?
        | I have a {s}. What is it part of? | I found a {s}. What does it belong to?
        | I see a {s}. What is the whole? | If a {s} is the part, what is the whole?
        | The part is a {s}. What is the whole? | The {s} is one of the parts of what?
        | A {s} is a part of which thing? | A {s} is one of the parts of what? | A {s} is a part: of what?
        | A {s} belongs to which thing? | {s} is a part of which thing? | {s} is the part, what is the whole?
        | {s} as a part: of what? | {s}: a part of which thing? | {s}: what has it? | {s}: where does it belong?
        | what has a {s} | what is {s} part of | {s} is a part of | {s} belongs to | thing with a {s}
        | part of what {s} | {s} part of what | what does {s} belong to | where is a {s} found | what contains a {s}
        | has a {s} | the thing with the part {s} | the whole with a {s} in it | what has a {s} as a part
        | where a {s} belongs""",
    "location": """Where is {s} on the map? | Where is {s} to be found? | Where is {s} in the world?
        | Where on the map is {s}? | Where on earth would I find {s}? | Where do I find {s}? | Where do I see {s}?
        | Where do you find {s}? | Where can you see {s}? | Where could I visit {s}? | Where must I go for {s}?
        | Where should I travel to see {s}? | Where would I travel to see {s}? | Where does one find {s}?
        | Where exactly does {s} lie? | Where about is {s}? | Whereabouts is {s}? | Whereabouts does {s} lie?
        | In what region is {s}? | In which region does {s} lie? | In which part of the world does {s} lie?
        | In what country does {s} lie? | In which country can I see {s}? | In what part of the world do I find {s}?
        | What region is {s} in? | What part of the world is {s} in? | What place is {s} in?
        | What is the location of {s}? | What is the position of {s}? | What country do I visit to see {s}?
        | Which country has {s}? | Which country do I go to for {s}? | Which part of the world has {s}?
        | Which region is {s} part of? | Tell me where {s} is. | Tell me where {s} lies.
        | Tell me the location of {s}. | Tell me where to find {s}. | Show me where {s} is. | Say where {s} is.
        | Do you know where {s} is? | Do you know where to find {s}? | Can you tell me where {s} lies?
        | Can you locate {s}? | I want to visit {s}. Where is it? | I want to see {s}. Where must I go?
        | I heard of {s}. Where is it? | I am looking for {s}. Where is it? | I read about {s}. Where does it lie?
        | On a map, where is {s}? | On a globe, where do I find {s}? | Point to {s} on a map.
        | {s} is in which country? | {s} is in which part of the world? | {s} is located where?
        | {s} is found where? | {s} is to be found where? | {s}: in which country? | {s}: which part of the world?
        | {s}, where does it lie? | {s}, where can I find it? | If I go to {s}, where am I? | where is {s}
        | wheres {s} | where {s} | where is {s} located | where to find {s} | {s} map | {s} on map | {s} on a map
        | {s} country | {s} which country | {s} in which country | {s} where is it | {s} located in | location {s}
        | find {s} | locate {s} | where do i find {s} | where {s} is located | where {s} can be found
        | the region of {s} | the country {s} is in | the part of the world with {s}""",
    "calling_code": """What do I dial to (call/phone) {s}? | What do I dial for {s}?
        | What number do I dial for {s}? | What must I dial before a number in {s}?
        | What comes before a phone number in {s}? | What do phone numbers in {s} start with?
        | What do phone numbers from {s} begin with? | What digits do I dial for {s}?
        | What is the prefix for (calls/calling) to {s}? | What is the prefix to call {s}?
        | What is the code to call {s}? | What is the code for phone calls to {s}?
        | What is the phone number prefix of {s}? | What country code does {s} use? | What phone code does {s} have?
        | Which country code has {s}? | Which dialing code belongs to {s}?
        | Which number must I dial first to call {s}? | Which code is for {s}, by phone?
        | Which digits stand before numbers in {s}? | How do I (call/phone/dial) {s}?
        | How do I call a number in {s}? | How do I reach {s} by phone? | How do I make a call to {s}?
        | How do phone numbers in {s} start? | How does a phone number in {s} begin?
        | How can I phone someone in {s}? | I want to call {s}. What do I dial?
        | I want to call someone in {s}. Which code do I need? | I have to call {s}. Which prefix is it?
        | I have a friend in {s}: which code do I dial? | I am calling {s}. What is the code?
        | To call {s}, what do I dial? | To call {s}, which code do I need? | To phone {s}, which prefix is needed?
        | For a call to {s}, which code do I use? | For calls to {s}, what is the prefix?
        | Before a number in {s}, what do I dial? | Tell me the code to call {s}. | Tell me how to call {s}.
        | Tell me how phone numbers in {s} begin. | Give me the phone prefix for {s}.
        | Give me the code for calls to {s}. | Numbers in {s} start with (what/which code)?
        | Phone numbers of {s} start how? | A phone number from {s} starts with what? | {s} has which country code?
        | {s} has which phone prefix? | {s} is reached by which code? | {s}: what do I dial?
        | {s}: which phone code? | how to call {s} | how to dial {s} | call {s} | calling {s} code | dial {s}
        | dialing {s} | {s} phone prefix | phone prefix {s} | {s} telephone code | {s} country calling code
        | {s} dial code | {s} phone number code | code to call {s} | code for calling {s} | country code for {s}
        | what to dial for {s} | the code to dial for {s} | the digits before a phone number in {s}
        | the prefix for calls to {s} | how to call {s} | what to dial for {s}""",
    "born": """When was the birthday of {s}? | When was {s}'s birth? | When is {s}'s birthday?
        | When was {s} given birth to? | When exactly was {s} born? | What was the birth year of {s}?
        | What was the year of {s}'s birth? | What date was {s} born? | What date was {s}'s birth?
        | What is the birthday of {s}? | What year is {s} from? | What year was it when {s} was born?
        | Which year is the birth year of {s}? | Which year was {s}'s birth year? | How old would {s} be, born when?
        | How many years ago was {s} born? | In which century and year was {s} born? | In which year is {s} born?
        | On what date was {s} born? | Tell me when {s} came into the world. | Tell me the birthday of {s}.
        | Tell me the year {s} was born in. | Tell me {s}'s birth year. | Give me the year of birth for {s}.
        | Give me {s}'s date of birth. | Do you know when {s} was born? | Do you know {s}'s birthday?
        | Do you know the year of {s}'s birth? | Can you tell me when {s} was born?
        | Can you say when {s} came into the world? | I want to know when {s} was born.
        | I need {s}'s date of birth. | I need to know the birth year of {s}. | {s} was born in what year?
        | {s} was born on what date? | {s} has which birthday? | {s}'s life began when? | {s}'s birthday is when?
        | {s}: when was the birth? | {s}, when born? | {s}, what year of birth?
        | If I want to know when {s} was born, what is the year? | {s} birthdate | birthdate {s} | birthdate of {s}
        | birthday {s} | birthday of {s} | {s} birth date | birth date {s} | date of birth {s}
        | date of birth of {s} | year of birth {s} | year of birth of {s} | {s} year born | year {s} was born
        | when {s} born | what year was {s} born | {s} when born | the birthday of {s}
        | the year {s} came into the world | when {s} came into the world | what year {s} was born""",
    "died": """When was {s}'s death? | When did {s}'s life come to an end? | When exactly did {s} die?
        | When is {s} said to have died? | When did the world lose {s}? | When did {s} pass on?
        | What was the death year of {s}? | What was the year of {s}'s death? | What date did {s} die?
        | What is the date of {s}'s death? | What year was it when {s} died? | Which year is the death year of {s}?
        | Which year was {s}'s last? | How many years ago did {s} die? | On what date did {s} die?
        | In which year did {s} lose his or her life? | Tell me when {s} passed away.
        | Tell me the year {s} died in. | Tell me the year of {s}'s death. | Give me the year of death for {s}.
        | Give me {s}'s date of death. | Do you know when {s} died? | Do you know the year of {s}'s death?
        | Can you tell me when {s} died? | Can you say when {s} passed away? | I want to know when {s} died.
        | I need {s}'s date of death. | I need to know the death year of {s}. | {s} died in what year?
        | {s} died on what date? | {s}'s life ended when? | {s}'s death was in what year? | {s}: when was the death?
        | {s}, when dead? | {s}, what year of death? | {s} passed away in which year? | Is {s} dead, and since when?
        | {s} death date | death date {s} | death date of {s} | date of death {s} | date of death of {s}
        | year of death {s} | year of death of {s} | {s} year died | year {s} died | when {s} died
        | what year did {s} die | {s} when died | {s} passed away | {s} dead when | {s} end of life
        | when was {s} death | the day {s} died | the year {s} passed away | what year {s} died
        | when {s} left this world""",
    "demonym": """What is a person from {s} called? | What is someone from {s} called?
        | What are people from {s} called? | What are the people of {s} called?
        | What are the inhabitants of {s} called? | What is a citizen of {s} called?
        | What is an inhabitant of {s} called? | What do you call somebody from {s}?
        | What do you call someone who lives in {s}? | What do you call inhabitants of {s}?
        | What is the word for somebody from {s}? | What is the name for the people of {s}?
        | What is the nationality of someone from {s}? | What nationality is someone from {s}?
        | What nationality are people from {s}? | What nationality are you if you come from {s}?
        | What am I if I come from {s}? | What are you if you are from {s}? | Who lives in {s}?
        | Who comes from {s}? | Who are the people of {s}? | How are people from {s} called?
        | How do you call a person from {s}? | How do you call the people of {s}?
        | How do people from {s} call themselves? | Which people live in {s}? | Which people come from {s}?
        | Which word means a person from {s}? | Which word stands for people from {s}?
        | Tell me what you call people from {s}. | Tell me what a person from {s} is called.
        | Tell me the name of the people of {s}. | Give me the word for people from {s}.
        | Give me the nationality for {s}. | I come from {s}. What am I? | I am from {s}, so what am I?
        | She comes from {s}. What is she? | She is from {s}, so she is what?
        | They come from {s}, so they are what? | A man from {s} is called what? | A woman from {s} is called what?
        | A person who lives in {s} is what? | A native of {s} is called what?
        | Those who live in {s} are called what? | The nationality of someone from {s} is what?
        | {s}: what do you call its people? | {s}: who lives there? | {s} is where which people live?
        | {s} nationality | nationality {s} | nationality of {s} | {s} people name | {s} people called
        | people of {s} called | people from {s} called | person from {s} | a person from {s} | citizen of {s}
        | citizens of {s} | {s} citizen | {s} inhabitant | inhabitant of {s} | native of {s}
        | what are people from {s} called | {s} demonyms | who lives in {s} | what people in {s} are called
        | what a person from {s} is called | what you call someone from {s} | the name for a native of {s}""",
    "population": """How many live in {s}? | How many people are in {s}? | How many people are there in {s}?
        | How many people does {s} have? | How many people has {s}? | How many people live there in {s}?
        | How many inhabitants are there in {s}? | How many inhabitants does {s} have?
        | How many inhabitants live in {s}? | How many citizens does {s} have? | How many residents does {s} have?
        | How many souls live in {s}? | How many human beings live in {s}? | How many persons live in {s}?
        | How large is the population of {s}? | How big is the population of {s}?
        | How big is the number of people in {s}? | How populous is {s}? | How populated is {s}?
        | How crowded is {s}? | How many are we in {s}? | What number of people live in {s}?
        | What number of inhabitants does {s} have? | What population does {s} have?
        | What is the population count of {s}? | What is the number of residents in {s}?
        | What is the head count of {s}? | What is {s}'s population size? | Tell me how many people live in {s}.
        | Tell me the number of people in {s}. | Tell me how many inhabitants {s} has.
        | Tell me how populous {s} is. | Give me the population of {s}. | Give me the number of inhabitants of {s}.
        | Do you know how many people live in {s}? | Do you know the population of {s}?
        | Can you tell me how many people live in {s}? | I want to know how many people live in {s}.
        | I need the population figure of {s}. | In {s}, how many people are there? | In {s} live how many people?
        | The number of people in {s} is what? | The people of {s} number how many?
        | The population of {s} is how large? | {s} has how many people? | {s} has how many inhabitants?
        | {s} has a population of how many? | {s}: how many people? | {s}: how many inhabitants?
        | {s}: number of people? | {s} number of people | {s} how many people | how many people in {s}
        | how many inhabitants {s} | how many live in {s} | {s} population count | {s} population size
        | population size {s} | population count {s} | {s} population number | {s} residents | residents of {s}
        | {s} citizens number | {s} head count | {s} inhabitants number | how many people live in {s}
        | number of inhabitants {s} | how many people {s} has | how many people live in {s}
        | how many inhabitants {s} has | how populous {s} is""",
    "area": """How big is the country {s}? | How large is the territory of {s}? | How large an area does {s} cover?
        | How big an area does {s} have? | How much land does {s} have? | How much land does {s} cover?
        | How much space does {s} take up? | How many square kilometers is {s}?
        | How many square kilometers does {s} have? | How many square kilometers does {s} cover?
        | How many square kilometers are in {s}? | How wide is the land of {s}? | What is the size of {s}?
        | What is the size of the country {s}? | What is the land area of {s}? | What area does {s} cover?
        | What area does {s} have? | What size is {s}? | What size does {s} have?
        | What is the territory of {s} in square kilometers? | What surface does {s} have?
        | Which area does {s} take up? | Tell me how big {s} is. | Tell me how large {s} is.
        | Tell me the size of {s}. | Tell me the area of {s} in square kilometers. | Give me the size of {s}.
        | Give me the area of {s}. | Do you know how big {s} is? | Can you tell me how large {s} is?
        | I want to know how big {s} is. | I need the surface area of {s}. | In square kilometers, how big is {s}?
        | In square kilometers, what is the size of {s}? | The size of {s} is what?
        | The land area of {s} is how much? | {s} is how big? | {s} is how large?
        | {s} covers how many square kilometers? | {s} covers how much land? | {s} has what area?
        | {s} has how many square kilometers? | {s}: how big? | {s}: how large? | {s}: size?
        | {s}: area in square kilometers? | {s} in square kilometers is how big? | {s} land area | land area of {s}
        | land area {s} | {s} surface | surface of {s} | surface area of {s} | {s} surface area
        | {s} square kilometers | square kilometers {s} | square kilometers of {s} | {s} km2 | {s} in km2
        | {s} total area | total area of {s} | how big is {s} | how large is {s} | how large {s} | {s} how big
        | {s} country size | size of country {s} | territory of {s} | {s} territory size | how big {s} is
        | how large {s} is | how much land {s} has | how many square kilometers {s} has | the extent of {s}""",
    "place": """What is the meaning of the name {s}? | What can you tell me about {s}? | What do people call {s}?
        | What exactly is {s}? | What is this {s}? | What is that, {s}? | What are {s}, exactly?
        | What is known about {s}? | What is there to know about {s}? | What do I have to know about {s}?
        | What is {s}, in a few words? | What is behind the name {s}? | What is the thing called {s}?
        | What is called {s}? | What goes by the name {s}? | What does {s} refer to?
        | What does the name {s} refer to? | What does the name {s} stand for? | Which thing is called {s}?
        | Which thing or place is {s}? | Tell me what {s} is. | Tell me what {s} was. | Tell me something about {s}.
        | Tell me more about {s}. | Tell me a bit about {s}. | Give me some information on {s}.
        | Give me a short description of {s}. | Explain to me what {s} is. | Explain in a few words what {s} is.
        | Describe {s} to me. | Describe {s} in one sentence. | Describe what {s} is. | Say what {s} is.
        | Do you know what {s} is? | Do you know anything about {s}? | Can you explain what {s} is?
        | Can you tell me what {s} is? | Could you explain {s}? | Could you describe {s}?
        | I heard about {s}. What is it? | I never heard of {s}. What is it? | I want to know what {s} is.
        | I would like to know about {s}. | Somebody mentioned {s}. What is that? | In a few words, what is {s}?
        | In one sentence, what is {s}? | {s} is what, exactly? | {s} is the name of what? | {s} is known as what?
        | {s}: what is it? | {s}: tell me about it. | {s}, what is that? | The name {s} stands for what?
        | what is the {s} | what was {s} | what are {s} | {s} info | {s} information | {s} facts | facts about {s}
        | {s} explained | explain {s} | describe {s} | {s} description | {s} what is it | {s} what is that
        | something about {s} | what about {s} | the meaning of the name {s} | what {s} is | what {s} was
        | what is known as {s} | information about {s}""",
    "person": """Who exactly was {s}? | Who exactly is {s}? | Who was that, {s}? | Who is that, {s}?
        | Who is meant by {s}? | Who is known as {s}? | Who goes by the name {s}? | Who is behind the name {s}?
        | Who is or was {s}? | Who was {s}, in one sentence? | Who was {s}, in a few words?
        | What kind of person was {s}? | What sort of person is {s}? | What did {s} do in life?
        | What did {s} do for a living? | What did {s} work as? | What was {s} by profession?
        | What was the profession of {s}? | What was {s}'s job? | What is {s} remembered for?
        | What was {s} famous for? | What makes {s} famous? | What can you tell me about {s}?
        | What is known about {s}? | What is there to know about {s}? | What did {s} become known for?
        | Why do we know {s}? | Why do people remember {s}? | Why do people know {s}? | Why was {s} famous?
        | How did {s} become famous? | For what was {s} known? | For what is {s} famous? | By what is {s} known?
        | Tell me who {s} is. | Tell me something about {s}. | Tell me more about {s}. | Tell me a bit about {s}.
        | Tell me about the life of {s}. | Tell me what {s} did. | Tell me why {s} is famous.
        | Give me some information on {s}. | Give me a short biography of {s}. | Explain who {s} was.
        | Explain who {s} is. | Describe who {s} was. | Describe {s} in one sentence. | Say who {s} was.
        | Do you know anything about {s}? | Do you know the person {s}? | Do you know what {s} did?
        | Do you know who {s} is? | Can you explain who {s} was? | Can you tell me who {s} is?
        | Could you tell me something about {s}? | I heard about {s}. Who is that?
        | I never heard of {s}. Who was that? | I would like to know about {s}. | I want to know who {s} was.
        | Somebody mentioned {s}. Who is that? | In one sentence, who was {s}? | In a few words, who is {s}?
        | {s} is known for what? | {s} was known for what? | {s} is famous for what? | {s} is who? | {s} did what?
        | {s} was what by profession? | {s}: who was it? | {s}: tell me about the person. | {s}, who is it?
        | The name {s} belongs to whom? | {s} info | {s} information | {s} bio | bio {s} | biography {s}
        | biography of {s} | {s} life | life of {s} | {s} known for | {s} famous for | why is {s} famous
        | what is {s} known for | {s} job | {s} profession | profession of {s} | {s} who is that | {s} who was that
        | who is this {s} | something about {s} | facts about {s} | {s} facts | person {s} | {s} person
        | who {s} was | who {s} is | what {s} did | what {s} is known for | why {s} is famous
        | the profession of {s} | the person behind the name {s}""",
    "discoverer": """Who was the first person to find {s}? | Who was it that discovered {s}?
        | Who was it who found {s}? | Who made the discovery of {s}? | Who first discovered {s}?
        | Who first found {s}? | Who first isolated {s}? | Who is the discoverer of the element {s}?
        | Who discovered the element {s}? | Who found the element {s}? | Who is known for the discovery of {s}?
        | Who is credited with {s}? | Who is said to have discovered {s}? | Who has discovered {s}?
        | Who is behind the discovery of {s}? | Whose discovery is {s}? | Whose discovery was the element {s}?
        | What is the name of the discoverer of {s}? | What is the name of the person who found {s}?
        | Which person discovered the element {s}? | Which researcher discovered {s}? | Which researchers found {s}?
        | Which chemist isolated {s}? | By which chemist was {s} discovered? | By which scientist was {s} found?
        | Tell me who discovered {s}. | Tell me who found {s}. | Tell me the discoverer of {s}.
        | Name the discoverer of {s}. | Name the person who discovered {s}.
        | Give me the name of the discoverer of {s}. | Do you know who discovered {s}? | Do you know who found {s}?
        | Can you tell me who discovered {s}? | I want to know who discovered {s}.
        | The element {s} was found by whom? | The discoverer of {s} is who?
        | The discovery of {s} was made by whom? | {s} was found by whom? | {s} was first isolated by whom?
        | {s} was the discovery of whom? | {s}: who discovered it? | {s}: who found it? | {s}: discoverer?
        | {s}, who discovered it? | To whom do we owe {s}? | who found {s} | who isolated {s} | discoverer of {s}
        | discoverer {s} | {s} found by | {s} who discovered | {s} who found it | {s} discovered by who
        | who discovered the element {s} | discovered {s} | {s} discovery by | discovery of {s} by | who found {s}
        | who first isolated {s} | who discovered the element {s} | the scientist behind {s}
        | the chemist who first found {s}""",
    "neighbours": """Which countries touch {s}? | Which countries surround {s}? | Which countries lie next to {s}?
        | Which countries lie around {s}? | Which countries are around {s}? | Which countries are neighbours of {s}?
        | Which country is next to {s}? | Which states border on {s}? | Which nations border {s}?
        | What countries touch {s}? | What countries lie around {s}? | What borders {s}?
        | What borders does {s} have? | What is next to {s}? | What surrounds {s}? | What lies around {s}?
        | Who are the neighbours of {s}? | Who are {s}'s neighbors? | Who borders {s}? | Who lives next door to {s}?
        | With whom does {s} share a border? | With which countries does {s} share a border?
        | On which countries does {s} border? | Tell me which countries border {s}. | Tell me the neighbours of {s}.
        | List the countries next to {s}. | List the neighbours of {s}. | Name the countries around {s}.
        | Name the neighbours of {s}. | Where do I get when I cross the border of {s}?
        | Around {s} are which countries? | {s} is next to which countries? | {s} is surrounded by which countries?
        | {s} shares a border with whom? | {s} touches which countries? | {s}: which countries are next to it?
        | {s}: who are the neighbours? | {s} borders which countries | {s} bordering countries
        | {s} neighbouring countries | {s} surrounding countries | who borders {s} | what borders {s}
        | which countries border {s} | {s} next to | {s} shares border with | around {s} | border countries of {s}
        | {s} border countries | which countries border {s} | which countries are next to {s} | what lies around {s}
        | who the neighbours of {s} are""",
    "city_population": """How many people live in the city of {s}? | How many people live in the town of {s}?
        | How many people does the city of {s} have? | How many inhabitants does the city {s} have?
        | How many residents live in the city of {s}? | How big is the city of {s}? | How big is the city {s}?
        | How large is {s}? | How large is the city of {s}? | How large a city is {s}? | How big a city is {s}?
        | What is the population of the city of {s}? | What is the size of the city {s}?
        | The city of {s} has how many people? | The city {s} has how many inhabitants? | Tell me how big {s} is.
        | Tell me how many people live in the city of {s}. | {s} is how big a city?
        | {s} is a city of how many people? | {s} city population | population of {s} city | population city {s}
        | city of {s} population | {s} number of people | how big is {s} | {s} size | {s} how big
        | how many people in {s} | {s} how many people | how many live in {s} | {s} residents
        | how big the city {s} is | how many people the city {s} has | how many people live in {s}
        | the size of the city of {s}""",
    "continent": """Where in the world does {s} lie? | Where in the world do I find {s}?
        | Where on the globe is {s}? | Where on a globe is {s}? | Where is the country {s}?
        | Where is {s} on the map? | Where does the country {s} lie? | On which continent does {s} lie?
        | On what continent do I find {s}? | In which continent does {s} lie?
        | In which part of the world do I find {s}? | To which continent does {s} belong?
        | To what part of the world does {s} belong? | Which continent has {s} on it?
        | Which continent is the home of {s}? | Which part of the world is {s}?
        | What continent do I travel to for {s}? | What continent is the country {s} part of?
        | Tell me where {s} is. | Tell me which continent {s} is on. | Tell me on which continent {s} lies.
        | Name the continent of {s}. | Is {s} in Europe, or on which continent?
        | {s} is a country on which continent? | {s} is part of which continent? | {s} belongs to which continent?
        | {s} is in which part of the world? | {s}: on which continent? | {s}, on which continent is it?
        | {s}, which part of the world? | {s} on map | {s} map | {s} which continent | which continent {s}
        | which continent is {s} | {s} part of the world | {s} is in | {s} belongs to continent
        | where is {s} located | {s} located | which continent {s} is on | which part of the world {s} is in
        | where in the world {s} is | where {s} lies""",
    "capital_of": """What is {s} the capital of? | What country is {s} the capital of?
        | Which country has {s} as capital? | Which country has its capital in {s}?
        | Which country has its government in {s}? | Which nation's seat of government is {s}?
        | Which country's president sits in {s}? | In which country is {s} the capital?
        | {s} is the capital of which country? | {s} is the capital of what nation?
        | {s} is the capital city of what? | {s} is which country's capital?
        | {s} is the main city of which country? | {s} as a capital: of which country?
        | Tell me of which country {s} is the capital. | Tell me what {s} is the capital of.
        | Say which country has the capital {s}. | Name the country with the capital {s}.
        | Find the country whose capital is {s}. | I know the capital: {s}. What is the country?
        | The capital is {s}. What is the country? | The capital {s} is whose?
        | With {s} as capital, which country is it? | If I am in the capital {s}, in which country am I?
        | {s} capital of what | {s} capital of what country | {s} is the capital of | {s} is capital of what
        | what is {s} capital of | capital of which country is {s} | country of capital {s}
        | country whose capital is {s} | which country has capital {s} | {s} is a capital of
        | what {s} is the capital of | which country has its capital in {s} | the nation with {s} as capital
        | the country run from {s}""",
    "python_module": """What is the module {s} for? | What is the module {s} used for?
        | What is the {s} library in Python? | What is the package {s} in Python's standard library?
        | What does the module {s} do? | What does the {s} library do in Python? | What does Python's {s} do?
        | What can the module {s} do? | What can you do with {s} in Python? | What do I get from the module {s}?
        | What do I need the Python module {s} for? | What is in the Python module {s}?
        | What is inside Python's {s} module? | What would I use {s} for in Python?
        | When would I use the {s} module? | When do I need {s} in Python? | Why do people import {s}?
        | Why do I need the module {s}? | How is the {s} module used in Python? | For what is the module {s}?
        | For what do I import {s}? | Tell me about the Python module {s}. | Tell me what the {s} module does.
        | Tell me what {s} does in Python. | Explain the {s} module in Python. | Explain Python's {s} module.
        | Explain what the module {s} does. | Describe the {s} module.
        | I saw import {s} in a script. What is it for? | I see import {s}. What does it do?
        | A script imports {s}. What does it do? | My code imports {s}: what does that do?
        | The Python module {s} does what? | The module {s} is for what? | In the standard library, what is {s}?
        | In Python's standard library, what does {s} do? | In a Python script, what does {s} do?
        | {s} in Python does what? | {s} in Python is for what? | {s} is a Python module for what?
        | {s}: what does this Python module do? | {s}, the Python module: what is it for? | {s} python library
        | python library {s} | {s} standard library | python {s} module | {s} module python | {s} module use
        | what is {s} in python | what is python {s} | what does {s} do python | what does {s} do in python
        | import {s} python | python import {s} | {s} python what | use of {s} module | {s} library | use {s} python
        | what the module {s} does | what Python's {s} module is for | what {s} does in Python
        | the reason to import {s}""",
    "symbol_of": """What element does {s} stand for? | What element is {s}? | What element has the sign {s}?
        | Which element is {s} short for? | Which element hides behind {s}?
        | What does {s} mean in the periodic table? | What does {s} stand for in chemistry?
        | What is {s} on the periodic table? | {s} is short for which element? | {s} is which element?
        | {s}: which element is it? | Tell me which element {s} is. | Name the element {s}. | what element is {s}
        | which element is {s} | {s} is what element | {s} periodic table | {s} stands for element
        | {s} chemical element | chemical element {s} | element symbol {s} | what does {s} stand for in chemistry
        | which element {s} is | which element {s} stands for | the element hidden behind {s}""",
    "number_of": """What element is number {s}? | What element comes at number {s}? | What element has {s} protons?
        | Which element do I find at {s}? | Which element stands at number {s}? | What is element {s}?
        | What is element number {s}? | What is the {s} on the periodic table? | Number {s} is which element?
        | Element number {s} is what? | {s} is the atomic number of what? | Tell me which element is number {s}.
        | Name element {s}. | what element is {s} | which element is number {s} | {s} periodic table
        | periodic table {s} | periodic table number {s} | element with {s} protons | {s} proton element
        | element with atomic number {s} | what is element {s} | which element is number {s}
        | which element has {s} protons | the element in place {s}""",
    "domain_of": """Which country uses {s} in its web addresses? | Which country's websites end in {s}?
        | Which country's domain is {s}? | What country's domain is {s}? | What does the domain {s} stand for?
        | What country does {s} stand for? | Where do sites with {s} come from? | Where is a website with {s} from?
        | Whose domain is {s}? | Websites with {s} are from which country?
        | A website ends with {s}. Where is it from? | I see {s} at the end of an address. Which country is it?
        | Tell me which country has the domain {s}. | Name the country with the domain {s}.
        | {s} is which country's domain? | {s} is whose domain? | {s} in a web address means which country?
        | {s}: whose domain is it? | {s}, which country's domain? | In web addresses, {s} means which country?
        | {s} domain country | domain {s} country | country of domain {s} | {s} domain which country
        | {s} country domain | {s} website country | which country is {s} | whose domain is {s}
        | what country is {s} | country domain {s} | which country {s} belongs to
        | which country uses the domain {s} | the country behind {s} addresses""",
    "discovered": """When did people discover {s}? | When did someone find {s}? | When was the discovery of {s}?
        | When was the element {s} found? | When was {s} first found? | When was {s} first isolated?
        | When did we learn of {s}? | What was the year of {s}'s discovery?
        | What is the date of the discovery of {s}? | In which year did they discover {s}?
        | In which year was the element {s} found? | Which year was {s} discovered? | Since which year is {s} known?
        | Since when is {s} known? | For how long do we know {s}? | Tell me when {s} was discovered.
        | Tell me the year of the discovery of {s}. | Do you know when {s} was found?
        | Give me the discovery year of {s}. | The discovery of {s} was when? | The element {s} was discovered when?
        | {s} is known since when? | {s} was first found in which year? | {s}: year of discovery?
        | {s}, discovered when? | {s} discovery | {s} discovered | {s} discovered when | {s} discovery date
        | when discovered {s} | year of discovery {s} | discovery year {s} | discovery date of {s}
        | when was {s} discovered | {s} found when | {s} known since | when {s} was found
        | when people discovered {s} | the year {s} was found""",
    "calling_code_of": """Which country has phone numbers with {s}? | Which country is called with {s}?
        | Which country do phone numbers with {s} belong to? | What country's code is {s}?
        | What country is the code {s} for? | What country has the number {s} in front?
        | Where am I calling with {s}? | Where is a caller with {s} from? | Where is {s} from, as a phone code?
        | Whose phone code is {s}? | Whose calling code is {s}? | A number starts with {s}. Which country is it?
        | A phone number begins with {s}: which country? | I got a call from {s}. Where is that?
        | I missed a call from {s}: which country? | Tell me which country has the code {s}.
        | Name the country with the phone code {s}. | If I dial {s}, which country do I get?
        | {s} is the phone code of what? | {s} is whose country code? | {s} on the phone is which country?
        | {s}: which country's phone code? | {s}, which country's code? | {s} calling code | {s} country code
        | {s} code country | {s} which country | {s} phone country | {s} dialing code | {s} call from
        | call from {s} | country code {s} | phone code {s} | dialing code {s} country | number starting with {s}
        | which country is {s} | whose code is {s} | which country has the code {s} | which country I call with {s}
        | the country of the phone code {s}""",
    "verb": """What is meant by to {s}? | What is the meaning of to {s}? | What is the act of one who has to {s}?
        | What do you do when you {s}? | What do you do if you {s}? | What does someone do who wants to {s}?
        | What happens when people {s}? | How would you define to {s}? | How do you explain to {s}?
        | How is to {s} defined? | Tell me what it means to {s}. | Tell me what to {s} means.
        | Explain what it means to {s}. | Explain what to {s} means. | Say what to {s} means.
        | Describe what it is to {s}. | The verb {s} means what? | The verb to {s} means what?
        | To {s} is to do what? | To {s} means what? | If I {s}, what do I do? | If you {s}, what are you doing?
        | When people {s}, what do they do? | {s}, as a verb: meaning? | {s} as a verb means what?
        | {s} is a verb: what does it mean? | Do you know what it means to {s}?
        | Can you explain what it means to {s}? | I have to {s}. What does that mean? | to {s} meaning
        | meaning of to {s} | {s} verb meaning | verb {s} meaning | {s} verb definition | verb {s} | define to {s}
        | what does to {s} mean | what is to {s} | define verb {s} | definition of to {s} | what to {s} means
        | the definition of to {s} | the act named by the verb {s} | what the verb {s} means""",
    "noun": """What is that, a {s}? | What is it, a {s}? | What sort of thing is called a {s}?
        | What thing do people call a {s}? | What does a {s} mean? | What would you call a {s}, in other words?
        | Which thing is meant by a {s}? | How would you define a {s}? | How would you describe a {s}?
        | How do you explain a {s}? | Tell me about a {s}. | Tell me what a {s} means. | Explain what a {s} is.
        | Give me the meaning of a {s}. | Do you know what a {s} is? | Can you explain what a {s} is?
        | Can you describe a {s}? | I never saw a {s}. What is it? | I read of a {s}. What is that?
        | A {s} is what kind of thing, exactly? | A {s}: what is it? | The noun {s} means what?
        | {s}: what is a {s}? | {s} is a noun: what does it name? | what is a {s} | whats a {s} | a {s} definition
        | a {s} meaning | meaning of a {s} | noun {s} | {s} noun meaning | {s} noun definition | define a {s}
        | define noun {s} | explain a {s} | what a {s} is | the thing called a {s} | what a {s} means
        | what the noun {s} means""",
}


def _with_nouns(article: str, nouns: str) -> str:
    """The sentences of TYPED about these nouns; a sentence may begin with the article."""
    choice = "(" + "/".join(noun.strip() for noun in nouns.split("/")) + ")"
    return TYPED.replace("THE", article).replace("NOUN", choice)


PATTERNS = {kind: _with_nouns(*nouns) for kind, nouns in NOUNS.items()}
for _kind, _sentences in SENTENCES.items():
    PATTERNS[_kind] = " | ".join(filter(None, (PATTERNS.get(_kind), _sentences)))
