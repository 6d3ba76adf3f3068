"""Whether what an assistant claims is borne out by what it did: every claim, by the calls and results before it."""

import re
from collections.abc import Iterator, Sequence

from collab_sdk.messages import Message
from collab_sdk.offline.deeds import CLAUSE, Deed, leaves, plain, spelt_out, stems_of, steps
from collab_sdk.offline.facts import EMPTY as FILLERS
from collab_sdk.offline.facts import FILLER
from collab_sdk.offline.words import sentences

PARTICIPLE = (
    r"(?!(?:need|indeed|based|call|nam|allow|suppos|interest|pleas|excit|worri|relat|limit)(?:ed)?\b)"
    r"(?:\w{2,}ed|sent|done|made|paid|put|found|given|taken|written|bought|sold|built|reset|set)"
)
ADVERBS = r"(?:(?:now|just|also|already|all|successfully|been|being|got)\s+)*"
OWN = re.compile(
    rf"\b(?:i|we)(?:['’]ve|\s+have|\s+had)?\s+{ADVERBS}"
    r"(?!(?:want|hop|ask|mention|suggest|recommend|offer|wonder|apologi[sz])ed\b)"
    rf"({PARTICIPLE})\b",
    re.IGNORECASE,
)
"""The assistant says that it did something."""
STATE = re.compile(
    rf"(?<!\byou )(?:\b(?:is|are|was|were|has|have)|['’]s|['’]re)\s+{ADVERBS}({PARTICIPLE})\b", re.IGNORECASE
)
"""The assistant says that something is so."""
FINISHED = re.compile(
    r"^(?:done|finished|completed|confirmed|success|there you go)\b|\b(?:all (?:set|done)|taken care of)\b"
    r"|^(?:sure|okay|ok), (?:that['’]s\b|(?=\w)(?!(?:i|we|you|let|what|which|how|who|when|where|can|could|do|please"
    r"|here|there|it|that|thanks|thank|no|so|then|just|happy)\b))",
    re.IGNORECASE,
)
"""The assistant says that it is done with what it was asked for."""
HEDGE = re.compile(
    r"\b(?:if|would|could|can|may|might|will|shall|should|once|when|until|before|unless|please|let|going to|about to"
    r"|want|need to|able|not|never|cannot|unable|no|nothing|afraid|sorry)\b|n['’]t\b|['’]ll\b",
    re.IGNORECASE,
)
"""What is denied, asked, promised or only possible is no claim."""
LOOKED_UP = stems_of("checked found located looked pulled read retrieved reviewed searched verified")
"""Said of oneself, borne out by anything that was looked up."""
LIST_MARK = re.compile(r"^\W*(?:\d+[.)]\s+)?")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
EMPTY = stems_of(" ".join([*FILLER, "sure okay ok done set now all just already we been been here s ve go took care"]))
"""Words of a claim that do not say what was done."""


def claims(transcript: Sequence[Message]) -> list[tuple[str, bool]]:
    """Every claim of the assistant's about what it did or found, and whether a deed before it bears it out.

    A call claims what its arguments name: somebody said it, or a result showed it. What the user or the system prompt
    said needs no proof.
    """
    told = {each for message in transcript if message.role in ("system", "user") for each in _numbers(message.content)}
    done: list[Deed] = []
    heard = frozenset[str]()
    found: list[tuple[str, bool]] = []
    for step in steps(transcript):
        if isinstance(step, Deed):
            found += _named(step, heard)
            done.append(step)
            heard |= stems_of(_apart(plain(step.result or "")))
            continue
        if step.role == "assistant":
            found += [(claim, _is_borne_out(claim, done, told)) for claim in _claims(step.content, told)]
        heard |= stems_of(_apart(step.content))
    return found


def _named(deed: Deed, heard: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """Each text among the arguments of a call, and whether all its words have been heard by then."""
    known = heard | stems_of(spelt_out(deed.call.name))
    for value in leaves(deed.call.parsed):
        words = stems_of(_apart(value)) - FILLERS if isinstance(value, str) else frozenset()
        if words:
            yield f"{deed.call.name}: {value}", words <= known


def _apart(text: str) -> str:
    """A text whose identifiers are words: `oat-milk` and `oat_milk` are oat milk."""
    return text.replace("_", " ").replace("-", " ")


def _claims(text: str, told: set[str]) -> Iterator[str]:
    for sentence in sentences(text):
        if sentence.endswith("?"):
            continue
        if (end := FINISHED.search(sentence)) and not HEDGE.search(sentence[: end.start()]):
            yield sentence
            continue
        for clause in filter(None, map(str.strip, CLAUSE.split(LIST_MARK.sub("", sentence)))):
            says_so = OWN.search(clause) or STATE.search(clause) or not told.issuperset(_numbers(clause))
            if says_so and not HEDGE.search(clause):
                yield clause


def _is_borne_out(claim: str, done: Sequence[Deed], told: set[str]) -> bool:
    """By a call that did it and was not refused, or by a result that says so."""
    succeeded = [deed for deed in done if deed.succeeded]
    shown = {number for deed in succeeded for number in _numbers(f"{deed.call.arguments} {plain(deed.result or '')}")}
    if not (told | shown).issuperset(_numbers(claim)):
        return False
    state, own = STATE.search(claim), OWN.search(claim)
    if state and any(stems_of(state[1]) & deed.found for deed in done):
        return True
    if not state and not own and not FINISHED.search(claim):
        return True  # numbers alone, which are shown
    if own and stems_of(own[1]) & LOOKED_UP:
        return bool(succeeded)
    deeds = [deed for deed in succeeded if deed.acts] if state or own else succeeded
    words = stems_of(claim) - EMPTY
    return any(deed.stems & words for deed in deeds) if words else bool(deeds)


def _numbers(text: str) -> Iterator[str]:
    """The numbers in a text, each in one form: 1,200.50 and 1200.5 are the same."""
    for number in NUMBER.findall(text):
        bare = number.replace(",", "")
        yield bare.rstrip("0").rstrip(".") if "." in bare else bare
