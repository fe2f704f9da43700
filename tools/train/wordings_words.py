"""How people ask about words, people, places and computing; written as in `wordings_world.py`."""

PHRASES = {
    "define": """the meaning of {s} | the meaning of the word {s} | the definition of {s}
        | the definition of the word {s} | {s}'s meaning | a definition of {s} | a definition of the word {s}
        | the meaning of the term {s} | the sense of the word {s} | the dictionary definition of {s}
        | a short definition of {s} | the dictionary meaning of {s} | an explanation of {s}
        | an explanation of the word {s} | the definition of the term {s}""",
    "kind_of": """the category of {s} | the broader term for {s} | the general term for {s}
        | the more general word for {s} | the class of things that {s} belongs to | the kind of thing that {s} is
        | the broader category of {s} | the hypernym of {s} | the more general term for {s}
        | the category that {s} belongs to | the kind of thing {s} is""",
    "synonym": """a synonym of {s} | a synonym for {s} | another word for {s} | a different word for {s}
        | the synonym of {s} | a word that means the same as {s} | a word like {s} | another way to say {s}
        | another name for {s} | a word with the same meaning as {s} | an alternative word for {s}
        | a different way to say {s} | an alternative to the word {s}""",
    "antonym": """the opposite of {s} | an antonym of {s} | an antonym for {s} | the antonym of {s}
        | the contrary of {s} | the opposite of the word {s} | a word that means the opposite of {s}
        | the word opposite to {s} | the reverse of {s} | the opposite word for {s}
        | a word with the opposite meaning of {s} | the contrary of the word {s}""",
    "plural": """the plural of {s} | the plural form of {s} | {s}'s plural | the plural of the word {s}
        | the plural of the noun {s} | the word for more than one {s} | the correct plural of {s}
        | the name for more than one {s} | the plural form of the noun {s}""",
    "part_of": """the thing that a {s} is part of | the whole that a {s} belongs to | the thing that has a {s}
        | the bigger thing that a {s} is part of | the whole that includes the {s} | the thing the {s} is a part of
        | the whole that the {s} is a part of | the larger thing that a {s} belongs to""",
    "adverb_of": """the adjective behind the adverb {s} | the adjective of {s} | the adjective that {s} comes from
        | the adjective for the adverb {s} | the adjective that belongs to {s} | the adjective form of {s}
        | the adjective in the adverb {s} | the adjective that the adverb {s} is made from
        | the adjective form of the adverb {s}""",
    "jargon": """the meaning of {s} in hacker slang | the hacker meaning of {s} | the meaning of the hacker term {s}
        | the slang meaning of {s} among hackers | the definition of {s} in the Jargon File | the jargon term {s}
        | the meaning of {s} in computer slang | the definition of the hacker term {s} | the hacker slang word {s}
        | the meaning of {s} among programmers""",
    "person": """the life of {s} | the story of {s} | the person {s} | the identity of {s}
        | the man or woman called {s} | the work of {s} | the person called {s} | the person named {s}""",
    "born": """the birth year of {s} | the year of birth of {s} | {s}'s birth year | {s}'s year of birth
        | the year {s} was born | the year in which {s} was born | the year when {s} was born | the birth date of {s}
        | {s}'s date of birth | the date of birth of {s}""",
    "died": """the year {s} died | the year of death of {s} | {s}'s year of death | the year in which {s} died
        | the year when {s} died | the death year of {s} | the year of {s}'s death | the date of death of {s}
        | {s}'s date of death | {s}'s death year""",
    "place": """the thing called {s} | the place or thing called {s} | a short description of {s}
        | a description of {s} | the place called {s} | the short story of {s}""",
    "python_module": """the purpose of the Python module {s} | the Python module {s}
        | the use of the Python module {s} | the {s} module in Python | the purpose of Python's {s} module
        | the use of the {s} module in Python | a description of the Python module {s}
        | the job of the {s} module in Python | Python's {s} module | the standard library module {s}
        | the purpose of the standard library module {s}""",
    "http_status": """the meaning of HTTP status {s} | the meaning of HTTP {s} | HTTP status {s} | HTTP error {s}
        | the meaning of the HTTP status code {s} | the meaning of status code {s} | the meaning of HTTP error {s}
        | the name of HTTP status {s} | the reason phrase of HTTP {s} | the HTTP code {s}
        | the meaning of the web error {s}""",
}

QUESTIONS = {
    "define": """What does {s} mean? | What does the word {s} mean? | What is meant by {s}? | Define {s}.
        | Define the word {s}. | What is {s}? | What's {s}? | {s} means what? | What do people mean by {s}?
        | What do you mean by {s}? | How would you define {s}? | How do you define {s}? | How is {s} defined?
        | How is the word {s} defined? | Explain {s}. | Explain the word {s}. | Explain what {s} means.
        | What does the term {s} mean? | {s}: meaning? | {s}: definition? | In a dictionary, what is {s}?
        | What would a dictionary say about {s}? | Meaning of {s}? | Definition of {s}?
        | What does it mean when someone says {s}? | I read the word {s}. What does it mean?
        | What does {s} stand for as a word? | If something is called {s}, what does that mean? | The word {s} means
        | The meaning of {s} is what? | How do you explain {s}? | How would you explain the word {s}?
        | {s}, what does it mean? | I don't understand the word {s}. | Describe {s}. | Tell me about {s}.
        | What is a {s}?""",
    "kind_of": """What kind of thing is {s}? | What sort of thing is {s}? | What type of thing is {s}?
        | What kind of thing is a {s}? | {s} is a kind of what? | A {s} is a kind of what? | {s} is a type of what?
        | Which category does {s} belong to? | To which category does {s} belong? | What category is {s} in?
        | What is a more general word for {s}? | {s} is what kind of thing? | What is {s} a kind of?
        | What is {s} a type of? | In which category would you put {s}? | How would you classify {s}?
        | {s}: what kind of thing? | What is {s} an example of? | {s} is an example of what?""",
    "synonym": """What is another word for {s}? | What word means the same as {s}? | Which word means the same as {s}?
        | What can I say instead of {s}? | What could I write instead of {s}? | What else can I say for {s}?
        | How else can I say {s}? | How can I say {s} in another way? | {s}: synonym? | Synonym of {s}?
        | Synonym for {s}? | Which word can replace {s}? | What word can I use instead of {s}?
        | Which word is a synonym of {s}? | Is there another word for {s}? | Is there a synonym for {s}?
        | Another word for {s} is | What has the same meaning as {s}? | Which other word means {s}?
        | What is {s} also called?""",
    "antonym": """What word is the opposite of {s}? | Which word is the opposite of {s}?
        | What is the opposite of {s}? | Which word means the opposite of {s}? | What word means the opposite of {s}?
        | {s}: opposite? | Opposite of {s}? | {s} is the opposite of what? | {s} is the opposite of which word?
        | What is an antonym of {s}? | Antonym of {s}? | Which word is an antonym of {s}? | The opposite of {s} is
        | What is the contrary of {s}? | If it is not {s}, what is it? | What would be the opposite of {s}?
        | What do you call the opposite of {s}? | Not {s} but what?""",
    "plural": """What do you call more than one {s}? | What is more than one {s} called?
        | How do you write the plural of {s}? | What is {s} in the plural? | How do you form the plural of {s}?
        | One {s}, two what? | {s}: plural? | Plural of {s}? | Which word is the plural of {s}? | The plural of {s} is
        | What do you call two of a {s}? | What plural does {s} have? | How do you say {s} in the plural?
        | If there are many of a {s}, what do you call them?""",
    "part_of": """What is a {s} part of? | What is the {s} part of? | What is a {s} a part of? | What has a {s}?
        | A {s} is part of what? | The {s} is part of what? | What does a {s} belong to?
        | What whole does a {s} belong to? | What thing has a {s}? | Which thing includes a {s}? | {s}: part of what?
        | Where does a {s} belong? | What would you find a {s} in? | Of what is a {s} a part?""",
    "adverb_of": """Which adjective does {s} come from? | What adjective does {s} come from?
        | What is the adjective of {s}? | From which adjective is {s} made?
        | From which adjective does the adverb {s} come? | {s}: adjective? | Adjective of {s}?
        | {s} comes from which adjective? | The adverb {s} comes from what adjective?
        | Which adjective belongs to the adverb {s}? | Which adjective is behind {s}?
        | What adjective is the adverb {s} made from?""",
    "jargon": """What does {s} mean in hacker slang? | What do hackers mean by {s}? | What is {s} in hacker slang?
        | What does {s} mean to a hacker? | In hacker slang, what is {s}? | In hacker slang, what does {s} mean?
        | Explain the hacker term {s}. | Define the hacker term {s}. | What do programmers mean by {s}?
        | What does {s} mean among hackers? | In the Jargon File, what is {s}?
        | What does the Jargon File say about {s}? | What does {s} mean? | What is {s}? | Define {s}.
        | What does {s} mean in computer slang? | What does a programmer mean by {s}?
        | In computer slang, what is {s}?""",
    "person": """Who was {s}? | Who is {s}? | Who's {s}? | Who was the person called {s}? | Who is this {s}?
        | Tell me about {s}. | Tell me who {s} was. | What do you know about {s}? | What did {s} do? | What was {s}?
        | What is {s} known for? | What was {s} known for? | What is {s} famous for? | Why is {s} famous?
        | Why is {s} known? | Can you tell me about {s}? | Say something about {s}. | What can you say about {s}?
        | {s}: who is that? | {s}, who was that? | {s} was who? | Do you know {s}? | Have you heard of {s}?
        | I read about {s}. Who was that? | Introduce {s}. | Describe {s}. | Who was {s} and what did they do?
        | For what is {s} remembered? | What should I know about {s}? | Can you say who {s} was?
        | Give me a line about {s}. | What made {s} famous?""",
    "born": """When was {s} born? | In which year was {s} born? | In what year was {s} born? | What year was {s} born?
        | Which year was {s} born? | {s} was born when? | {s} was born in which year?
        | When did {s} come into the world? | When is {s}'s birth year? | {s}: born when?
        | In what year did {s} come into the world? | {s} was born in | Since when did {s} live?
        | When did the life of {s} begin? | In which year did {s}'s life begin?""",
    "died": """When did {s} die? | In which year did {s} die? | In what year did {s} die? | What year did {s} die?
        | Which year did {s} die? | {s} died when? | {s} died in which year? | When was the death of {s}?
        | {s}: died when? | Until when did {s} live? | {s} died in | When did the life of {s} end?
        | In which year did {s}'s life end? | When was {s}'s death? | In what year was {s}'s death?""",
    "place": """What is {s}? | What's {s}? | Tell me about {s}. | What do you know about {s}? | What was {s}?
        | Describe {s}. | Can you describe {s}? | What kind of place is {s}? | Say something about {s}.
        | What can you say about {s}? | {s} is what? | {s}, what is it? | {s}: what is that?
        | I read about {s}. What is it? | Have you heard of {s}? | Do you know {s}? | What should I know about {s}?
        | Explain {s}. | What does the name {s} mean? | Can you tell me about {s}? | Give me a line about {s}.
        | Can you say what {s} is? | Explain what {s} is. | What is the place called {s}?""",
    "python_module": """What does the Python module {s} do? | What is the Python module {s} for?
        | What is {s} in Python? | What does {s} do in Python? | What is Python's {s} module for?
        | What can I do with the Python module {s}? | In Python, what is {s}? | In Python, what does {s} do?
        | Why would I import {s} in Python? | When do I import {s}? | What do I use the {s} module for?
        | What happens in the Python module {s}? | What does import {s} give me in Python?
        | Explain the Python module {s}. | Describe the Python module {s}.
        | What is the {s} module good for in Python?""",
    "http_status": """What does HTTP status {s} mean? | What does HTTP {s} mean? | What does status code {s} mean?
        | What does HTTP error {s} mean? | What is HTTP {s}? | What is a {s} error?
        | What does error {s} mean on a website? | What does a {s} response mean? | Explain HTTP {s}.
        | Explain status code {s}. | My browser shows {s}. What does it mean?
        | The server answered {s}. What does it mean? | What does a web server mean by {s}? | HTTP {s} means what?
        | Status {s} means what? | The website says {s}. What does it mean?""",
}
