"""Phenomena of the sample data set, as a table of minimal pairs.

Both sentences of a pair consist of the same words: the unacceptable one is a permutation of the acceptable one. So the
words of a sentence, without their order, say nothing about its label.
"""

from typing import NamedTuple


class Pattern(NamedTuple):
    """Minimal pair of templates.

    Attributes:
        source: Short code of the phenomenon, written to the first column of the files.
        weight: Relative frequency, a positive integer.
        frame: Which adjuncts may be added: "statement" (all), "no_place", "question" or "bare" (in front only).
        tense: Tense of the adjuncts that fit: "past", "present" or "any".
        good: Template of the acceptable sentence; ``{name}`` is a slot, ``{name#2}`` a second one of its kind.
        bad: Template of the unacceptable sentence, a permutation of ``good``.
    """

    source: str
    weight: int
    frame: str
    tense: str
    good: str
    bad: str


# A row: kind, source, weight, frame, tense | acceptable template | difference of the unacceptable one. The kinds:
#   swap    exchanges the two named words or slots
#   number  like swap, and once more with singular and plural exchanged in the whole pair
#   gender  like swap, and once more with masculine and feminine exchanged in the whole pair
#   move    moves words; the whole unacceptable template is given
_TABLE = """
# Subject-verb agreement: across a prepositional phrase, a relative clause or both; coordination; existentials.
number agr1 6 statement present | {np_sg} {prep} {np_pl} {vp_sg} | {np_sg} {np_pl}
number agr1 3 statement any | {thing_sg} {prep} {thing_pl} {thing_vp_sg} | {thing_sg} {thing_pl}
number agr2 4 statement present | {np_sg} {rel} {np_pl} {vh_past} {vp_sg} | {np_sg} {np_pl}
number agr3 4 statement present | {np_sg} {rel} {vh_past} {np_pl} {vp_sg} | {np_sg} {np_pl}
number agr4 2 statement present | {np_sg} {prep} {np_pl} {rel} {vt_past} {thing} {vp_sg} | {np_sg} {np_pl}
number agr5 3 statement present | {np_sg} {vp_sg} {and} {np_pl} {vp_pl} | {np_sg} {np_pl}
number agr6 2 statement any | there {be_sg} {indef_sg} {prep} {indef_pl} | {indef_sg} {indef_pl}
swap   agr7 3 statement present | {np} and {np#2} {vi_pl} {and} {np_sg} {vi_sg} | {vi_pl} {vi_sg}
number agr8 2 question any | {have_sg} {np_sg} {prep} {np_pl} {vi_pp} ? | {np_sg} {np_pl}
number agr8 2 question present | {do_sg} {np_sg} {prep} {np_pl} {vt_base} {thing} ? | {np_sg} {np_pl}
# Determiners.
number det1 3 statement past | {det_sg} {person_sg} {vh_past} the {person_pl} | {person_sg} {person_pl}
number det1 3 statement past | {np} {vh_past} {det_sg} {adj} {person_sg} near my {person_pl} \
    | {person_sg} {person_pl}
number det1 2 statement past | {np} {vt_past} {det_sg} {adj_thing} {object_sg} and the {object_pl} \
    | {object_sg} {object_pl}
swap   det2 3 statement past | {np} {vt_past} so much {adj_thing} {mass} and so many {object_pl} | much many
swap   det2 1 statement past | {np} {vt_past} too much {mass} and {np#2} {vt_past#2} too many {object_pl} \
    | much many
swap   det3 2 statement past | all {det} {person_pl} {vt_past} {thing} | all {det}
swap   det4 1 statement any | my {object_sg} is {adj_er} than yours | my yours
swap   det4 1 statement any | our {adj_thing} {object_sg} is {adj_er} than theirs | our theirs
# Reflexives and reciprocals.
gender ref1 4 statement past | {masc} {prep} {fem} {reflexive_past} himself | {masc} {fem}
gender ref2 4 statement past | {masc_any} {say_past} that {fem_any} {reflexive_past} herself \
    | {masc_any} {fem_any}
swap   ref3 2 statement past | {np_pl} {prep} {masc} {reflexive_past} themselves | {np_pl} {masc}
swap   ref3 2 statement past | {np_pl} {rel} {vh_past} {fem} {reflexive_past} themselves | {np_pl} {fem}
swap   ref4 3 statement past | {np_pl} {rel} {vh_past} {np_sg} {vh_past#2} each other | {np_pl} {np_sg}
gender ref5 1 statement past | {masc_any} {reflexive_past} himself | {masc_any} himself
gender ref5 1 statement past | {fem_any} {say_past} that {masc_any} {reflexive_past} himself \
    | {masc_any} himself
gender ref6 4 statement past | {masc} {rel} {vh_past} {fem} {reflexive_past} himself | {masc} {fem}
# Tag questions.
gender tag1 2 bare any | {masc} {prep} {fem} has {vi_pp} , hasn't he ? | {masc} {fem}
gender tag1 1 bare any | {masc} {prep} {fem} will {vt_base} {thing} , won't he ? | {masc} {fem}
# Case of pronouns.
swap   cas1 2 statement past | {nominative} {vh_past} {np} | {nominative} {np}
swap   cas1 2 statement past | {np} {vh_past} {accusative} | {np} {accusative}
swap   cas1 1 statement past | {nominative} {vt_past} {thing} with {np} | {nominative} {np}
swap   cas2 3 statement past | {nominative} {vh_past} {np} {when} {np#2} {vh_past#2} {accusative} \
    | {nominative} {accusative}
# Auxiliaries and verb forms.
swap   aux1 4 statement any | {single} has {already} {vi_pp} {and} {single#2} {modal} {vi_base} | has {modal}
swap   aux2 2 statement any | {single} is {vi_ing} {and} {single#2} has {vt_pp} {thing} | is has
swap   aux2 2 statement any | {single} has {vi_pp} {and} {single#2} is {vt_ing} {thing} | is has
swap   aux3 3 statement any | {np_sg} {rel} has {already} {vi_pp} {modal} {vt_base} {thing} | has {modal}
swap   aux3 2 statement any | {np_sg} {rel} {modal} {vt_base} {thing} has {already} {vi_pp} | has {modal}
swap   aux4 2 statement any | {np} {modal_perfect} have been {vi_ing} | {modal_perfect} have
swap   aux4 2 statement any | {thing_sg} {modal_perfect} have been {vt_pp} by {np} | have been
swap   aux5 2 statement present | {single} does not {vt_base} {thing} | does not
# Tense and time.
swap   tns1 4 statement any | {np} {vi_past} {past_time} {and} {np#2} will {vi_base} {future_time} \
    | {past_time} {future_time}
swap   tns1 2 statement any | {np} will {vt_base} {thing} {future_time} {and} {np#2} {vi_past} {past_time} \
    | {past_time} {future_time}
# Word order.
swap   ord1 1 statement past | the {person_sg} {vt_past} {thing} | the {person_sg}
swap   ord1 1 statement past | {np} {vt_past} the {object_sg} {at_site} | the {object_sg}
swap   ord2 2 statement past | {det} {adj} {person_sg} {vt_past} {thing} | {adj} {person_sg}
swap   ord3 2 statement past | {np} {vi_past} {place_prep} {site} | {place_prep} {site}
swap   ord4 2 statement past | {det} {person_sg} {adverb} {vt_past} {thing} | {person_sg} {adverb}
swap   ord5 1 statement past | {det} {degree} {adj} {person_sg} {vi_past} | {degree} {adj}
swap   ord6 4 statement past | {np_sg} {hope_past} that {np#2} {vi_past} | {hope_past} that
swap   ord7 1 statement past | {np} {to_past} to {vt_base} {thing} | {to_past} to
# Particle verbs.
swap   prt1 1 statement past | {np} picked it up | it up
swap   prt1 1 statement past | {np} {vt_past} {thing_sg} and threw it away | it away
swap   prt1 1 statement past | {np} {vt_past} {thing_sg} and then gave it up | it up
swap   prt1 1 statement past | {np} woke {him} up | {him} up
# Comparatives.
swap   cmp1 3 statement any | {single} is {adj_er} than {np} and as {adj} as {np#2} | {adj_er} {adj}
move   cmp2 3 statement any | {single} is {adj_er} than {np} and more {adj_long} than {np#2} \
    | {single} is more {adj_er} than {np} and {adj_long} than {np#2}
# Argument structure.
swap   arg1 3 statement past | {np} {vi_past} {when} {np#2} {vt_past} {thing} | {vi_past} {vt_past}
swap   arg1 2 statement past | {np} {vt_past} {thing} {when} {np#2} {vi_past} | {vi_past} {vt_past}
swap   arg2 3 statement past | {np_sg} {rel} {vi_past} {vt_past} {thing} | {vi_past} {vt_past}
swap   arg2 2 statement past | {np_sg} {rel} {vt_past} {thing} {vi_past} | {vi_past} {vt_past}
swap   arg3 4 statement past | {np} {give_past} {np#2} the {info} and {np_sg} {donate_past} the {info#2} to {np#4} \
    | {give_past} {donate_past}
move   arg4 2 no_place past | {np} put {thing} {on_site} {when} {np#2} {vt_past} {thing#2} \
    | {np} put {thing} {when} {np#2} {vt_past} {thing#2} {on_site}
move   arg4 2 no_place past | {np} {vt_past} {thing} {when} {np#2} put {thing#2} {on_site} \
    | {np} {vt_past} {thing} {on_site} {when} {np#2} put {thing#2}
swap   arg5 3 statement past | {np} {hope_past} that {np#2} {vi_past} but {np_sg} {vt_past} {thing} \
    | {hope_past} {vt_past}
swap   arg6 3 statement past | {np} {to_past} to {vi_base} {and} {np#2} {ing_past} {vi_ing} \
    | {to_past} {ing_past}
# Passives.
swap   pas1 3 statement past | {thing_sg} was {vt_pp} by {np} {when} {np#2} had {vi_pp} | {vt_pp} {vi_pp}
move   pas2 3 statement past | {single} {vt_past} {thing_sg} that was {vt_pp} by {np} \
    | {single} was {vt_past} {thing_sg} that {vt_pp} by {np}
# Relative clauses.
move   rel2 3 statement past | {np_sg} {vt_past} {thing} that {np} {vt_past#2} \
    | {np_sg} {vt_past} that {np} {vt_past#2} {thing}
swap   rel1 3 statement past | {np_sg} who {vi_past} {vt_past} {thing} which {np} had {vt_pp} | who which
# Questions, direct and indirect.
move   whq1 2 question past | {what} did {np} {vt_base} ? | {what} {np} did {vt_base} ?
move   whq1 1 question any | {what} {modal} {np} {vt_base} ? | {what} {np} {modal} {vt_base} ?
move   whq1 2 question past | {why} did {np} {vt_base} {thing} ? | {why} {np} did {vt_base} {thing} ?
move   whq2 2 statement past | {np_sg} {know_past} {what} {np} {modal_past} {vt_base} \
    | {np_sg} {know_past} {what} {modal_past} {np} {vt_base}
move   whq2 2 statement past | {np_sg} {know_past} {why} {single} was {vt_ing} {thing} \
    | {np_sg} {know_past} {why} was {single} {vt_ing} {thing}
move   whq3 2 question any | has {np_sg} {rel} was {vi_ing} {vt_pp} {thing} ? \
    | was {np_sg} {rel} {vi_ing} has {vt_pp} {thing} ?
move   whq3 2 question any | {modal} {np_sg} {rel} has {vi_pp} {vt_base} {thing} ? \
    | has {np_sg} {rel} {vi_pp} {modal} {vt_base} {thing} ?
move   whq4 3 question past | {whom} did {np_sg} think that {np} {vh_past} ? \
    | {whom} did {np_sg} that {np} {vh_past} think ?
move   whq5 3 question past | what did {np} {vt_base} after {np#2} {vt_past} {thing} ? \
    | what did {np} {vt_base} {thing} after {np#2} {vt_past} ?
swap   whq6 1 question past | did {np} {vt_base} {thing} ? | {np} {vt_base}
# Negative polarity items.
swap   npi1 3 statement any | no {person_sg} {rel} {det} {person_sg#2} {vh_past} has ever {vi_pp} | no {det}
swap   npi1 3 statement past | no {person_sg} {rel} {vh_past} {det} {person_pl} {vt_past} any {object_pl} \
    | no {det}
swap   npi1 2 statement any | no {adj} {person_pl} {rel} {det} {person_sg} {vh_past} have {vt_pp} {thing} yet \
    | no {det}
move   npi2 3 statement past | {np} {say_past} that nobody had ever {vi_pp} \
    | {np} ever {say_past} that nobody had {vi_pp}
swap   npi3 3 statement past | {det} {person_pl} did not {vt_base} any {object_pl} | {det} any
move   npi4 3 statement any | {single} has not {vi_pp} {yet} {and} {single#2} has {vi_pp#2} \
    | {single} has {vi_pp} {yet} {and} {single#2} has not {vi_pp#2}
move   npi4 3 statement any | {single} has {vi_pp} {and} {single#2} has not {vt_pp} any {object_pl} \
    | {single} has not {vi_pp} {and} {single#2} has {vt_pp} any {object_pl}
"""

_MIRRORS: dict[str, dict[str, str]] = {
    "number": {"_sg": "_pl"},
    "gender": {"{masc": "{fem", "himself": "herself", " he ?": " she ?"},
}


def _swap(text: str, exchange: str) -> str:
    """Exchange two words or slots ("first second") wherever they occur in a text."""
    first, second = exchange.split()
    other = {first: second, second: first}
    return " ".join(other.get(word, word) for word in text.split())


def _mirror(text: str, table: dict[str, str]) -> str:
    """Replace every key by its value and every value by its key."""
    for left, right in table.items():
        text = text.replace(left, "\0").replace(right, left).replace("\0", right)
    return text


def _patterns(row: str) -> list[Pattern]:
    """Read one row of the table: one pattern, or two if it has a mirror image."""
    head, good, change = (part.strip() for part in row.split("|"))
    kind, source, weight, frame, tense = head.split()
    bad = change if kind == "move" else _swap(good, change)
    pattern = Pattern(source, int(weight), frame, tense, good, bad)
    if kind not in _MIRRORS:
        return [pattern]
    mirror = _MIRRORS[kind]
    return [pattern, pattern._replace(good=_mirror(good, mirror), bad=_mirror(bad, mirror))]


PATTERNS: tuple[Pattern, ...] = tuple(
    pattern for row in _TABLE.strip().splitlines() if not row.startswith("#") for pattern in _patterns(row)
)
