"""Short English sentences to translate into French and to explain word by word.

The item is a group of sentences on one theme; it stays on one side of the split.
"""

from collections.abc import Iterator

from hedgespec.zoo.domains.base import Item, TemplatedDomain, texts, wordings

# A line is a group.
_GROUPS = """
The train leaves at eight o'clock. | We are waiting on the platform. | The ticket costs twenty euros.
The bus is late this morning. | The driver opens the door. | There are no free seats.
My plane lands at noon. | I have two heavy suitcases. | Where is the exit of the airport?
I would like a table for two. | The soup of the day is very good. | Could you bring the bill, please?
My mother makes a chocolate cake. | She mixes the flour with the eggs. | The cake is in the oven.
We buy bread every morning. | The baker knows our names. | His bread is still warm.
The market opens on Saturday. | The tomatoes are red and sweet. | How much are the strawberries?
My brother drinks coffee without sugar. | I prefer green tea. | There is no milk left.
The house has three bedrooms. | The kitchen is small but bright. | The garden is behind the house.
The chair is next to the window. | My books are on the table. | The lamp does not work.
I clean my room on Sunday. | You wash the dishes after dinner. | He takes out the trash.
My grandmother lives in the country. | She has a black cat. | We visit her every summer.
My father works in an office. | My sister is still a student. | Our family is not very large.
The baby sleeps in the small bed. | Do not make any noise. | His mother sings a soft song.
My best friend is called Julie. | We went to the same school. | She always makes me laugh.
The teacher writes on the board. | The pupils listen in silence. | The lesson ends at four.
I forgot my pencil at home. | Can you lend me a pen? | My notebook is full.
The exam was difficult. | I studied all night. | I hope for a good grade.
The library is closed on Monday. | You can return the books tomorrow. | I am looking for a novel.
He reads the newspaper every day. | The news is not good. | She only reads the sports page.
It is raining again today. | Take your umbrella with you. | The sun will shine tomorrow.
It is snowing in the mountains. | The road is covered with ice. | The children build a snowman.
The wind is very strong tonight. | The leaves fall from the trees. | Autumn is my favorite season.
It is too hot in summer. | We swim in the lake. | The water is clear and cool.
The beach is full of people. | The children play in the sand. | The waves are high today.
The dog runs in the park. | He brings back the ball. | He is a good dog.
The cat sleeps on the sofa. | She catches mice at night. | She does not like the rain.
The horse eats the green grass. | The farmer feeds the cows. | The hens lay eggs every day.
A bird sings in the tree. | Its nest is high up. | The young birds are hungry.
The fish swims in the river. | My uncle has a small boat. | He goes fishing on Friday.
I bought a new shirt. | This coat is too expensive. | These shoes are not my size.
She wears a red dress. | He lost his black hat. | My gloves are in the car.
The shop closes at seven. | Can I pay by card? | I will keep the receipt.
I need a small gift. | She likes blue flowers. | Please wrap it in paper.
The car does not start. | The garage is around the corner. | The repair takes two days.
He rides his bicycle to work. | The path follows the canal. | It is good for the health.
Turn left at the traffic light. | The museum is straight ahead. | It is a five-minute walk.
I am lost in the city. | Do you have a map? | Which street is this?
The hotel is near the station. | The room has a view of the sea. | Breakfast is served until ten.
I have reserved a room. | We are staying for three nights. | Where can I leave the key?
We are going to Paris in spring. | I want to see the old bridges. | My friend lives there.
They traveled across Italy. | They slept in small villages. | They took many pictures.
The castle is very old. | A king lived here long ago. | The walls are made of stone.
The church stands on a hill. | Its bells ring at noon. | The windows are colorful.
The concert begins at nine. | The hall is already full. | The musicians enter the stage.
She plays the piano very well. | He is learning the guitar. | They practice every evening.
I love this old song. | The singer has a beautiful voice. | Everyone knows the words.
We saw a film yesterday. | The end was very sad. | The actors were excellent.
The painter works in the morning. | His pictures are full of light. | He sold three of them.
They dance until midnight. | The music is loud. | Nobody wants to go home.
The team won the match. | The goalkeeper was very good. | The fans sang in the street.
I run every morning. | He swims twice a week. | She climbs high mountains.
We play cards after dinner. | My cousin always wins. | The rules are very simple.
The children play in the garden. | They hide behind the tree. | Their dog looks for them.
The doll has blue eyes. | The little train is made of wood. | The toys are in a box.
Happy birthday, my dear friend. | You are twenty years old today. | Here is your present.
We are celebrating the new year. | The whole family is here. | The table is beautifully set.
They are getting married in June. | The bride wears a white dress. | The guests dance all night.
I wrote a long letter. | The stamp is missing. | The postman comes at ten.
She answers the telephone. | The line is bad. | Please call me back later.
I am sending you a message. | My computer is very slow. | I forgot the password.
The meeting starts in ten minutes. | The director is not here yet. | We have a lot to discuss.
He is looking for a job. | She found work in a bank. | Her first day is on Monday.
The factory makes furniture. | The workers start at six. | They have a break at noon.
The gardener plants roses. | The grass needs water. | The flowers smell wonderful.
We picked apples in the orchard. | The baskets are heavy. | Grandfather makes cider.
The farmer gets up early. | He sells milk and cheese. | His fields are large.
The forest is quiet in winter. | We follow the narrow path. | I can see the tracks of a fox.
The mountain is covered with snow. | The climb takes six hours. | We rest in a small hut.
The river flows through the town. | An old bridge crosses it. | Boats pass underneath.
The stars shine at night. | The moon is full tonight. | We look at the sky together.
The sun rises in the east. | The day begins slowly. | The birds are already awake.
I get up at seven. | I brush my teeth. | Then I eat breakfast.
She goes to bed late. | She reads before sleeping. | The light stays on.
I am very tired today. | I slept badly last night. | I need a day of rest.
He is happy about the news. | She cries with joy. | They embrace each other.
I am afraid of the dark. | He is not afraid of anything. | Courage is a great quality.
I am sorry about yesterday. | I did not mean it. | Please forgive me.
Thank you for your help. | You are very kind. | I will never forget it.
Good morning, how are you? | I am fine, thank you. | See you this evening.
What is your name? | Where do you come from? | I am glad to meet you.
Do you speak French? | I understand a little. | Please speak more slowly.
What time is it? | It is a quarter past three. | My watch is five minutes fast.
Today is Tuesday. | Yesterday was a holiday. | The week passes quickly.
My birthday is in March. | It is cold in January. | We leave in September.
There are seven days in a week. | I have four brothers. | She counts to one hundred.
The sky is blue. | The grass is green. | Lemons are yellow.
He is taller than his father. | She is the youngest of us. | This bag is heavier than mine.
The key is under the mat. | The door is locked. | Somebody is inside.
The window is broken. | The wind blew all night. | We must call a carpenter.
The city is noisy at night. | The streets are full of light. | I dream of a quiet village.
The old man sits on a bench. | He feeds the pigeons. | He comes here every day.
A young woman waits at the corner. | She looks at her watch. | Her friend is late again.
The boy lost a tooth. | He shows it to his mother. | He is very proud.
The girl draws a house. | She colors the roof red. | A cat sits in front of it.
The neighbor plays loud music. | The walls are thin. | I cannot fall asleep.
We moved into a new apartment. | The boxes are everywhere. | The curtains are still missing.
I painted the wall white. | The paint is not dry. | Do not touch it.
The chef tastes the sauce. | He adds a little salt. | The guests are waiting.
We had fish and rice. | The dessert was delicious. | The wine came from the south.
I do not eat meat. | I like vegetables and fruit. | Do you have a menu?
The cheese is in the fridge. | The butter is on the plate. | We need fresh eggs.
The child eats a pear. | The juice runs down his chin. | He asks for another one.
The grapes are ripe. | The harvest begins next week. | The whole village helps.
The bees make honey. | The jar is almost empty. | I put it in my tea.
The fire burns in the fireplace. | It is warm in the room. | Grandmother tells a story.
Once upon a time there was a princess. | She lived in a tall tower. | A dragon guarded the door.
The wolf met a little girl. | She wore a red hood. | The forest was dark.
The sailor returned home. | He had seen many countries. | His wife was waiting at the harbor.
The ship leaves the port. | The sea is calm today. | The captain looks at the map.
The island is small and green. | Only ten people live there. | The ferry comes once a week.
The photographer takes a picture. | Everybody must smile. | The light is perfect.
She lost her glasses. | They were on her head. | We all laughed.
He forgot our appointment. | I waited for an hour. | He bought me dinner.
The student lives in a small room. | The rent is very high. | She works in a cafe.
I saved some money. | I want to buy a bicycle. | The red one is cheaper.
The thief ran away. | A policeman saw him. | The bag was found.
The clock stopped at midnight. | Nobody noticed it. | We arrived too late.
The bottle is empty. | The glass is half full. | I am thirsty.
The bridge is closed today. | We must take another road. | It will take longer.
The tourists visit the cathedral. | The guide speaks softly. | Photographs are not allowed.
The postcard shows a lighthouse. | My aunt sent it from Brittany. | I put it on the wall.
I learned ten new words. | I repeat them every evening. | Learning a language takes time.
He tells the truth. | Nobody believes him. | Time will show it.
She opens the letter slowly. | Her hands are trembling. | It is good news.
The festival lasts three days. | The streets are decorated. | People come from far away.
The tailor makes a suit. | He measures the sleeves. | It will be ready on Thursday.
The hairdresser cuts my hair. | It is shorter than before. | I like it very much.
The carpenter builds a table. | The wood comes from an oak. | It will last for years.
The lift is out of order. | We take the stairs. | I live on the fifth floor.
The swimming pool is open. | The water is too cold. | The children do not mind.
The tent is near the lake. | We cook over a fire. | The mosquitoes are terrible.
The balloon rises into the sky. | The people look very small. | The view is magnificent.
"""  # noqa: E501

_GROUP_OPENINGS = [
    "Translate these sentences into French:\n{sentences}\nFirst give the French translation of "
    "each sentence, then",
    "Translate each of these English sentences into French:\n{sentences}\nWrite the French "
    "sentences first, then",
]
_SENTENCE_OPENINGS = [
    'Translate into French: "{sentence}" First give the French translation, then',
    'Translate this English sentence into French: "{sentence}" Write the French sentence first, '
    "then",
]
_ENDINGS = [
    "list every French word with its English meaning, one word per line.",
    "explain in English the meaning and the grammar of each French word, one word per line.",
    "list each French word with its English meaning, and write another French sentence with it.",
]


def _items() -> Iterator[Item]:
    for group in texts(_GROUPS):
        sentences = group.split(" | ")
        listed = "\n".join(f"{number}. {text}" for number, text in enumerate(sentences, start=1))
        prompts = list(wordings(_GROUP_OPENINGS, _ENDINGS, sentences=listed))
        for sentence in sentences:
            prompts += wordings(_SENTENCE_OPENINGS, _ENDINGS, sentence=sentence)
        yield Item(group, tuple(prompts))


DOMAIN = TemplatedDomain("translation", _items)
