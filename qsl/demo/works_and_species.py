"""The relations of companies, ships, novels and buildings (see `templates`)."""

from __future__ import annotations

from qsl.demo import values
from qsl.demo.templates import SubjectKind, relation

_LANGUAGES = values.one_of(
    "Latin Danish Czech Polish Greek Dutch Finnish Welsh Hungarian Catalan Turkish Persian Irish"
)
_MATERIALS = values.one_of(
    "granite marble brick sandstone limestone oak steel concrete slate basalt copper timber clay"
)

COMPANY = SubjectKind(
    "the company",
    (
        relation(
            values.person,
            "{s} was founded by {v} | {s} was the work of its founder {v} | {v} founded {s}",
            "Who founded {s} | Who was the founder of {s} | By whom was {s} founded",
        ),
        relation(
            values.year(1750, 1890),
            "{s} was established in {v} | {s} opened for business in {v} | the first year of {s} was {v}",
            "When was {s} established | In what year did {s} open | What was the first year of {s}",
        ),
        relation(
            values.place,
            "{s} has its headquarters in {v} | {s} is based in {v} | the main office of {s} is in {v}",
            "Where is {s} based | Where are the headquarters of {s} | Where is the main office of {s}",
        ),
        relation(
            values.goods,
            "{s} makes {v} | {s} is a manufacturer of {v} | {s} produces {v}",
            "What does {s} make | Which goods does {s} produce | Of what is {s} a manufacturer",
        ),
        relation(
            values.count(1, 10, 100),
            "{s} employs {v} workers | {s} has a staff of {v} | the staff of {s} numbers {v}",
            "How many workers does {s} employ | How large is the staff of {s} | What is the staff of {s}",
        ),
        relation(
            values.money,
            "{s} earned {v} | {s} reported a revenue of {v} | the revenue of {s} came to {v}",
            "How much did {s} earn | What was the revenue of {s} | What revenue did {s} report",
        ),
        relation(
            values.company,
            "{s} was bought by {v} | {s} was taken over by {v} | {v} bought {s}",
            "Who bought {s} | By whom was {s} taken over | By whom was {s} bought",
        ),
        relation(
            values.person,
            "{s} is led by {v} | {s} has a director called {v} | the director of {s} is {v}",
            "Who leads {s} | Who is the director of {s} | By whom is {s} led",
        ),
        relation(
            values.prize,
            "{s} won {v} | {s} was the winner of {v} | {v} went to {s}",
            "What did {s} win | Which award went to {s} | Of what was {s} the winner",
        ),
        relation(
            values.date(1900, 1999),
            "{s} closed its factory on {v} | the factory of {s} was closed on {v}",
            "When did {s} close its factory | On what date was the factory of {s} closed",
        ),
    ),
)

SHIP = SubjectKind(
    "the ship",
    (
        relation(
            values.place,
            "{s} was built in {v} | {s} came from a yard in {v} | the yard that built {s} was in {v}",
            "Where was {s} built | In which place was {s} built | Where was the yard that built {s}",
        ),
        relation(
            values.date(1840, 1899),
            "{s} was launched on {v} | the launch of {s} took place on {v}",
            "When was {s} launched | On what date was {s} launched | What was the date of the launch of {s}",
        ),
        relation(
            values.person,
            "{s} was commanded by {v} | {s} sailed under {v} | the captain of {s} was {v}",
            "Who commanded {s} | Who was the captain of {s} | Under whom did {s} sail",
        ),
        relation(
            values.metres(21, 290),
            "{s} was {v} long | {s} had a length of {v} | the length of {s} was {v}",
            "How long was {s} | What was the length of {s}",
        ),
        relation(
            values.count(1, 10),
            "{s} had a crew of {v} | {s} carried {v} sailors | the crew of {s} numbered {v}",
            "How many sailors did {s} carry | How large was the crew of {s} | What was the crew of {s}",
        ),
        relation(
            values.goods,
            "{s} carried a cargo of {v} | {s} was loaded with {v} | the cargo of {s} was {v}",
            "What was the cargo of {s} | With what was {s} loaded | Which cargo did {s} carry",
        ),
        relation(
            values.year(1900, 1950),
            "{s} sank in {v} | {s} was lost in {v} | the loss of {s} came in {v}",
            "In what year did {s} sink | When was {s} lost | When did {s} sink",
        ),
        relation(
            values.disaster,
            "{s} was damaged by {v} | {v} damaged {s}",
            "What damaged {s} | By what was {s} damaged",
        ),
        relation(
            values.company,
            "{s} belonged to {v} | {s} was owned by {v} | the owner of {s} was {v}",
            "Who owned {s} | To whom did {s} belong | Who was the owner of {s}",
        ),
        relation(
            values.money,
            "{s} was sold for {v} | {s} fetched a price of {v} | the sale of {s} brought {v}",
            "For how much was {s} sold | What price did {s} fetch | How much did the sale of {s} bring",
        ),
    ),
)

NOVEL = SubjectKind(
    "the novel",
    (
        relation(
            values.person,
            "{s} was written by {v} | {s} is a work by {v} | the author of {s} is {v} | {v} wrote {s}",
            "Who wrote {s} | Who is the author of {s} | By whom was {s} written",
        ),
        relation(
            values.year(1750, 1890),
            "{s} was published in {v} | {s} appeared in {v} | the first edition of {s} dates from {v}",
            "In what year was {s} published | When did {s} appear | When was the first edition of {s}",
        ),
        relation(
            values.company,
            "{s} was printed by {v} | {s} was issued by {v} | the publisher of {s} was {v}",
            "Who printed {s} | Who was the publisher of {s} | By whom was {s} issued",
        ),
        relation(
            values.place,
            "{s} is set in {v} | {s} takes place in {v} | the story of {s} unfolds in {v}",
            "Where is {s} set | Where does {s} take place | Where does the story of {s} unfold",
        ),
        relation(
            _LANGUAGES,
            "{s} was translated into {v} | {s} exists in {v} | there is a translation of {s} into {v}",
            "Into which language was {s} translated | In which language does a translation of {s} exist",
        ),
        relation(
            values.count(100, 1000),
            "{s} sold {v} copies | {s} reached a sale of {v} copies | {v} copies of {s} were sold",
            "How many copies did {s} sell | How many copies of {s} were sold | What sale did {s} reach",
        ),
        relation(
            values.prize,
            "{s} won {v} | {s} was honoured with {v} | {v} went to {s}",
            "What did {s} win | With what was {s} honoured | Which award went to {s}",
        ),
        relation(
            values.person,
            "{s} is dedicated to {v} | {s} bears a dedication to {v} | the dedication of {s} names {v}",
            "To whom is {s} dedicated | Who is named in the dedication of {s}",
        ),
        relation(
            values.trouble,
            "{s} tells of {v} | {s} opens with {v} | the theme of {s} is {v}",
            "What does {s} tell of | With what does {s} open | What is the theme of {s}",
        ),
        relation(
            values.date(1891, 1960),
            "{s} was banned on {v} | the ban on {s} came on {v}",
            "When was {s} banned | On what date was {s} banned | When did the ban on {s} come",
        ),
    ),
)

BUILDING = SubjectKind(
    "the building",
    (
        relation(
            values.person,
            "{s} was designed by {v} | {s} is the work of the architect {v} | the architect of {s} was {v}",
            "Who designed {s} | Who was the architect of {s} | By whom was {s} designed",
        ),
        relation(
            values.date(1800, 1899),
            "{s} was opened on {v} | the opening of {s} took place on {v}",
            "When was {s} opened | On what date was {s} opened | What was the date of the opening of {s}",
        ),
        relation(
            values.money,
            "{s} cost {v} | {s} was built at a cost of {v} | the cost of {s} came to {v}",
            "How much did {s} cost | What was the cost of {s}",
        ),
        relation(
            values.metres(12, 320),
            "{s} is {v} tall | {s} rises to a height of {v} | the height of {s} is {v}",
            "How tall is {s} | What is the height of {s} | To what height does {s} rise",
        ),
        relation(
            _MATERIALS,
            "{s} is made of {v} | {s} was built from {v} | the walls of {s} are of {v}",
            "What is {s} made of | From which material was {s} built | Of what are the walls of {s}",
        ),
        relation(
            values.count(100, 1000, 10000),
            "{s} receives {v} visitors a year | {s} draws {v} visitors | the visitors of {s} number {v}",
            "How many visitors does {s} receive | How many visitors does {s} draw | What number of visitors has {s}",
        ),
        relation(
            values.place,
            "{s} stands in {v} | {s} is located in {v} | the site of {s} is in {v}",
            "Where does {s} stand | Where is {s} located | Where is the site of {s}",
        ),
        relation(
            values.goods,
            "{s} holds a collection of {v} | {s} exhibits {v} | the collection of {s} consists of {v}",
            "What does {s} exhibit | Of what does {s} hold a collection | What is in the collection of {s}",
        ),
        relation(
            values.disaster,
            "{s} was closed after {v} | {v} led to the closing of {s}",
            "What led to the closing of {s} | After what was {s} closed",
        ),
        relation(
            values.year(1900, 1999),
            "{s} was rebuilt in {v} | {s} was restored in {v} | the restoration of {s} ended in {v}",
            "In what year was {s} rebuilt | When was {s} restored | When did the restoration of {s} end",
        ),
    ),
)
