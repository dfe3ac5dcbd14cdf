"""Queries on given tables: own tables and those of Spider, in the same words.

The item is the table (for Spider the set of tables): all questions about it stay on one side.
"""

import re
from collections.abc import Iterator

from hedgespec.zoo.domains.base import Item, TemplatedDomain, texts, wordings
from hedgespec.zoo.packages import evals_samples

# Table, name of a row, two columns to group by, two to calculate with, a date.
_TABLES = """
employees name department city salary age hired_on
customers name country segment total_spent visits joined_on
orders order_code status region amount items ordered_on
products title category brand price stock added_on
students name major dormitory grade_average credits enrolled_on
teachers name subject school salary years_taught hired_on
courses title faculty level credits seats starts_on
books title genre publisher pages price published_on
authors name country genre books_written awards born_on
movies title genre director budget rating released_on
actors name country agency films salary born_on
songs title artist genre seconds plays released_on
albums title artist label tracks sales released_on
concerts title city artist tickets price held_on
patients name ward doctor weight age admitted_on
doctors name specialty clinic salary patients_seen hired_on
flights flight_code origin destination distance passengers departed_on
airports name city country runways passengers opened_on
trains train_code origin destination speed seats departed_on
buses bus_code route depot mileage seats bought_on
cars model maker color price mileage sold_on
bicycles model maker frame price weight sold_on
ships name ship_type harbor length crew launched_on
hotels name city chain stars rooms opened_on
bookings guest hotel room_type nights price booked_on
restaurants name city cuisine rating seats opened_on
dishes name menu chef calories price added_on
recipes title cuisine course minutes calories written_on
ingredients name supplier food_group price stock expires_on
suppliers name country sector revenue rating contracted_on
invoices invoice_code client status amount discount issued_on
payments payment_code method currency amount fee paid_on
accounts owner account_type branch balance interest opened_on
loans borrower purpose branch amount rate granted_on
branches name city manager employees deposits opened_on
transactions transaction_code account_type currency amount fee posted_on
houses address city house_type price rooms built_on
apartments address city landlord rent rooms listed_on
tenants name building city rent deposit moved_in_on
buildings name city architect floors height built_on
cities name country climate population area founded_on
countries name continent currency population area founded_on
rivers name country basin length depth surveyed_on
mountains name country range height climbers first_climbed_on
lakes name country lake_type area depth surveyed_on
islands name ocean country area population surveyed_on
parks name city park_type area visitors opened_on
museums name city theme exhibits visitors opened_on
paintings title artist style width price painted_on
sculptures title artist material height weight finished_on
galleries name city owner works visitors opened_on
exhibitions title museum curator works visitors opened_on
players name team position goals salary born_on
teams name city league wins points founded_on
matches match_code stadium tournament goals spectators played_on
coaches name team nationality wins salary hired_on
stadiums name city surface capacity concerts opened_on
athletes name country sport medals height born_on
races title city distance_class runners prize_money held_on
tournaments title sport country teams prize_money held_on
gyms name city chain members monthly_fee opened_on
members name club city visits monthly_fee joined_on
workouts workout_code athlete workout_type minutes calories done_on
horses name breed stable wins weight born_on
dogs name breed kennel weight age born_on
cats name breed shelter weight age adopted_on
animals name species enclosure weight age arrived_on
zoos name city country animals_kept visitors opened_on
farms name region crop hectares workers founded_on
crops name farm season yield price harvested_on
fields name farm soil hectares slope sown_on
tractors model maker farm horsepower price bought_on
orchards name region fruit trees hectares planted_on
trees tree_code species district height age planted_on
gardens name city style area visitors opened_on
wineries name region owner hectares bottles founded_on
wines name winery grape price score bottled_on
beers name brewery style strength price brewed_on
breweries name city owner beers_made workers founded_on
cafes name city owner seats rating opened_on
bakeries name city owner ovens revenue opened_on
cakes name bakery flavor price calories baked_on
stores name city manager revenue area opened_on
sales sale_code product_group store units amount sold_on
returns return_code reason store units refund returned_on
shipments shipment_code carrier destination weight cost shipped_on
warehouses name city manager area pallets opened_on
carriers name country transport_mode vehicles revenue founded_on
parcels parcel_code carrier city weight postage sent_on
drivers name depot license_class trips salary hired_on
trips trip_code driver city distance fare started_on
taxis plate company city mileage fares registered_on
stations name city line platforms passengers opened_on
routes route_code operator region stops distance opened_on
bridges name city bridge_type length cost opened_on
tunnels name country purpose length cost opened_on
dams name river country height capacity finished_on
power_plants name country fuel capacity workers opened_on
mines name country mineral depth workers opened_on
factories name city product_line workers output opened_on
machines machine_code factory machine_type price hours_run installed_on
repairs repair_code technician machine_type hours cost repaired_on
technicians name team certificate salary repairs_done hired_on
sensors sensor_code sensor_type building reading battery installed_on
devices device_code maker room power price installed_on
phones model maker system price storage released_on
laptops model maker processor price weight released_on
printers model maker office pages_printed price bought_on
servers hostname datacenter system memory disk installed_on
websites address owner topic visitors pages launched_on
articles title author section words views published_on
posts title author topic likes comments posted_on
comments comment_code author language length likes written_on
users username country plan logins points registered_on
subscriptions subscriber plan country price months started_on
podcasts title host topic episodes listeners launched_on
episodes title podcast guest minutes downloads aired_on
videos title channel topic seconds views uploaded_on
channels name owner topic subscribers videos_made created_on
games title genre studio price copies_sold released_on
studios name city owner employees games_made founded_on
levels title game difficulty enemies minutes added_on
apps name developer category downloads rating released_on
bugs bug_code project severity hours reports reported_on
projects title client manager budget hours started_on
tasks title project assignee hours points due_on
meetings title room organizer minutes guests held_on
offices name city floor_plan desks rent opened_on
contracts contract_code client contract_type amount months signed_on
clients name sector country revenue employees signed_on
companies name sector country revenue employees founded_on
startups name sector city funding employees founded_on
investors name country sector capital deals founded_on
donations donor campaign city amount gifts donated_on
charities name cause city budget volunteers founded_on
volunteers name charity city hours age joined_on
events title city organizer tickets price held_on
tickets ticket_code event seat_class price fee bought_on
festivals title city theme visitors stages held_on
theaters name city owner seats shows opened_on
plays title theater director actors minutes premiered_on
dancers name company style performances age joined_on
orchestras name city conductor musicians concerts founded_on
instruments name maker instrument_type price weight built_on
schools name district principal pupils teachers founded_on
libraries name city director volumes visitors opened_on
borrowings borrower library book_genre days fine borrowed_on
exams exam_code subject room candidates mean_score held_on
scholarships title university field amount winners awarded_on
universities name city country students fees founded_on
laboratories name university field researchers budget opened_on
experiments title laboratory method samples cost started_on
satellites name country orbit weight cost launched_on
rockets name maker fuel height payload first_flown_on
missions title agency destination crew cost launched_on
planets name star planet_type mass moons discovered_on
storms name ocean category wind_speed damage formed_on
earthquakes quake_code country region magnitude depth occurred_on
volcanoes name country volcano_type height eruptions last_erupted_on
observations observation_code station instrument temperature humidity taken_on
elections election_code region winner voters turnout held_on
mayors name city party votes age elected_on
"""

_ASKS = """
lists the {name} and {first} of every row with a {first} above the average
counts the rows for each {group}, most first
shows the average {first} for each {group} in descending order
returns the ten rows with the highest {first}
shows the total {second} for each {other} where the total is more than 100
lists the {name} of the row with the highest {second} in each {group}
shows the lowest and the highest {first} for each {other}
counts the rows for each year of {day}
returns the {name}, {group} and {day} of the five latest rows
shows each {group} with the number of different values of {other}
lists every {group} whose average {second} is above the average {second} of all rows
ranks the rows by {first} within each {other}
"""

_OPENINGS = [
    "Given the table {tables}, write an SQL query that {ask}.",
    "Given the table {tables}, write and explain an SQL query that {ask}.",
]
_ENDINGS = [
    "Show the query, then explain each clause step by step and give an example of its result.",
    "Show the query, explain what SELECT, FROM and every other clause does, and show a sample "
    "result.",
]
_SPIDER_OPENINGS = [
    'Given the tables {tables}, write an SQL query that answers the question "{ask}"',
]


def _items() -> Iterator[Item]:
    for line in texts(_TABLES):
        table, name, group, other, first, second, day = line.split()
        tables = f"{table} (id, {name}, {group}, {other}, {first}, {second}, {day})"
        prompts: list[str] = []
        for ask in texts(_ASKS):
            asked = ask.format(
                name=name, group=group, other=other, first=first, second=second, day=day
            )
            prompts += wordings(_OPENINGS, _ENDINGS, tables=tables, ask=asked)
        yield Item(table, tuple(prompts))
    for sample in evals_samples("sql/spider_sql.jsonl"):
        text = sample["input"][0]["content"]
        found = re.findall(r"^Table: (\S+)\. Columns: (.*)$", text, re.MULTILINE)
        tables = ", ".join(f"{table} ({_without_types(columns)})" for table, columns in found)
        ask = text.partition("Question: ")[2].strip()
        key = " ".join(sorted(table for table, _ in found))
        yield Item(key, wordings(_SPIDER_OPENINGS, _ENDINGS, tables=tables, ask=ask))


def _without_types(columns: str) -> str:
    return re.sub(r" \([^)]*\)", "", columns)


DOMAIN = TemplatedDomain("sql", _items)
