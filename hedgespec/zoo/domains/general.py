"""Everyday chat about everything that is no domain of its own: travel, cooking, stories, ..."""

from hedgespec.zoo.domains.base import Item, TemplatedDomain, topic_items

_PLACES = """
Paris
Rome
Venice
Barcelona
Lisbon
Vienna
Prague
Athens
Istanbul
Cairo
Cape Town
Tokyo
Kyoto
Bangkok
Bali
Sydney
New Zealand
Iceland
Norway
Scotland
Ireland
London
Amsterdam
Berlin
New York
San Francisco
Mexico City
Peru
Brazil
Morocco
the Greek islands
the Swiss Alps
"""
_DISHES = """
vegetable soup
lasagna
pizza from scratch
pancakes
an apple pie
a chocolate cake
banana bread
sourdough bread
fried rice
a chicken curry
a lentil stew
a fresh summer salad
mashed potatoes
roast chicken
grilled salmon
tomato sauce
mushroom risotto
tacos
sushi at home
spring rolls
an omelet
cheesecake
oatmeal cookies
strawberry jam
lemonade
hot chocolate
a vegetarian burger
baked beans
stuffed peppers
onion soup
"""
_SKILLS = """
play the guitar
play the piano
sing in a choir
paint with watercolors
draw portraits
take better photographs
knit a scarf
sew a simple bag
build a bookshelf
make pottery
play chess
juggle
dance salsa
run a first marathon
swim faster
ride a bicycle in the city
climb indoors
ski
do yoga at home
keep a diary
write a novel
speak in public
tell good stories
cook for a large family
bake bread
brew good coffee
organize a small home
save money every month
plan a week of meals
clean a kitchen quickly
pack a suitcase
wake up early
remember names
read more books
learn faster
stop procrastinating
manage time better
meditate
take notes in a meeting
prepare for a job interview
negotiate a salary
move to a new apartment
paint a room
fix a leaking tap
remove stains from clothes
iron a shirt
grow tomatoes on a balcony
look after houseplants
train a puppy
choose a gift
host a dinner party
plan a surprise party
plan a camping trip
read a map
sail a small boat
"""
_RELATIONS = """
a roommate who never cleans
a friend who is always late
a colleague who takes credit for the work of others
a boss who gives unclear instructions
a neighbor who plays loud music
a sibling who borrows money
a teenager who spends all day on the phone
a toddler who refuses to sleep
parents who want to be too involved
a partner who works too much
a friend who lives far away
a friend who has lost a job
a grandparent who feels lonely
a shy child at a new school
a guest who stays too long
a team that argues all the time
a new colleague who feels left out
a friend who cancels plans
a long-distance relationship
a breakup
a disagreement about money at home
a disagreement about chores
making new friends as an adult
saying no to a favor
apologizing to an old friend
homesickness
stage fright
loneliness in a new city
stress before exams
boredom at work
"""
_EMAILS = """
asking a boss for a day off
asking a colleague for help with a presentation
thanking a teacher at the end of the year
inviting friends to a barbecue
inviting neighbors to a street party
declining a wedding invitation politely
complaining about a late delivery
asking a hotel for a late check-out
asking for a refund of concert tickets
apologizing for a missed meeting
congratulating a colleague on a promotion
saying goodbye to a team after five years
welcoming a new member of a book club
announcing an office move
reminding a team of a deadline
asking for feedback on a draft
following up after a job interview
applying for a job in a bookshop
recommending a former colleague
asking a landlord to repair a window
telling a friend about a holiday
planning a family reunion
asking a library about opening hours
offering a used sofa for sale
thanking volunteers for their work
asking a band to play at a party
proposing a new project
asking a mentor for advice
explaining a delay to a customer
cancelling a gym membership
"""
_STORIES = """
a lost umbrella that finds its owner
an old clockmaker and his last clock
two sisters who inherit a lighthouse
a boy who can talk to the wind
a dragon who is afraid of heights
a librarian who discovers a secret room
a train that never arrives
a baker whose bread brings good luck
a robot that learns to paint
a knight who refuses to fight
a town where it always snows
a girl who collects lost keys
a musician who lost his melody
a letter that arrives fifty years late
a ghost who wants to be a cook
a fisherman who catches a star
a painter who paints the future
a travelling circus in winter
a chess game between strangers
an astronaut who misses the sea
a magic carpet in a modern city
a detective and a stolen cake
a queen who wants to be a gardener
a boat race between two villages
an old man and his kite
a night in an empty museum
a mountain hut in a storm
a tailor who sews wishes
a child who finds a map
the last bookshop in the world
a friendship between a giant and a mouse
a storyteller in a desert market
"""
_HISTORY = """
the building of the pyramids
ancient Athens
the Roman Empire
the fall of Rome
the Silk Road
the Vikings
the Middle Ages
the crusades
the Mongol Empire
the Renaissance
the invention of printing
the voyages of Columbus
the Inca Empire
the Aztecs
the Ottoman Empire
the Great Fire of London
the French Revolution
the age of Napoleon
the industrial revolution
the gold rush in California
the building of the railways
the sinking of the Titanic
the First World War
the roaring twenties
the Great Depression
the Second World War
the Cold War
the space race
the fall of the Berlin Wall
the history of the Olympic Games
the history of chess
the history of coffee
the history of the bicycle
the history of the cinema
the history of jazz
the history of fashion
"""
_OPINIONS = """
working from home
living in a big city
living in the countryside
owning a car
traveling alone
travelling by train
learning an instrument as an adult
reading paper books
social media
online shopping
school uniforms
homework
a four-day week
owning a pet
renting a home
having many friends
watching television every day
video games
team sports
fast fashion
eating in restaurants
cooking at home
getting up early
keeping a budget
volunteering
studying abroad
open-plan offices
video meetings
self-driving cars
artificial intelligence in everyday life
electric cars
public transport
tourism for small towns
handwritten letters
minimalism
"""
_HOBBIES = """
stamp collecting
birdwatching
astronomy with a small telescope
model railways
board games
crossword puzzles
origami
calligraphy
candle making
woodworking
flower arranging
gardening
hiking
fishing
surfing
skateboarding
archery
table tennis
badminton
tennis
football
basketball
volleyball
rowing
horse riding
ballet
amateur theater
stand-up comedy
magic tricks
blogging
podcasting
collecting vinyl records
visiting museums
home brewing
baking
"""

_ENDINGS = [
    "Give details and examples.",
    "Write at least four paragraphs.",
    "Please be thorough and friendly.",
    "Make it lively and easy to read.",
    "I would like a long and complete answer.",
]

# Each kind: what it is about, and ways to ask.
_KINDS = [
    (_PLACES, [
        "I am going to visit {topic} for five days. Can you suggest a plan for each day?",
        "What should a traveller see, eat and do in {topic}?",
        "Write a travel blog post about a week in {topic}.",
        "My parents dream of a holiday in {topic}. What should they know before they go?",
    ]),
    (_DISHES, [
        "How do I make {topic}? Give the ingredients and the steps.",
        "I have never cooked before and want to make {topic}. Can you guide me?",
        "Write a blog post about making {topic} with friends.",
        "What are the secrets of making really good {topic}?",
    ]),
    (_SKILLS, [
        "How can I learn to {topic}?",
        "I want to {topic}. Where do I start, and which mistakes should I avoid?",
        "Give me ten tips for somebody who wants to {topic}.",
        "Write a guide for beginners on how to {topic}.",
    ]),
    (_RELATIONS, [
        "How would you deal with {topic}?",
        "I need some advice about {topic}. What can I do?",
        "Write an advice column about {topic}.",
        "What would a wise friend say about {topic}?",
    ]),
    (_EMAILS, [
        "Write an email {topic}.",
        "Help me with the wording of a polite message {topic}.",
        "Write a warm letter {topic}, and explain how you chose the words.",
        "Write two versions of an email {topic}, a formal one and a casual one.",
    ]),
    (_STORIES, [
        "Tell me a story about {topic}.",
        "Write a bedtime story about {topic}.",
        "Write the first chapter of a novel about {topic}.",
        "Write a dialogue between two characters in a tale about {topic}.",
    ]),
    (_HISTORY, [
        "Tell me about {topic}.",
        "Why was {topic} important, and what came of it?",
        "Describe {topic} as if you had been there.",
        "What are the most surprising things about {topic}?",
    ]),
    (_OPINIONS, [
        "What are the advantages and disadvantages of {topic}?",
        "What do you think about {topic}?",
        "Write a short essay about {topic}.",
        "Two friends disagree about {topic}. Write their conversation.",
    ]),
    (_HOBBIES, [
        "Why do people enjoy {topic}, and how can I start?",
        "What equipment and habits does a beginner in {topic} need?",
        "Write a cheerful article about {topic}.",
        "Describe a day in the life of somebody who loves {topic}.",
    ]),
]


def _items() -> list[Item]:
    return [
        item for topics, openings in _KINDS for item in topic_items(topics, openings, _ENDINGS)
    ]


DOMAIN = TemplatedDomain("general", _items)
