"""What no user would say: checks of every turn that a simulated user makes up, so that the bot is not to blame for it.

They are rules, the same in every run, and rather miss a fault than find one in what real people write. What is in a
language that they do not know passes the words they look for; the other checks know no language.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import groupby, pairwise

from collab_sdk.errors import UserFaultError
from collab_sdk.secrets import one_line
from collab_sdk.simulator.base import Situation, UserTurn
from collab_sdk.words import words as words_of

__all__ = ["Fault", "check_turn", "fault_of"]

UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
PARROTED = 5
"""Words of the assistant's that nobody says after it by chance."""
MOSTLY = 0.9
"""The share of a message that is the assistant's where the message is no more than that: who quotes adds to it."""
RECITED = 12
"""Words of a goal in a row that nobody says by chance: a short wish is said as it is."""
ADDRESSED = 6
"""The same at the beginning of a goal that speaks to its user, or about them: "You want to ..."."""
SHORT = 2
"""Words of an answer that may be the same to several questions."""
MOST_SAID, MOST_COMPARED = 1_000, 5_000
"""Words of a message, and of what it is compared with, that are looked at for a run of words."""
IN_A_ROW = 3
"""The same message so often is a user who is stuck."""

CONTROL = re.compile(
    r"<[|\uff5c][\w/\u2581-]{2,40}[|\uff5c]>|</?s>|<(?:end|start)_of_turn>|\[/?INST\]|<</?SYS>>", re.IGNORECASE
)
LABEL = re.compile(r"^\s*(?:\*\*)?(?:user|human|assistant|ai|ai assistant)(?:\*\*)?\s*:", re.IGNORECASE)
OTHERS_LABEL = re.compile(
    r"^[^\S\n]*+(?:\*\*)?(?:assistant|ai|ai assistant)(?:\*\*)?\s*:", re.IGNORECASE | re.MULTILINE
)
ACCOUNT = re.compile(r"\s*user ?: ?\S*[@_\d]\S*\s*(?:\n|$)", re.IGNORECASE)
"""A name of a user, where others have a label."""
GOES_ON = re.compile(r" (?!assistant|user|system)[a-z]")
SERVICES = re.compile(
    r"\bhow (?:can|may|could|else can) i (?:help|assist)(?: you (?:today|now|further|with)| you(?= ?[?!.,]| ?$)| today)"
    r"|\bwhat (?:can|else can) i (?:do for|help) you\b"
    r"|\bhow (?:can|may) i be of (?:help|service|assistance)\b"
    r"|\banything (?:else )?(?:that )?i can (?:help|assist) (?:you )?with\b|\banything else i can (?:do|get) for you\b"
    r"|\banything else i can get you\b|\bwhat (?:can|may) i get (?:for )?you(?: today| started)?(?= ?[?!.,]| ?$)"
    r"|\bmay i take your order\b"
    r"|\bi(?: am|'m) (?:so )?glad i could (?:help|assist|be of)\b"
    r"|\b(?:sure|certainly|of course|absolutely)[,!.]? i(?: can|'d| would|'ll| will) (?:be (?:happy|glad) to )?"
    r"(?:help|assist)\b"
    r"|\bif you need (?:any )?(?:further|more|other|additional) (?:help|assistance)\b"
    r"|\bi (?:can't|cannot|can not|am unable to|'m unable to) assist (?:you )?with (?:that|this)\b"
    r"|\bi(?: am|'m) (?:always )?here to (?:help|assist)(?: you\b| ?[.!]| ?$)"
    r"|\bi(?:'d| would) be (?:happy|glad|delighted) to (?:help|assist)(?: you)?(?: with\b| ?[.!]| ?$)"
    r"|\bi can (?:certainly|definitely|gladly) (?:help|assist) you\b"
    r"|\bas an ai(?: language model| assistant)?,? i\b"
    r"|\bi(?: am|'m) (?:an ai|a virtual|your (?:ai|virtual|personal)) (?:assistant|language model)\b"
    r"|\bthank you for (?:contacting|reaching out to|choosing|visiting) us\b"
    r"|(?:^|[.!?\n][^\S\n]*+)your order (?:is|will be|has been|comes to)\b"
    r"|\bi(?: have|'ve) (?:placed|processed) your order\b|\bcoming right up\b|\bwill that be all\b"
    r"|\bwould you like (?:to (?:order|add)|any|anything|something|your)\b[^.!]*\?"
    r"|\ben qu[eé] (?:te |le |les )?puedo ayudar|\b(?:en qu[eé]|c[oó]mo) puedo ayudar(?:te|le|les|los)\b"
    r"|\bestoy aqu[ií] para ayudar(?:te|les?|los)?(?= ?[.!]| ?$)"
    r"|\bwie kann ich (?:ihnen|dir|euch)(?: heute| weiter)* ?(?:be)?hilflich sein\b"
    r"|\bwie kann ich (?:ihnen|dir|euch)(?: heute)? (?:weiter)?helfen\b"
    r"|\bcomment (?:puis-je|je peux) (?:vous|t[e'’]) ?aider|\bcome posso aiutar(?:ti|la|vi)\b"
    r"|\b(?:como|em que) posso (?:te |lhe )?ajudar",
    re.IGNORECASE,
)
"""What an assistant offers, and nobody who wants something from one."""
REPORTED = re.compile(
    r"\b(?:says?|said|saying|asks?|asked|asking|answer(?:s|ed)|repl(?:y|ies|ied)|t(?:ells?|old)|writes?|wrote|reads?"
    r"|like|when|whenever)\b|:",
    re.IGNORECASE,
)
"""In the same sentence before it: what follows is what somebody else says."""
QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|```.*?```|^>[^\n]*", re.DOTALL | re.MULTILINE)
"""What somebody else said, or is to be worked on."""
FIELD = re.compile(r"^\s*[^:\n]{1,60}:\s*\S")
"""A line of a goal that is a key and its value: the value is what the user would say."""
SPOKEN_TO = re.compile(r"^\W*(?:you|your|the user|a user|this user|user)\b", re.IGNORECASE)
SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")
INVISIBLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]+")


class Fault(StrEnum):
    """In which way a simulated user did not behave like one."""

    SAYS_NOTHING = "says nothing"
    LEAVES = "left before the bot said anything"
    ANSWERS = "answers as the assistant"
    PARROTS = "repeats the assistant"
    REPEATS = "repeats itself"
    RECITES = "quotes the goal"
    CONTRADICTS = "cannot be this person with this goal"
    FORGES = "writes control tokens or speaker labels"


def check_turn(turn: UserTurn, situation: Situation, *, name: str) -> None:
    """Raise UserFaultError for a turn of the user `name` that no user would say."""
    if (found := fault_of(turn, situation)) is not None:
        fault, shown = found
        said = f": {one_line(shown, 80)!r}" if shown else ""
        raise UserFaultError(f"The simulated user {name} {fault}{said}.", fault=fault)


def fault_of(turn: UserTurn, situation: Situation) -> tuple[Fault, str] | None:
    """What is wrong with a turn, and the words that show it; None for one that a user could say.

    Of what a person wrote, now or in a script or log, only that it says something.
    """
    if not INVISIBLE.sub("", turn.message):
        if turn.end is None:
            return Fault.SAYS_NOTHING, ""
        return None if situation.messages or turn.written else (Fault.LEAVES, "")
    if turn.written:
        return None
    own = [message.content for message in situation.messages if message.role == "user"]
    known = "\n".join((situation.goal.text, *situation.goal.style, *own))
    checks = (
        (Fault.FORGES, _forged(turn.message, known)),
        (
            Fault.PARROTS,
            _parroted(turn.message, [each.content for each in situation.messages if each.role == "assistant"], own),
        ),
        (Fault.ANSWERS, _offered(turn.message, known)),
        (Fault.REPEATS, _repeated(turn.message, situation)),
        (Fault.RECITES, _recited(turn.message, situation.goal.text, [*own, *situation.goal.style])),
    )
    return next(((fault, shown) for fault, shown in checks if shown), None)


def _forged(said: str, known: str) -> str:
    """Control tokens and labels of speakers that are not part of what the user wants or wrote."""
    own = None if ACCOUNT.match(said) else LABEL.search(said)
    tokens = (each for each in CONTROL.finditer(said) if not _is_spoken_of(each))
    found = next(tokens, None) or own or OTHERS_LABEL.search(said)
    return found[0].strip() if found and found[0].strip().casefold() not in known.casefold() else ""


def _is_spoken_of(token: re.Match[str]) -> bool:
    """Whether a token stands within a sentence, like a word of it."""
    before, after = token.string[: token.start()], token.string[token.end() :]
    return re.search(r"\w $", before) is not None and GOES_ON.match(after) is not None


def _parroted(said: str, by_assistant: Sequence[str], own: Iterable[str]) -> str:
    """The message, where it is nothing but whole sentences that the assistant has just said, or a whole message of it.

    A few words of it are an answer ("the large one with oat milk"); what the user had said first is their own.
    """
    words = words_of(said)
    if not by_assistant or _length(words) < PARROTED or any(_holds(words_of(each), words) for each in own):
        return ""
    heard = words_of(by_assistant[-1])
    run = _length(_longest_run(words, heard, least=PARROTED))
    long_enough = PARROTED if run == _length(heard) else RECITED
    if any(words == words_of(each) for each in by_assistant) or run >= max(long_enough, MOSTLY * _length(words)):
        return said
    whole = {tuple(words_of(sentence)) for sentence in SENTENCE.split(by_assistant[-1])}
    sentences = [tuple(found) for sentence in SENTENCE.split(said) if (found := words_of(sentence))]
    return said if all(sentence in whole for sentence in sentences) else ""


def _offered(said: str, known: str) -> str:
    """An offer of help that is the speaker's own, and not what they tell of somebody else or want to have written."""
    text = QUOTED.sub(" ", said).replace("’", "'")
    for found in SERVICES.finditer(text):
        before = SENTENCE.split(text[: found.start()])[-1]
        if not REPORTED.search(before) and found[0].casefold() not in known.casefold():
            return found[0]
    return ""


def _repeated(said: str, situation: Situation) -> str:
    """The message, where the user says it once more after saying nothing else for a while.

    A short answer may be the same to several questions ("yes"), or go on with what is said to be done ("next").
    """
    own = [message.content for message in situation.messages if message.role == "user"][1 - IN_A_ROW :]
    if len(own) < IN_A_ROW - 1 or any(_alike(each) != _alike(said) for each in own):
        return ""
    heard = [message.content for message in situation.messages if message.role == "assistant"][-IN_A_ROW:]
    is_short = _length(words_of(said)) <= SHORT
    answers = is_short and len(set(heard)) == len(heard) and any("?" in text for text in heard[-1:])
    goes_on = is_short and len(set(heard[1 - IN_A_ROW :])) == 1 and not any("?" in text for text in heard[-1:])
    return "" if answers or goes_on else said


def _alike(text: str) -> list[str] | str:
    return words_of(text) or text.strip()


def _recited(said: str, goal: str, own: Sequence[str]) -> str:
    """The words of the goal that the message has in a row, where they are many and were not the user's before.

    A single value behind its key, a question, and what is quoted may have to be said as they are.
    """
    words = words_of(said)
    lines = [line for line in QUOTED.sub("\n", goal).splitlines() if line.strip()]
    for is_prose, run_of_lines in groupby(lines, key=lambda line: not FIELD.match(line) and "?" not in line):
        prose = "\n".join(run_of_lines)
        part = words_of(prose)
        if not is_prose:
            continue
        if SPOKEN_TO.match(prose) and len(part) >= ADDRESSED and _holds(words, part[:ADDRESSED]):
            return " ".join(part[:ADDRESSED])
        run = _longest_run(words, part, least=RECITED)
        if _length(run) >= RECITED and not any(_holds(words_of(each), run) for each in own):
            return " ".join(run)
    pairs = [words_of(f"{one} {other}") for one, other in pairwise(lines) if FIELD.match(one) and FIELD.match(other)]
    return next((" ".join(pair) for pair in pairs if _holds(words, pair)), "")


def _longest_run(words: Sequence[str], part: Sequence[str], *, least: int) -> list[str]:
    """The longest run of words that both have; none where it has fewer than `least` words.

    Of long texts the beginning is compared.
    """
    words, part = words[:MOST_SAID], part[:MOST_COMPARED]
    known = {tuple(part[place : place + least]) for place in range(len(part) - least + 1)}
    if not any(tuple(words[place : place + least]) in known for place in range(len(words) - least + 1)):
        return []
    best, end = 0, 0
    row = [0] * (len(part) + 1)
    for word in words:
        before = 0
        for place, other in enumerate(part, start=1):
            before, row[place] = row[place], before + 1 if word == other else 0
            if row[place] > best:
                best, end = row[place], place
    return list(part[end - best : end])


def _length(words: Iterable[str]) -> float:
    """In words: a character of a script without spaces is about half of one."""
    return sum(0.5 if UNSPACED.match(word) else 1.0 for word in words)


def _holds(words: list[str], part: list[str]) -> bool:
    size = len(part)
    starts = (place for place in range(len(words) - size + 1) if size == 0 or words[place] == part[0])
    return any(words[place : place + size] == part for place in starts)
