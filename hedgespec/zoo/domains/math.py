"""Word problems with numbers.

The item is the kind of problem, whose story differs from all others: every version of it, with
other names and numbers, stays on one side of the split.
"""

import random
import re
from collections.abc import Iterator

from hedgespec.zoo.domains.base import Item, TemplatedDomain, texts, wordings

_VERSIONS = 12  # of each problem, with names and numbers of their own

_NAMES = [
    "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Ida", "Jack", "Kate",
    "Leo", "Maria", "Noah", "Olivia", "Paul", "Rosa", "Sam", "Tina", "Victor", "Wendy", "Adam",
    "Bella", "Carlos", "Daisy", "Ethan", "Fiona", "George", "Hannah", "Ivan",
]

# [2-9] stands for a number drawn from that range.
_PROBLEMS = """
{name} buys [3-12] notebooks at [2-9] dollars each and pays with [120-200] dollars. How much change does {name} get?
{name} reads [12-40] pages a day. How many days does {name} need for a book of [240-800] pages?
A train travels at [60-120] km per hour for [2-9] hours. How far does it go?
A farmer has [12-60] hens, and each lays [3-6] eggs a week. How many dozens of eggs are there after [2-8] weeks?
{name} has [40-90] marbles and gives [5-30] of them to {other}. How many marbles does {name} have left?
A bakery sells [20-90] loaves in the morning and twice as many in the afternoon. How many loaves is that in [3-9] days?
A jacket costs [40-160] dollars and is reduced by [10-60] percent. What is its new price?
{name} saves [5-40] dollars a week. How many weeks does it take to save [200-900] dollars?
A rectangle is [4-30] cm long and [3-20] cm wide. What are its area and its perimeter?
A class of [20-36] pupils is [40-60] percent girls. How many girls and how many boys are in it?
{name} is [4-20] years older than {other}, and together they are [40-90] years old. How old is each of them?
A tank holds [200-900] liters and is filled at [10-30] liters per minute. How long does it take to fill it?
A recipe for [2-6] people needs [150-600] grams of flour. How much flour is needed for [8-20] people?
{name} runs [3-12] km on each of [3-6] days and [10-20] km on Sunday. How many km is that in a week?
A cinema has [12-30] rows of [10-24] seats, and [50-100] seats are empty. How many seats are taken?
A box holds [6-24] pencils. How many boxes are needed for [150-600] pencils?
{name} earns [12-30] dollars an hour and works [5-9] hours a day for [4-6] days. How much does {name} earn?
A car uses [5-10] liters of fuel per 100 km. How much fuel does it need for [150-900] km?
A shop mixes [2-9] kg of nuts at [8-15] dollars per kg with [2-9] kg at [3-7] dollars per kg. What does a kg of the mixture cost?
The sum of three consecutive numbers is [10-60] times 3. What are the numbers?
{name} puts [200-900] dollars in a bank at [2-9] percent simple interest a year. How much is there after [2-6] years?
A garden of [8-30] m by [6-20] m is fenced, and the fence costs [5-20] dollars per meter. What does the fence cost?
A school hires buses with [30-50] seats for [120-400] pupils. How many buses does it need?
{name} cuts a rope of [40-120] m into pieces of [2-8] m. How many pieces are there and how much rope is left?
A pool loses [2-9] liters of water an hour. How much water does it lose in [3-14] days?
A phone plan costs [10-30] dollars a month and [1-5] dollars for each GB. What does a month with [4-20] GB cost?
A cyclist rides [10-25] km per hour uphill for [2-5] hours and [30-45] km per hour downhill for [1-4] hours. What is the mean speed?
A hotel has [4-12] floors with [10-30] rooms each, and [60-90] percent of the rooms are taken. How many rooms are taken?
A bag has [3-9] red, [3-9] blue and [3-9] green balls. What is the probability of drawing a red ball?
{name} plants [6-20] rows of [8-25] tulips, but [10-40] tulips do not grow. How many tulips grow?
A worker paints a wall in [3-6] hours and another in [7-12] hours. How long do they need together?
Tickets cost [8-15] dollars for adults and [3-7] dollars for children. What do [2-9] adults and [3-12] children pay?
A cube has edges of [2-12] cm. What are its volume and its surface area?
The mean of five test scores is [60-90], and four of them are [50-70], [60-80], [70-90] and [55-95]. What is the fifth?
A plane leaves at [1-6] pm and flies [900-4000] km at [450-800] km per hour. When does it land?
{name} drinks [4-9] glasses of [200-300] ml of water each day. How many liters is that in [7-30] days?
A library has [400-900] books and buys [10-40] more each month. How many books does it have after [6-24] months?
A pizza is cut into [6-12] slices, and {name} eats [2-4] of them. What fraction and what percentage of the pizza is left?
Solve the equation [2-9]x + [3-20] = [30-90] for x.
Solve the equation [5-9](x - [2-8]) = [2-4]x + [10-40] for x.
Two numbers have the sum [40-90] and the difference [4-30]. What are the numbers?
{name} has [10-30] coins worth 5 or 10 cents, together [155-190] cents. What equations give the number of each coin?
A ladder of [5-13] m leans on a wall with its foot [2-4] m from the wall. How high does it reach?
A circle has a radius of [3-20] cm. What are its circumference and its area?
A triangle has a base of [6-30] cm and a height of [4-20] cm. What is its area?
A town of [2000-9000] people grows by [2-9] percent a year. How many people live there after two years?
A store buys a lamp for [20-60] dollars and sells it for [70-120] dollars. What is the profit in percent?
{name} scores [10-30] points in each of [3-8] games and [31-45] points in the last one. What is the mean score?
A map has a scale of 1 to [10000-50000]. How many km are [4-20] cm on the map?
A candle of [18-30] cm burns [1-3] cm an hour. How long is it after [2-6] hours?
A machine makes [20-90] parts an hour and [2-8] percent of them are faulty. How many good parts does it make in [6-12] hours?
{name} walks [2-6] km to school in [30-60] minutes. What is the speed in km per hour?
A theater sold [150-400] tickets at [8-20] dollars and paid [400-900] dollars for the hall. What is its profit?
A fruit stand sells [3-9] apples for [2-5] dollars. What do [20-60] apples cost?
A box of [10-30] cm by [8-20] cm by [4-15] cm is filled with cubes of 1 cubic cm. How many cubes fit?
A dog eats [200-500] grams of food a day. How long does a bag of [5-20] kg last?
A wheel with a circumference of [150-250] cm turns [100-900] times. How many meters does it roll?
{name} and {other} share [60-300] dollars in the ratio [2-5] to [6-9]. How much does each get?
The first term of an arithmetic sequence is [2-20] and the difference is [3-9]. What are the tenth term and the sum of the first ten terms?
The first term of a geometric sequence is [2-6] and the ratio is [2-4]. What are the fifth term and the sum of the first five terms?
In how many ways can {name} choose [2-4] books out of [6-10]?
In how many orders can [4-7] people stand in a line?
Two dice are thrown. What is the probability that the sum is [4-10]?
A coin is thrown [3-6] times. What is the probability of exactly two heads?
What are the greatest common divisor and the least common multiple of [12-60] and [18-90]?
A bus has [30-50] passengers; at a stop [5-15] leave and [4-18] enter, and at the next stop [3-9] leave. How many are on the bus?
{name} rents a boat for [15-30] dollars plus [6-12] dollars an hour. What do [3-9] hours cost?
A carpenter cuts [4-12] shelves of [40-90] cm from boards of 240 cm. How many boards are needed?
A bee visits [40-90] flowers in an hour. How many flowers do [6-20] bees visit in [2-9] hours?
{name} types [40-80] words a minute. How long does {name} need for [900-4000] words?
A clock loses [2-9] minutes a day. After how many days has it lost [1-4] hours?
A snail climbs [3-6] m by day and slips back [1-2] m by night. When does it reach the top of a well of [10-30] m?
A photo of [10-20] cm by [12-30] cm is enlarged by [2-5] times on each side. What is its new area?
A room of [3-8] m by [3-9] m is covered with tiles of 50 cm by 50 cm. How many tiles are needed?
An elevator carries [400-900] kg. How many boxes of [15-45] kg can it carry at once?
{name} has [3-9] shirts, [2-6] trousers and [2-4] hats. How many different outfits are there?
A fisherman catches [12-40] fish a day and sells them for [3-8] dollars each. What does he earn in [5-20] days?
A river flows at [2-5] km per hour and a boat does [10-20] km per hour in still water. How long does it take for [20-60] km upstream?
Two trains [200-900] km apart drive toward each other at [60-90] and [70-110] km per hour. When do they meet?
A thief runs at [5-8] m per second and a guard [20-60] m behind runs at [9-12] m per second. When does the guard catch him?
A solution of [2-9] liters has [10-40] percent salt. How much water must be added for a solution of 5 percent?
{name} got [40-70] percent of [20-60] questions right. How many more right answers were needed for 80 percent?
The angles of a triangle are in the ratio [1-3] to [2-5] to [3-7]. How large is each angle?
A team won [10-30] of [31-50] games. What percentage of its games did it win and lose?
A print shop takes [5-15] dollars for the setup and [2-9] cents per page. What do [300-900] pages cost?
A spring is [10-20] cm long and stretches [1-4] cm for every kg. How long is it with [3-9] kg?
A baker needs [2-5] eggs for a cake and has [30-90] eggs. How many cakes can be made, and how many eggs are left?
A parking garage takes [3-6] dollars for the first hour and [1-3] dollars for each further one. What do [4-12] hours cost?
{name} mows [3-8] lawns a day at [10-25] dollars each and spends [10-30] dollars a week on fuel. What is earned in a week of five days?
A concert hall sold [60-90] percent of its [400-2000] seats. How many seats are still free?
A swarm of [100-500] bacteria doubles every [2-6] hours. How many are there after [12-24] hours?
A laptop that cost [600-1500] dollars loses [10-30] percent of its value each year. What is it worth after two years?
{name} mixes [2-6] cups of juice with [3-9] cups of water. What percentage of the drink is juice?
A fence has a post every [2-5] m and is [40-120] m long. How many posts does it have?
An hour of tennis costs [12-30] dollars, shared by [2-4] players. What does each player pay for [5-20] hours?
A number is multiplied by [2-9], then [5-40] is added, and the result is [60-150]. What is the number?
A truck carries [3-9] tons on each of [4-12] trips a day. How many days does it need for [200-900] tons?
{name} spends a third of [90-600] dollars on food and a quarter of the rest on books. How much is left?
A photocopier makes [20-60] copies a minute, and a newer one makes twice as many. How long do both need for [600-3000] copies?
A square has a perimeter of [16-120] cm. What is its area?
A cylinder has a radius of [2-9] cm and a height of [5-20] cm. What is its volume?
A shelter has [20-60] cats and dogs, with [4-18] more cats than dogs. How many cats and how many dogs are there?
A shop gives one free pen for every [4-9] pens bought. How many pens must {name} pay for to get [30-90] pens?
A day at a fair costs [5-15] dollars to enter and [2-5] dollars per ride. How many rides can {name} take with [40-90] dollars?
A plumber charges [30-60] dollars for the visit and [20-50] dollars an hour. For how many hours does {name} pay [200-500] dollars?
A sheet of paper is [1-3] tenths of a mm thick. How high is a stack of [500-4000] sheets?
An orchard has [8-20] rows of [10-30] trees, and a tree bears [40-90] kg of apples. How many tons of apples are there?
A scale shows [60-120] kg for {name} and {other} together, and {name} weighs [4-20] kg more. How much does each weigh?
A well is dug [2-5] m deep on the first day and [1-2] m on every further day. How deep is it after [5-15] days?
"""  # noqa: E501

_OPENINGS = [
    "Solve step by step: {problem}",
    "Solve this problem step by step: {problem}",
]
_ENDINGS = [
    "Number the steps, write the calculation of each step, and check the answer at the end.",
    "Number the steps, explain the calculation of each step, and then solve a similar problem with "
    "other numbers in the same way.",
]


def _items() -> Iterator[Item]:
    for problem in texts(_PROBLEMS):
        prompts: list[str] = []
        for version in range(_VERSIONS):
            prompts += wordings(_OPENINGS, _ENDINGS, problem=_version(problem, version))
        yield Item(problem, tuple(prompts))


def _version(problem: str, version: int) -> str:
    """The problem with two names and with numbers, which depend on nothing but the arguments."""
    generator = random.Random(f"{version} {problem}")
    name, other = generator.sample(_NAMES, 2)

    def number(found: re.Match[str]) -> str:
        return str(generator.randint(int(found[1]), int(found[2])))

    numbered = re.sub(r"\[(\d+)-(\d+)\]", number, problem)
    return numbered.format(name=name, other=other)


DOMAIN = TemplatedDomain("math", _items)
