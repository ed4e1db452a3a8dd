"""The words of the sentences, by polarity.

Adjectives fit after "is" and before any noun of SUBJECTS. There are no plural subjects, because agreement is not what a
model should have to learn here.
"""

from __future__ import annotations

Words = tuple[str, ...]
Poles = tuple[Words, Words]  # bad, good: the label is the index


def _list(text: str) -> Words:
    return tuple(text.split("|"))


ADJECTIVES: Poles = (
    _list(
        "dull|tedious|clumsy|shallow|lifeless|bland|messy|predictable|cold|forgettable|awkward|careless|tiresome|weak"
        "|confused|stale|ugly|dreary|noisy|pointless|rushed|hollow|irritating|overlong|lazy|grim|flat|wooden"
        "|disappointing|unpleasant|boring|sloppy|stiff|murky|cheap|annoying|unconvincing|poor|bad|terrible|dreadful"
        "|miserable"
    ),
    _list(
        "moving|gripping|graceful|profound|lively|rich|elegant|surprising|warm|memorable|witty|careful|refreshing"
        "|strong|lucid|fresh|beautiful|cheerful|charming|meaningful|polished|thoughtful|delightful|well paced"
        "|generous|tender|vivid|convincing|rewarding|pleasant|fascinating|precise|nimble|luminous|splendid|lovable"
        "|believable|fine|good|wonderful|brilliant|joyful"
    ),
)
# What a thing has or lacks.
QUALITIES: Poles = (
    _list(
        "boredom|clumsiness|confusion|bad taste|empty talk|false pathos|carelessness|noise|cheap tricks|dead weight"
        "|tedium|vanity|stale jokes|needless detail|gloom"
    ),
    _list(
        "charm|grace|wit|warmth|good ideas|tension|honesty|imagination|fine detail|real feeling|humour|style|life"
        "|wisdom|courage"
    ),
)
# What it does to one.
VERBS: Poles = (
    _list(
        "bores me|falls apart|wears me out|annoys everyone|leads nowhere|wastes my time|lets me down|drags on"
        "|misses the mark|outstays its welcome|puts me to sleep|fails"
    ),
    _list(
        "delights me|comes together|lifts my spirits|pleases everyone|finds its way|repays my patience|wins me over"
        "|flies by|hits the mark|earns its applause|keeps me awake|succeeds"
    ),
)
# "It does not …"
INFINITIVES: Poles = (
    _list(
        "bore me|fall apart|wear me out|annoy anyone|waste my time|let me down|drag on|miss the mark"
        "|outstay its welcome|put me to sleep|fail"
    ),
    _list(
        "delight me|come together|lift my spirits|please anyone|repay my patience|win me over|fly by|hit the mark"
        "|earn its applause|keep me awake|succeed"
    ),
)
OUTCOMES: Poles = (
    _list("a disaster|a bore|a mess|a letdown|a chore|a waste of an evening|a muddle|a disgrace"),
    _list("a triumph|a treat|a gem|a success|a pleasure|an evening well spent|a delight|a joy"),
)

SUBJECTS = _list(
    "the film|the story|the plot|the acting|the ending|the music|the script|the camera work|the lead|the dialogue"
    "|the play|the concert|the novel|the opening chapter|the second half|the performance|the cast|the director"
    "|the production|the series|the pilot|the exhibition|the tour|the meal|the service|the hotel|the album|the singer"
    "|the orchestra|the sequel|the documentary|the comedy|the thriller|the show|the book|the translation|the staging"
    "|the choir|the pianist|the game|the puzzle|the evening|the festival|the museum|the restaurant|the soup"
    "|the dessert|the wine|the room|the view"
)
THINGS = _list(
    "film|story|play|novel|concert|show|book|comedy|drama|series|album|exhibition|meal|evening|performance|piece"
    "|thriller|portrait|debut|sequel|production|documentary|fairy tale|love story|mystery|musical|adventure|journey"
)

SLIGHTLY = _list("a little|slightly|a bit|somewhat|a touch|mildly")
GREATLY = _list("immensely|deeply|truly|remarkably|thoroughly|utterly|extremely|wholly")
NOT = _list("not|hardly|never|by no means|far from|anything but|not at all|not in the least|scarcely")
ASIDES = _list(
    "to be honest|as far as I can tell|all things considered|in my view|on balance|if you ask me|after two hours"
    "|on a rainy evening|for the most part|this time|once again|from start to finish"
)
FIRST = _list("at first|to begin with|for the first hour|early on|in the beginning")
LAST = _list("in the end|by the close|later on|at last|before long")
