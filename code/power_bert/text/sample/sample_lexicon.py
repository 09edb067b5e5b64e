"""Words and phrase rules of the sample data set, as data without logic.

``WORDS`` holds content words, which are never repeated within a sentence; ``RULES`` holds function words and phrases.
Both map the name of a slot to its alternatives. An alternative may hold slots, written ``{name}``. An alternative that
is listed twice is twice as likely.
"""

_PEOPLE = """
boy boys, girl girls, teacher teachers, student students, doctor doctors, nurse nurses, farmer farmers, baker bakers,
lawyer lawyers, painter painters, sailor sailors, soldier soldiers, pilot pilots, driver drivers, singer singers,
dancer dancers, writer writers, reporter reporters, engineer engineers, artist artists, child children, judge judges,
neighbor neighbors, friend friends, cousin cousins, guest guests, tourist tourists, visitor visitors, manager managers,
clerk clerks, professor professors, librarian librarians, carpenter carpenters, plumber plumbers, dentist dentists,
chemist chemists, gardener gardeners, hunter hunters, guard guards, thief thieves, detective detectives, woman women,
man men, musician musicians, actor actors, author authors, athlete athletes, coach coaches, player players,
customer customers, merchant merchants, senator senators, minister ministers, mayor mayors, poet poets
"""

_MALE = """
boy boys, man men, king kings, prince princes, uncle uncles, brother brothers, father fathers, nephew nephews,
son sons, grandfather grandfathers, husband husbands, monk monks, duke dukes, groom grooms, gentleman gentlemen
"""

_FEMALE = """
girl girls, woman women, queen queens, princess princesses, aunt aunts, sister sisters, mother mothers, niece nieces,
daughter daughters, grandmother grandmothers, wife wives, nun nuns, duchess duchesses, bride brides, lady ladies
"""

_THINGS = """
box boxes, book books, chair chairs, table tables, lamp lamps, clock clocks, bottle bottles, basket baskets,
blanket blankets, camera cameras, guitar guitars, hammer hammers, ladder ladders, mirror mirrors, picture pictures,
pillow pillows, shirt shirts, jacket jackets, wallet wallets, letter letters, parcel parcels, bicycle bicycles,
boat boats, engine engines, radio radios, knife knives, plate plates, statue statues, carpet carpets, curtain curtains,
necklace necklaces, ring rings, suitcase suitcases, telescope telescopes, umbrella umbrellas, vase vases,
violin violins,
machine machines, candle candles, coin coins, drum drums, flag flags, kettle kettles, magazine magazines, tent tents
"""

# Strictly intransitive: they take no object and have no causative use.
_INTRANSITIVE = """
laugh laughs laughed laughed laughing, smile smiles smiled smiled smiling, sleep sleeps slept slept sleeping,
arrive arrives arrived arrived arriving, giggle giggles giggled giggled giggling, weep weeps wept wept weeping,
sneeze sneezes sneezed sneezed sneezing, cough coughs coughed coughed coughing, snore snores snored snored snoring,
complain complains complained complained complaining, hesitate hesitates hesitated hesitated hesitating,
disappear disappears disappeared disappeared disappearing, faint faints fainted fainted fainting,
listen listens listened listened listening, apologize apologizes apologized apologized apologizing,
shiver shivers shivered shivered shivering, tremble trembles trembled trembled trembling,
yawn yawns yawned yawned yawning, blush blushes blushed blushed blushing, frown frowns frowned frowned frowning,
kneel kneels knelt knelt kneeling, stumble stumbles stumbled stumbled stumbling,
collapse collapses collapsed collapsed collapsing, chuckle chuckles chuckled chuckled chuckling,
linger lingers lingered lingered lingering, sigh sighs sighed sighed sighing, sob sobs sobbed sobbed sobbing,
rejoice rejoices rejoiced rejoiced rejoicing, grin grins grinned grinned grinning,
quarrel quarrels quarreled quarreled quarreling, meditate meditates meditated meditated meditating,
whine whines whined whined whining, sulk sulks sulked sulked sulking, pray prays prayed prayed praying
"""

# Strictly transitive: they need an object and take neither a clause nor a bare infinitive ("help him laugh").
_TRANSITIVE = """
carry carries carried carried carrying, repair repairs repaired repaired repairing, take takes took taken taking,
destroy destroys destroyed destroyed destroying, examine examines examined examined examining,
lift lifts lifted lifted lifting, polish polishes polished polished polishing, wear wears wore worn wearing,
borrow borrows borrowed borrowed borrowing, buy buys bought bought buying, bring brings brought brought bringing,
inspect inspects inspected inspected inspecting, touch touches touched touched touching,
fix fixes fixed fixed fixing, damage damages damaged damaged damaging, collect collects collected collected collecting,
decorate decorates decorated decorated decorating, fetch fetches fetched fetched fetching,
grab grabs grabbed grabbed grabbing,
clutch clutches clutched clutched clutching, purchase purchases purchased purchased purchasing,
use uses used used using,
replace replaces replaced replaced replacing, transport transports transported transported transporting,
wrap wraps wrapped wrapped wrapping, seize seizes seized seized seizing, remove removes removed removed removing,
discard discards discarded discarded discarding, photograph photographs photographed photographed photographing,
construct constructs constructed constructed constructing, acquire acquires acquired acquired acquiring
"""

_PERSON_TRANSITIVE = """
admire admires admired admired admiring, praise praises praised praised praising, greet greets greeted greeted greeting,
thank thanks thanked thanked thanking, annoy annoys annoyed annoyed annoying, avoid avoids avoided avoided avoiding,
ignore ignores ignored ignored ignoring, rescue rescues rescued rescued rescuing, tease teases teased teased teasing,
hug hugs hugged hugged hugging, blame blames blamed blamed blaming, support supports supported supported supporting,
criticize criticizes criticized criticized criticizing, respect respects respected respected respecting,
frighten frightens frightened frightened frightening, interview interviews interviewed interviewed interviewing,
encourage encourages encouraged encouraged encouraging, surprise surprises surprised surprised surprising,
chase chases chased chased chasing, comfort comforts comforted comforted comforting,
insult insults insulted insulted insulting, defend defends defended defended defending
"""


def _words(text: str) -> tuple[str, ...]:
    """Split a text at its spaces."""
    return tuple(text.split())


def _columns(table: str) -> list[tuple[str, ...]]:
    """Split "a b, c d" into one tuple per column: [("a", "c"), ("b", "d")]."""
    return list(zip(*(entry.split() for entry in table.split(",")), strict=True))


def _forms(prefix: str, endings: str, table: str) -> dict[str, tuple[str, ...]]:
    """Name the columns of a table, for example vi_base, vi_sg, vi_past, vi_pp, vi_ing."""
    return {f"{prefix}_{ending}": column for ending, column in zip(endings.split(), _columns(table), strict=True)}


WORDS: dict[str, tuple[str, ...]] = {
    **_forms("person", "sg pl", _PEOPLE),
    **_forms("male", "sg pl", _MALE),
    **_forms("female", "sg pl", _FEMALE),
    **_forms("object", "sg pl", _THINGS),
    **_forms("vi", "base sg past pp ing", _INTRANSITIVE),
    **_forms("vt", "base sg past pp ing", _TRANSITIVE),
    **_forms("vh", "base sg past pp ing", _PERSON_TRANSITIVE),
    "vi_pl": _columns(_INTRANSITIVE)[0],
    "vt_pl": _columns(_TRANSITIVE)[0],
    "vh_pl": _columns(_PERSON_TRANSITIVE)[0],
    "male_name": ("John", "Peter", "David", "Robert", "Thomas", "Henry", "George", "Paul"),
    "female_name": ("Mary", "Anna", "Susan", "Helen", "Laura", "Emma", "Julia", "Alice"),
    "adj": _words(
        "old young tall clever famous friendly honest lazy nervous polite proud quiet rich shy strange tired "
        "brave calm cheerful hungry kind careful curious lonely"
    ),
    "adj_long": _words("careful famous intelligent patient popular generous ambitious dangerous curious"),
    "adj_er": _words("taller older younger richer stronger smaller faster kinder braver poorer"),
    "adj_thing": _words(
        "old heavy new expensive broken dirty wooden small large cheap modern plain rusty beautiful light "
        "green yellow red strange dusty"
    ),
    "adj_place": _words("old quiet crowded dark narrow famous deserted little sunny green"),
    "place": _words(
        "garden church hotel station market library museum restaurant hospital castle school kitchen factory theater "
        "harbor forest village tower office farm"
    ),
    "mass": _words("water bread milk rice sugar furniture luggage coffee paper wood sand flour"),
    "info": _words("secret plan answer problem story result recipe idea method decision"),
    "reflexive_past": _words("admired blamed praised hurt washed defended introduced criticized injured trusted"),
    "say_past": _words("said claimed thought insisted explained reported"),
    "hope_past": _words("hoped insisted complained thought agreed"),
    "give_past": _words("gave sent showed offered told handed"),
    "donate_past": _words("explained described revealed announced mentioned demonstrated"),
    "to_past": _words("decided hoped agreed refused promised managed"),
    "ing_past": _words("enjoyed avoided kept imagined resisted denied postponed risked"),
    "know_past": _words("knew discovered forgot remembered wondered learned"),
    "adverb": _words("quickly slowly carefully quietly proudly secretly suddenly calmly gladly nervously"),
}

RULES: dict[str, tuple[str, ...]] = {
    "det": ("the", "the", "the", "the", "my", "our", "your", "their"),
    "det_sg": ("this", "every", "each", "another"),
    "det_pl": ("these", "those", "both", "several", "many", "two", "three"),
    "indef_sg": ("one {person_sg}", "another {person_sg}", "one {adj} {person_sg}"),
    "indef_pl": ("two {person_pl}", "some {person_pl}", "several {adj} {person_pl}", "many {person_pl}"),
    "np_sg": ("{det} {person_sg}", "{det} {person_sg}", "{det} {adj} {person_sg}"),
    "np_pl": ("{det} {person_pl}", "{det} {person_pl}", "{det} {adj} {person_pl}"),
    "np": ("{np_sg}", "{np_sg}", "{np_pl}", "{np_pl}", "{male_name}", "{female_name}"),
    "single": ("{np_sg}", "{np_sg}", "{np_sg}", "{male_name}", "{female_name}"),
    "masc": ("{det} {male_sg}", "{det} {male_sg}", "{det} {adj} {male_sg}"),
    "fem": ("{det} {female_sg}", "{det} {female_sg}", "{det} {adj} {female_sg}"),
    "masc_any": ("{masc}", "{masc}", "{male_name}"),
    "fem_any": ("{fem}", "{fem}", "{female_name}"),
    "thing_sg": ("{det} {object_sg}", "{det} {object_sg}", "{det} {adj_thing} {object_sg}"),
    "thing_pl": ("{det} {object_pl}", "{det} {object_pl}", "{det} {adj_thing} {object_pl}"),
    "thing": ("{thing_sg}", "{thing_pl}"),
    "site": ("the {place}", "the {adj_place} {place}"),
    "at_site": ("near {site}", "behind {site}", "in front of {site}", "opposite {site}"),
    "on_site": ("on the table", "under the bed", "on the shelf", "into the drawer", "in the corner", "on the floor"),
    "prep": ("near", "beside", "behind", "next to", "in front of"),
    "place_prep": ("near", "behind", "beside", "at", "outside"),
    "rel": ("that", "who"),
    "be_sg": ("is", "was"),
    "be_pl": ("are", "were"),
    "have_sg": ("has",),
    "have_pl": ("have",),
    "do_sg": ("does",),
    "do_pl": ("do",),
    "modal_perfect": ("must", "might", "should", "may"),
    "modal_past": ("could", "would", "should", "might"),
    "modal": ("will", "can", "must", "should", "might"),
    "vp_sg": (
        *("{vi_sg}", "{vi_sg}", "{vi_sg}", "{vt_sg} {thing}", "{vt_sg} {thing}", "is {adj}", "is {vi_ing}"),
        *("has {vi_pp}", "does not {vi_base}", "seems {adj}", "{vh_sg} {male_name}", "often {vi_sg}"),
    ),
    "vp_pl": (
        *("{vi_pl}", "{vi_pl}", "{vi_pl}", "{vt_pl} {thing}", "{vt_pl} {thing}", "are {adj}"),
        *("are {vi_ing}", "have {vi_pp}", "do not {vi_base}", "seem {adj}", "{vh_pl} {male_name}", "often {vi_pl}"),
    ),
    "thing_vp_sg": ("is {adj_thing}", "is very {adj_thing}", "looks {adj_thing}", "belongs to {np}", "has disappeared"),
    "thing_vp_pl": (
        "are {adj_thing}",
        "are very {adj_thing}",
        "look {adj_thing}",
        "belong to {np}",
        "have disappeared",
    ),
    "and": ("and", ", and", "but", ", but", "while"),
    "when": ("while", "because", "before", "after", "when"),
    "yet": ("yet", "at all"),
    "degree": ("rather", "extremely", "surprisingly", "unusually"),
    "already": ("already", "probably", "certainly", "finally"),
    "past_time": ("yesterday", "last week", "last night", "two days ago", "a month ago"),
    "future_time": ("tomorrow", "next week", "next year", "tomorrow morning"),
    "nominative": ("he", "she", "they", "we", "I"),
    "accusative": ("him", "her", "them", "us", "me"),
    "him": ("him", "them", "us", "me"),  # not "her", which could be a possessive
    "what": ("what", "what", "which {object_sg}", "which {object_pl}", "which {adj_thing} {object_pl}"),
    "whom": ("who", "who", "which {person_sg}", "which {person_pl}"),
    "why": ("when", "why", "where", "how"),
    # Adjuncts that do not affect acceptability. They hold no negation, question or conditional, so that they cannot
    # license a negative polarity item.
    "front_any": (
        *(
            "in fact ,",
            "of course ,",
            "to be honest ,",
            "as everybody knows ,",
            "for some reason ,",
            "to my surprise ,",
        ),
        *("according to the newspaper ,", "according to {male_name} ,", "as {female_name} told us ,", "as you know ,"),
    ),
    "front_past": (
        *("last winter ,", "one evening ,", "a few days ago ,", "when the storm was over ,", "during the long war ,"),
        *("after the concert in {site} ,", "on a cold morning in January ,", "at the end of the meeting ,"),
    ),
    "front_present": ("these days ,", "on most days ,", "at the moment ,", "as usual ,", "today ,"),
    "front_place": (
        *("in {site} ,", "at the back of {site} ,", "on the other side of {site} ,", "not far from {site} ,"),
        *("in {site} by the river ,", "on the road from {site} to the sea ,"),
    ),
    "embedding": (
        *("it is clear that", "we all know that", "everybody believes that", "the newspaper says that"),
        *("{male_name} is sure that", "{female_name} thinks that", "I am certain that", "{np_pl} say that"),
    ),
    "ask": ("tell me ,", "by the way ,", "in your opinion ,", "so ,"),
    "end_any": ("after all", "in my opinion", "by all accounts", "to be sure", "for good reason"),
    "end_past": ("last winter", "one evening", "before dinner", "last spring", "during the long meeting"),
    "end_present": ("these days", "at the moment", "as usual", "most of the time", "today"),
    "end_place": ("near {site}", "in {site}", "on the way to {site}", "opposite {site} by the river"),
    "tail_any": (", because {np_sg} is {adj}", "although {np_sg} is {adj}", ", and {np_pl} are {adj}"),
    "tail_past": ("because {np} {vi_past}", ", although {np} {vi_past}", ", and {np} {vt_past} {thing}"),
    "tail_present": ("because {np_pl} {vi_pl}", ", although {np_sg} {vi_sg}", ", and {np_sg} {vt_sg} {thing}"),
}
