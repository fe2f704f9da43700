"""What stands around the core of a question: carriers, openers, endings, follow-ups, in three disjoint splits."""

import re

POLITE = {  # openers for `ways`
    "train": ("Please: ", "Excuse me, ", "Please tell me: ", "Hello! "),
    "validation": ("If I may ask: ", "Hello there, "),
    "test": ("Pardon me, ", "Good afternoon! ", "By the way, "),
}
CLAUSE_CARRIERS = {
    "train": (
        "Tell me {p}.",
        "Do you know {p}?",
        "Can you tell me {p}?",
        "Could you tell me {p}?",
        "I want to know {p}.",
        "I'd like to know {p}.",
        "Please tell me {p}.",
        "Say {p}.",
        "Let me know {p}.",
        "I forgot {p}.",
        "Would you tell me {p}?",
        "Any idea {p}?",
        "I wonder {p}.",
        "Can you say {p}?",
        "Please explain {p}.",
        "I don't know {p}.",
        "I would like to know {p}.",
    ),
    "validation": ("May I ask {p}?", "It would help to know {p}."),
    "test": (
        "I was wondering {p}.",
        "Could you remind me {p}?",
        "Would you happen to know {p}?",
        "Kindly tell me {p}.",
    ),
}
CARRIERS = {
    "train": (
        "What is {p}?",
        "What's {p}?",
        "Tell me {p}.",
        "Give me {p}.",
        "Name {p}.",
        "Do you know {p}?",
        "Can you tell me {p}?",
        "Could you tell me {p}?",
        "I want to know {p}.",
        "I'd like to know {p}.",
        "I need {p}.",
        "{p}?",
        "{p}",
        "Please tell me {p}.",
        "Say {p}.",
        "Let me know {p}.",
        "I am looking for {p}.",
        "What would be {p}?",
        "Remind me of {p}.",
        "I forgot {p}.",
        "Please give me {p}.",
        "Can you name {p}?",
        "Could I get {p}?",
        "Would you tell me {p}?",
        "Any idea what {p} is?",
        "Do you know what {p} is?",
        "Tell me what {p} is.",
        "I wonder what {p} is.",
        "Can you say what {p} is?",
        "Show me {p}.",
        "Look up {p}.",
        "Find {p}.",
        "What exactly is {p}?",
        "Can you give me {p}?",
        "I don't know {p}.",
        "I can't remember {p}.",
        "You surely know {p}.",
        "My question is about {p}.",
        "I would like to know what {p} is.",
        "Can you find {p}?",
        "What do you think is {p}?",
        "Would you know {p}?",
        "Please name {p}.",
        "Do you remember {p}?",
        "Which is {p}?",
        "Now tell me {p}.",
        "Answer me: what is {p}?",
        "Help me with {p}.",
    ),
    "validation": (
        "Could you look up {p}?",
        "I'm curious about {p}.",
        "May I ask what {p} is?",
        "Do you have {p}?",
        "It would help to know {p}.",
    ),
    "test": (
        "Would you happen to know {p}?",
        "I was wondering what {p} is.",
        "Could you remind me what {p} is?",
        "Kindly tell me {p}.",
        "I'd love to hear {p}.",
        "Have you got {p}?",
    ),
}
OPENERS = {
    "train": (
        "Hello! ",
        "Hi, ",
        "Hey, ",
        "Hi! ",
        "Please: ",
        "Quick question: ",
        "Question: ",
        "Excuse me, ",
        "So, ",
        "Well, ",
        "Okay, ",
        "Ok, ",
        "Sorry, ",
        "One more question: ",
        "My friend asks: ",
        "Good morning. ",
        "Tell me, ",
        "Tell me: ",
        "I have a question. ",
        "For a quiz: ",
        "Just curious: ",
        "Next question: ",
        "And ",
        "Please tell me: ",
        "Good evening! ",
        "I was asked: ",
        "Do you know: ",
        "Can you help me? ",
        "Could you please tell me: ",
        "Hello, ",
        "Now, ",
        "Then ",
        "Dear model, ",
    ),
    "validation": ("Hello there, ", "A small question: ", "If I may ask: ", "Can I ask you something? "),
    "test": ("Pardon me, ", "Good afternoon! ", "By the way, ", "Homework question: ", "Hey there! "),
}
ENDINGS = {
    "train": (
        " Thanks.",
        " Please.",
        " Thank you!",
        " please",
        " Thanks!",
        " Thanks in advance.",
        " I forgot.",
        " Thank you.",
        " I want to know.",
        " A short answer, please.",
        " Do you know?",
        " I have forgotten.",
        " I am not sure.",
        " I keep forgetting.",
        " Just wondering.",
        " It is for school.",
        " I never knew.",
        " I can't say.",
        " That is my question.",
        " Tell me quickly.",
        " My teacher asks.",
        " I can't find it.",
        " I need it now.",
        " Only the answer, please.",
        " We are curious.",
        " I should remember this.",
        " Be brief.",
        " I looked everywhere.",
    ),
    "validation": (" Thank you very much.", " I can't recall."),
    "test": (" Many thanks.", " Any idea?", " Cheers!"),
}
FOLLOW_UPS = {
    "train": (
        "And {s}?",
        "What about {s}?",
        "How about {s}?",
        "And for {s}?",
        "and {s}",
        "Same for {s}?",
        "Now {s}.",
        "And what about {s}?",
        "The same for {s}, please.",
        "{s}?",
    ),
    "validation": ("And how about {s}?", "Then {s}?"),
    "test": ("And in the case of {s}?", "Okay, and {s}?"),
}
STRAY_WORDS = re.findall(
    r"\w+",
    """really still maybe perhaps simply just again today now always often ever only also even rather quite mainly
    about around above against along among at before behind below beside between by despite during except from
    inside into near off on onto out outside over past per since through toward under until up upon via with
    within without fit fits cover covers take takes give gives hold holds keep keeps bring brings come comes go
    goes say says call calls write writes read reads find finds look looks see sees hear hears know knows think
    thinks mean means show shows tell make makes put puts get gets use uses need needs want wants like likes
    pass passes away leave leaves enter enters end ends start starts begin begins stop stops turn turns move
    moves live lives stay stays stand stands lie lies sit sits reach reaches meet meets touch touches join joins
    carry carries send sends pay pays buy sell count counts measure name names list lists point points match
    matches describe describes choose pick sort sorts replace swap change phone phoning calling writing reading
    finding looking using taking giving going coming having being saying telling naming good best better right
    proper correct exact usual common normal real true full whole short long big small large little main first
    last next other another same different new old certain single special general local national official person
    people man woman thing place part side way case fact point word term name number group class form line list
    time day year world country land home book page school teacher friend student table question answer reason
    example anyone someone anybody nobody everybody everyone something anything nothing everything somewhere
    anywhere we they he she you us them him her our your his their""",
)
