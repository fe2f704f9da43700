"""How people ask about countries, cities and elements.

Per kind: noun phrases for the thing asked for (put into the carriers of `grammar.py`: "What is ...?",
"Tell me ...") and whole questions. {s} stands for the subject.
"""

PHRASES = {
    "capital": """the capital of {s} | the capital city of {s} | {s}'s capital | {s}'s capital city | the {s} capital
        | the name of the capital of {s} | the name of {s}'s capital city | the seat of government of {s}
        | the city that is the capital of {s} | {s}'s seat of government | the city where {s} has its capital
        | the official capital of {s} | the national capital of {s} | {s}'s national capital""",
    "currency": """the currency of {s} | {s}'s currency | the money of {s} | {s}'s money | the currency used in {s}
        | the money used in {s} | the official currency of {s} | the national currency of {s} | the {s} currency
        | the name of {s}'s currency | the name of the money in {s} | the kind of money people use in {s}
        | the currency people pay with in {s} | the legal tender of {s} | {s}'s legal tender""",
    "continent": """the continent of {s} | {s}'s continent | the continent that {s} is on
        | the continent {s} belongs to | the continent where {s} lies | the part of the world where {s} is
        | the continent of the country {s} | the part of the world {s} belongs to
        | the continent in which {s} is found""",
    "language": """the language of {s} | the languages of {s} | {s}'s language | {s}'s languages
        | the language spoken in {s} | the languages spoken in {s} | the official language of {s}
        | {s}'s official language | the main language of {s} | the national language of {s}
        | the language people speak in {s} | the tongue spoken in {s} | the language of the people of {s}""",
    "demonym": """the demonym of {s} | the demonym for {s} | {s}'s demonym | the name for people from {s}
        | the word for a person from {s} | the word for people from {s} | the name of the people of {s}
        | the name for someone from {s} | the term for people who live in {s} | the term for a person from {s}
        | the nationality of people from {s} | the word for someone who lives in {s}""",
    "population": """the population of {s} | {s}'s population | the number of people in {s}
        | the population size of {s} | the number of people living in {s} | the number of inhabitants of {s}
        | {s}'s number of inhabitants | the total population of {s} | the size of {s}'s population
        | the population in {s}""",
    "area": """the area of {s} | {s}'s area | the land area of {s} | the surface area of {s} | the total area of {s}
        | the size of {s} in square kilometers | {s}'s size in square kilometers | the area covered by {s}
        | {s}'s surface area | the surface of {s} in square kilometers | the area of the country {s}""",
    "neighbours": """the neighbours of {s} | the neighbors of {s} | {s}'s neighbours | {s}'s neighbors
        | the countries bordering {s} | the countries that border {s} | the countries next to {s} | the borders of {s}
        | the neighbouring countries of {s} | {s}'s neighbouring countries | {s}'s borders | the countries around {s}
        | the countries that share a border with {s}""",
    "calling_code": """the calling code of {s} | {s}'s calling code | the country calling code of {s}
        | the phone code of {s} | {s}'s phone code | the dialing code of {s} | the dialling code for {s}
        | the telephone code of {s} | the phone prefix of {s} | the international calling code of {s}
        | the phone country code of {s} | the telephone prefix for {s} | {s}'s dialing code""",
    "domain": """the internet domain of {s} | {s}'s internet domain | the top-level domain of {s}
        | the internet country code of {s} | the web domain of {s} | the domain ending of {s} | {s}'s web domain
        | the domain name ending for {s} | {s}'s top-level domain | the internet ending of {s}
        | the domain used for websites in {s} | the web address ending of {s}""",
    "city_population": """the population of {s} | {s}'s population | the number of people in {s}
        | the number of people living in {s} | the number of inhabitants of {s} | {s}'s number of inhabitants
        | the population of the city {s} | the total population of {s} | the size of {s}'s population
        | the population size of {s} | the population in {s}""",
    "city": """the country of {s} | the country where {s} is | the country {s} is in | the location of {s}
        | the country that {s} belongs to | {s}'s country | {s}'s location | the location of the city {s}
        | the country in which {s} lies | the place where {s} is found | the whereabouts of {s}""",
    "time_zone": """the time zone of {s} | {s}'s time zone | the time zone in {s} | the timezone of {s}
        | {s}'s timezone | the time zone used in {s} | the name of the time zone of {s} | the time zone that {s} is in
        | the local time zone of {s} | the zone of time in {s}""",
    "capital_of": """the country that has {s} as its capital | the country whose capital is {s}
        | the country with {s} as its capital | the country with the capital {s}
        | the country of which {s} is the capital | the nation whose capital is {s}
        | the country whose capital city is {s} | the nation with the capital city {s}
        | the country that {s} is the capital of""",
    "symbol": """the symbol of {s} | the symbol for {s} | {s}'s symbol | the chemical symbol of {s}
        | the chemical symbol for {s} | {s}'s chemical symbol | the element symbol of {s} | the letters for {s}
        | the abbreviation of {s} in the periodic table | the symbol of {s} in the periodic table
        | the letters that stand for {s} | the chemical abbreviation for {s} | the symbol of the element {s}
        | the periodic table symbol for {s}""",
    "symbol_of": """the element with the symbol {s} | the chemical element with the symbol {s}
        | the element that {s} stands for | the element whose symbol is {s} | the meaning of the chemical symbol {s}
        | the chemical element whose symbol is {s} | the name of the element with symbol {s} | the element {s}
        | the element written as {s} | the meaning of {s} in the periodic table""",
    "atomic_number": """the atomic number of {s} | {s}'s atomic number | the atomic number for {s}
        | the number of protons in {s} | the number of {s} in the periodic table | {s}'s number in the periodic table
        | the proton number of {s} | the atomic number of the element {s} | {s}'s proton number
        | the number of protons of {s} | the element number of {s}""",
    "number_of": """the element with atomic number {s} | the element with the atomic number {s} | element number {s}
        | the chemical element with atomic number {s} | the element that has atomic number {s}
        | the element with {s} protons | the element number {s} in the periodic table
        | the element whose atomic number is {s} | the chemical element with {s} protons | element {s}""",
    "atomic_weight": """the atomic weight of {s} | {s}'s atomic weight | the atomic mass of {s} | {s}'s atomic mass
        | the weight of a {s} atom | the mass of a {s} atom | the relative atomic mass of {s}
        | the standard atomic weight of {s} | the atomic weight of the element {s} | the atomic mass for {s}""",
    "element_type": """the type of element of {s} | {s}'s element type | the group of elements that {s} belongs to
        | the class of element of {s} | the category of the element {s} | the kind of element that {s} is
        | the element family of {s} | the family of elements {s} belongs to | the element category of {s}
        | the class of elements {s} belongs to""",
}

QUESTIONS = {
    "capital": """What city is the capital of {s}? | Which city is the capital of {s}? | What is {s}'s capital called?
        | What is the capital of {s} called? | Which city is {s}'s capital? | {s} has which capital?
        | What capital does {s} have? | Which capital city does {s} have? | {s}: capital? | Capital of {s}?
        | Where is the capital of {s}? | From which city is {s} governed? | Which city serves as the capital of {s}?
        | Where is the government of {s}? | In which city does the government of {s} sit?
        | The capital of {s} is which city? | What city serves as {s}'s capital? | {s}, what is its capital?
        | If I go to {s}, what is the capital? | In {s}, which city is the capital? | The capital of {s} is
        | For the country {s}, what is the capital? | {s}'s capital is""",
    "currency": """What currency does {s} use? | Which currency does {s} use? | What currency is used in {s}?
        | Which currency do they use in {s}? | What money do they use in {s}? | What money do people use in {s}?
        | Which money is used in {s}? | What do people pay with in {s}? | How do people pay in {s}? | {s}: currency?
        | Currency of {s}? | What kind of money does {s} have? | What kind of money do I need in {s}?
        | In {s}, what currency is used? | In {s}, which money do people pay with? | {s} uses which currency?
        | What is the money in {s} called? | What is {s}'s currency called? | Which currency should I bring to {s}?
        | If I travel to {s}, what money do I need? | What currency do you pay with in {s}? | The currency of {s} is
        | {s}, what is its currency? | What cash do I need in {s}? | What cash do they take in {s}?""",
    "continent": """Where is {s}? | Where is {s} located? | Where does {s} lie? | Where can I find {s}?
        | What continent is {s} in? | Which continent is {s} in? | On which continent is {s}?
        | On what continent is {s}? | What continent does {s} belong to? | Which continent does {s} belong to?
        | {s} is on which continent? | In which part of the world is {s}? | What part of the world is {s} in?
        | {s} lies on what continent? | Where in the world is {s}? | On which continent can I find {s}?
        | Where would I find {s} on a map? | {s}: which continent? | Where on the map is {s}? | Whereabouts is {s}?
        | {s}, where is it?""",
    "language": """What language do they speak in {s}? | Which language do people speak in {s}?
        | What languages do people speak in {s}? | What language is spoken in {s}?
        | Which languages are spoken in {s}? | What do people speak in {s}? | Which language does {s} speak?
        | What language does {s} use? | In {s}, what language do people speak? | In {s}, which languages are spoken?
        | {s}: language? | What language should I learn for {s}? | Which language do I need in {s}?
        | What tongue do they speak in {s}? | What language would I hear in {s}? | Which languages does {s} have?
        | {s} speaks which language? | What do the people of {s} speak? | How do people talk in {s}?
        | Language of {s}?""",
    "demonym": """What do you call people from {s}? | What do you call a person from {s}?
        | What are people from {s} called? | What is a person from {s} called? | How do you call someone from {s}?
        | What do you call someone from {s}? | How are people from {s} called? | What is someone from {s} called?
        | What are the people of {s} called? | What do we call people who come from {s}?
        | What do we call the people of {s}? | Someone from {s} is called what? | People from {s} are called what?
        | If someone comes from {s}, what are they called? | What nationality is someone from {s}?
        | Which nationality do people from {s} have? | What do you call somebody who lives in {s}?
        | People who live in {s} are called what?""",
    "population": """How many people live in {s}? | How many people are there in {s}? | How many people does {s} have?
        | How many inhabitants does {s} have? | How many inhabitants are there in {s}?
        | How big is the population of {s}? | How large is the population of {s}? | {s} has how many people?
        | {s} has how many inhabitants? | How many live in {s}? | In {s}, how many people are there?
        | How populous is {s}? | {s}: population? | Population of {s}? | What population does {s} have?
        | How many residents does {s} have? | About how many people live in {s}? | How many residents are in {s}?
        | How big is {s}'s population?""",
    "area": """How big is {s}? | How large is {s}? | How big is the area of {s}? | How large is the area of {s}?
        | How many square kilometers does {s} cover? | How many square kilometers is {s}? | What area does {s} cover?
        | What area does {s} have? | How much area does {s} cover? | How big is {s} in square kilometers?
        | How large is {s} in square kilometers? | {s}: area? | Area of {s}? | How much land does {s} cover?
        | How much land does {s} have? | {s} covers how many square kilometers? | {s} is how big?""",
    "neighbours": """Which countries border {s}? | What countries border {s}? | Which countries does {s} border?
        | What countries does {s} border? | Which countries share a border with {s}? | What are the neighbours of {s}?
        | Who are {s}'s neighbors? | Which countries are next to {s}? | What countries are next to {s}?
        | Which countries surround {s}? | {s} borders which countries? | With which countries does {s} share a border?
        | What borders {s}? | Which countries lie around {s}? | Which neighbours does {s} have? | {s}: neighbours?
        | What countries are around {s}? | Which nations border {s}? | {s} has which neighbours?
        | Who borders {s}?""",
    "calling_code": """How do I call {s}? | How do I phone {s}? | What number do I dial first to call {s}?
        | Which code do I dial for {s}? | What code do I dial to call {s}? | What is the phone code for {s}?
        | Which calling code does {s} have? | What calling code does {s} use? | Which phone code does {s} use?
        | What prefix do phone numbers in {s} have? | Phone numbers in {s} start with which code? | {s}: calling code?
        | Which prefix do I dial to call {s}? | To call {s}, which code do I dial? | Which dialing code does {s} have?
        | What is the code to phone someone in {s}? | Which number do I dial to phone {s}?""",
    "domain": """Which internet domain does {s} have? | What internet domain does {s} use?
        | Which domain do websites in {s} use? | What do web addresses in {s} end with?
        | How do web addresses from {s} end? | {s}: internet domain? | Which top-level domain does {s} use?
        | What top-level domain belongs to {s}? | Which domain ending is used in {s}?
        | Websites from {s} end with what? | Which internet ending does {s} have?
        | Which internet domain belongs to {s}? | What is the web ending for {s}? | In {s}, how do web addresses end?
        | Which web domain is used for {s}?""",
    "city_population": """How many people live in {s}? | How many people are there in {s}?
        | How many people does {s} have? | How many inhabitants does {s} have?
        | How many inhabitants are there in {s}? | How big is the population of {s}?
        | How large is the population of {s}? | {s} has how many people? | {s} has how many inhabitants?
        | How many live in {s}? | How many people live in the city of {s}? | How populous is {s}? | {s}: population?
        | Population of {s}? | What population does {s} have? | How many residents does {s} have?
        | About how many people live in {s}? | How many residents are in {s}? | How big is {s}'s population?""",
    "city": """Where is {s}? | Where is {s} located? | Where does {s} lie? | Where can I find {s}?
        | In what country is {s}? | Which country is {s} in? | What country is {s} in? | In which country is {s}?
        | In which country is {s} located? | In which country does {s} lie? | What country does {s} belong to?
        | Which country does {s} belong to? | {s} is in which country? | {s} is a city in which country?
        | Where is the city of {s}? | {s}: which country? | To which country do I travel to see {s}?
        | Where would I find {s} on a map? | {s} lies in what country? | Where on the map is {s}?
        | Whereabouts is {s}? | {s}, where is it? | In what country can I find {s}?
        | Which country do I visit to see {s}? | The city {s} is in which country?""",
    "time_zone": """What time zone is {s} in? | Which time zone is {s} in? | In which time zone is {s}?
        | In what time zone is {s}? | What time zone does {s} use? | Which time zone does {s} use?
        | {s} is in which time zone? | {s} uses which time zone? | Which timezone does {s} belong to?
        | What timezone do they use in {s}? | In {s}, which time zone is used? | {s}: time zone? | Time zone of {s}?
        | Which time zone do clocks in {s} follow? | What time zone do clocks follow in {s}?""",
    "capital_of": """Which country has {s} as its capital? | What country has {s} as its capital?
        | Of which country is {s} the capital? | {s} is the capital of which country?
        | {s} is the capital of what country? | {s} is which country's capital? | Which country's capital is {s}?
        | What country's capital is {s}? | Which country is governed from {s}? | What country is {s} the capital of?
        | Which country is {s} the capital of? | {s} is the capital of | The capital {s} belongs to which country?
        | {s} is the capital city of which country? | Whose capital is {s}?
        | Which nation has {s} as its capital city? | {s}: capital of which country?
        | For which country is {s} the capital?""",
    "symbol": """What symbol does {s} have? | Which symbol does {s} have? | Which symbol stands for {s}?
        | What symbol stands for {s}? | How is {s} written in chemistry? | How do chemists write {s}?
        | How is {s} abbreviated in the periodic table? | What letters stand for {s}? | Which letters stand for {s}?
        | {s}: symbol? | Symbol of {s}? | How is {s} abbreviated? | What is {s} in the periodic table?
        | What do chemists write for {s}? | Which chemical symbol does {s} have?
        | What chemical symbol belongs to {s}? | The chemical symbol of {s} is | The symbol for {s} is what?
        | In the periodic table, which symbol is {s}? | In chemistry, what is the symbol for {s}?
        | {s} has which chemical symbol?""",
    "symbol_of": """Which element has the symbol {s}? | What element has the symbol {s}?
        | What does the symbol {s} stand for? | Which element is {s}? | What element is {s}?
        | {s} is the symbol of which element? | {s} is the chemical symbol of which element?
        | Which chemical element is written {s}? | {s}: which element? | What does {s} stand for in chemistry?
        | What does {s} mean in the periodic table? | {s} stands for which element?
        | In the periodic table, what is {s}? | In chemistry, what is {s}?
        | To which element does the symbol {s} belong? | Which element do chemists write as {s}?
        | {s} is the chemical symbol of""",
    "atomic_number": """What atomic number does {s} have? | Which atomic number does {s} have?
        | How many protons does {s} have? | How many protons are in {s}?
        | How many protons are there in an atom of {s}? | {s} has which atomic number? | {s} has how many protons?
        | {s}: atomic number? | Atomic number of {s}? | Which number is {s} in the periodic table?
        | Where is {s} in the periodic table? | What number is {s} in the periodic table? | What number does {s} have?
        | The atomic number of {s} is | In the periodic table, which number is {s}?
        | What number is the element {s}?""",
    "number_of": """Which element has atomic number {s}? | What element has atomic number {s}?
        | Which element has {s} protons? | What element has the atomic number {s}? | What element has {s} protons?
        | Which element is number {s}? | Which element is number {s} in the periodic table? | What is element {s}?
        | What is element number {s}? | {s} is the atomic number of which element?
        | Atomic number {s} is which element? | {s} protons make which element?
        | Atomic number {s} belongs to which element? | Which element sits at number {s}?
        | To which element does atomic number {s} belong?""",
    "atomic_weight": """What does a {s} atom weigh? | How much does {s} weigh? | How much does an atom of {s} weigh?
        | How heavy is {s}? | How heavy is an atom of {s}? | What atomic weight does {s} have?
        | Which atomic mass does {s} have? | {s} has which atomic weight? | {s}: atomic weight? | {s}: atomic mass?
        | Atomic weight of {s}? | The atomic weight of {s} is | What atomic mass does {s} have?
        | How heavy are {s} atoms? | What do {s} atoms weigh?""",
    "element_type": """What type of element is {s}? | What kind of element is {s}? | Which kind of element is {s}?
        | Which type of element is {s}? | What class of element is {s}? | What family of elements is {s} in?
        | To which group of elements does {s} belong? | To which family of elements does {s} belong?
        | {s} is what kind of element? | {s} is which type of element? | {s}: element type?
        | How is the element {s} classified? | How do chemists classify {s}? | Which class of elements is {s} in?
        | What sort of element is {s}? | {s} is what sort of element?""",
}
