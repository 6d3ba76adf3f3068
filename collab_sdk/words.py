"""The words of a message, and those that everybody uses."""

import re
from collections.abc import Iterable

__all__ = ["APOSTROPHES", "COMMON", "WORD", "vocabulary", "words"]

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
"""A run of letters or digits; in scripts without spaces, a character."""
APOSTROPHES = str.maketrans("", "", "'’`")
"""Left out, so that "dont" is no typo of "don't": people at keyboards write both."""
COMMON = frozenset(
    """
    a able about actually add after again ago all almost already alright also although always am an and another any
    anyone anything anyway anywhere are around as ask asked at away back bad be because been before being below best
    better between big bit both bring but by bye call called came can cannot cant case change check choose close cold
    come coming correct cost could couldnt couple day days did didnt different do does doesnt doing done dont down each
    early easy either else end enough even evening ever every everyone everything exactly except extra far fast few find
    fine first five for four from full further get gets getting give given go goes going good goodbye got great had half
    happy hard has hasnt have havent having he hello help her here heres hey hi him his hmm home hope hot hour hours how
    however i id if ill im in instead into is isnt it its ive just keep kind know large last late later least leave left
    less let lets like liked line list little long look looking looks lot love made make makes making many matter may
    maybe me mean medium might mind mine minute minutes more morning most move much must my myself name near need needed
    needs never new next nice night no none nope nor not nothing now number of off oh ok okay old on once one ones only
    open or order other our out over own part people per perfect place please point possible prefer probably put quick
    quite rather read ready really right said same saw say see seems send set she short should show size small so some
    someone something sometimes soon sorry sort sounds start still stop such sure take taken talk tell ten than thank
    thanks that thats the their them then there theres these they theyre thing things think this those though thought
    three through time times to today together told tomorrow tonight too took toward tried try trying turn two under
    understand until up us use used using very wait want wanted wants was wasnt way we week well went were what whats
    when where which while who why will with without wont word words work worked works would wouldnt write wrong yeah
    year years yep yes yesterday yet you youre your yours youve
    """.split()
)


def words(text: str) -> list[str]:
    return WORD.findall(text.translate(APOSTROPHES).casefold())


def vocabulary(texts: Iterable[str]) -> frozenset[str]:
    """The words of `texts`, and the common ones."""
    return COMMON.union(word for text in texts for word in words(text))
