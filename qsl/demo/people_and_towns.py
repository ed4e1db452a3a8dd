"""The relations of people and of towns (see `templates`)."""

from __future__ import annotations

from qsl.demo import values
from qsl.demo.templates import SubjectKind, relation

_SUBJECTS = values.one_of(
    "chemistry botany grammar geometry astronomy history music anatomy law geology logic painting physics poetry "
    "medicine geography rhetoric algebra drawing philosophy"
)
_INSTRUMENTS = values.one_of("violin cello flute organ harp trumpet piano oboe guitar lute clarinet drum viola horn")
_INDUSTRIES = values.one_of(
    "fishing weaving mining brewing shipbuilding printing farming tanning forestry pottery milling baking quarrying"
)

PERSON = SubjectKind(
    "",
    (
        relation(
            values.place,
            "{s} was born in {v} | {s} came from {v} | {v} was the birthplace of {s}",
            "Where was {s} born | In which place was {s} born | What was the birthplace of {s}",
        ),
        relation(
            values.date(1780, 1860),
            "{s} was born on {v} | the birth of {s} took place on {v}",
            "When was {s} born | On what date was {s} born | What was the date of birth of {s}",
        ),
        relation(
            values.school,
            "{s} studied at {v} | {s} was educated at {v} | {s} was a student at {v}",
            "Where did {s} study | At which school was {s} educated | Where was {s} a student",
        ),
        relation(
            _SUBJECTS,
            "{s} taught {v} | {s} gave lessons in {v} | {s} worked as a teacher of {v}",
            "What did {s} teach | Which subject did {s} teach | In what did {s} give lessons",
        ),
        relation(
            values.person,
            "{s} married {v} | {s} became the spouse of {v} | the wedding of {s} and {v} was a quiet one",
            "Who did {s} marry | To whom was {s} married | Who was the spouse of {s}",
        ),
        relation(
            values.prize,
            "{s} received {v} | {s} was honoured with {v} | {v} was awarded to {s}",
            "Which award did {s} receive | What was {s} awarded | With what was {s} honoured",
        ),
        relation(
            values.year(1865, 1940),
            "{s} died in {v} | the death of {s} followed in {v} | {s} passed away in {v}",
            "In what year did {s} die | When did {s} die | What was the year of the death of {s}",
        ),
        relation(
            _INSTRUMENTS,
            "{s} played the {v} | {s} performed on the {v} | {s} was a gifted player of the {v}",
            "Which instrument did {s} play | What did {s} play | On which instrument did {s} perform",
        ),
        relation(
            values.place,
            "{s} was buried in {v} | the grave of {s} lies in {v}",
            "Where was {s} buried | In which place is the grave of {s} | Where does the grave of {s} lie",
        ),
        relation(
            values.goods,
            "{s} collected {v} | {s} gathered a collection of {v}",
            "What did {s} collect | Which things did {s} collect | Of what did {s} have a collection",
        ),
        relation(
            values.trouble,
            "{s} retired because of {v} | {v} forced {s} to retire",
            "Why did {s} retire | What forced {s} to retire | What was the reason that {s} retired",
        ),
        relation(
            values.company,
            "{s} worked for {v} | {s} was employed by {v} | {v} employed {s}",
            "Who did {s} work for | By whom was {s} employed | Who employed {s}",
        ),
    ),
)

TOWN = SubjectKind(
    "the town",
    (
        relation(
            values.river,
            "{s} lies on {v} | {s} stands on the shore of {v} | {v} flows past {s}",
            "On which water does {s} lie | What flows past {s} | On whose shore does {s} stand",
        ),
        relation(
            values.count(10, 100, 1000),
            "{s} has {v} inhabitants | {s} is home to {v} people | the population of {s} is {v}",
            "How many people live in {s} | What is the population of {s} | How many inhabitants does {s} have",
        ),
        relation(
            values.person,
            "{s} is governed by {v} | {s} has a mayor called {v} | the mayor of {s} is {v}",
            "Who is the mayor of {s} | Who governs {s} | By whom is {s} governed",
        ),
        relation(
            values.year(1520, 1790),
            "{s} was founded in {v} | the foundation of {s} dates from {v} | {s} was established in {v}",
            "In what year was {s} founded | When was {s} established | When was the foundation of {s}",
        ),
        relation(
            _INDUSTRIES,
            "{s} lives mainly from {v} | {s} depends on {v} | the main industry of {s} is {v}",
            "What is the main industry of {s} | From what does {s} live | On which industry does {s} depend",
        ),
        relation(
            values.month,
            "{s} holds its fair in {v} | the yearly fair of {s} takes place in {v}",
            "In which month does {s} hold its fair | When is the fair of {s} | When does the fair of {s} take place",
        ),
        relation(
            values.metres(11, 960),
            "{s} lies at a height of {v} | {s} stands {v} above the sea | the elevation of {s} is {v}",
            "How high above the sea is {s} | What is the elevation of {s} | At what height does {s} lie",
        ),
        relation(
            values.place,
            "{s} is twinned with {v} | {s} has a partnership with {v} | {v} is the twin town of {s}",
            "What is the twin town of {s} | With which town is {s} twinned | With which town has {s} a partnership",
        ),
        relation(
            values.disaster,
            "{s} was ruined by {v} | {v} destroyed much of {s} | {s} suffered from {v}",
            "What destroyed much of {s} | By what was {s} ruined | From what did {s} suffer",
        ),
        relation(
            values.goods,
            "{s} is known for {v} | {s} is famous for {v} | the fame of {s} rests on {v}",
            "What is {s} known for | For what is {s} famous | On what does the fame of {s} rest",
        ),
        relation(
            values.date(1840, 1930),
            "{s} was reached by the railway on {v} | the railway came to {s} on {v}",
            "When did the railway reach {s} | When did the railway come to {s}",
        ),
    ),
)
