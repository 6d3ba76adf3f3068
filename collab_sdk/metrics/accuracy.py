"""Whether the final answer is the reference answer."""

import atexit
import re
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec

from collab_sdk.concurrency import OneThread
from collab_sdk.errors import MissingExtraError, UsageError
from collab_sdk.metrics.base import Evidence, Judgement, Rubric, read_verdict, verdict
from collab_sdk.metrics.formulas import same_formula
from collab_sdk.metrics.math_solver import MathSolver
from collab_sdk.metrics.numerals import are_quantities, same_quantity
from collab_sdk.prompts import json_line, load_prompt
from collab_sdk.types import Goal

WANTED = (
    "the assistant's final answer to the user's question, alone and without explanation, as the assistant wrote it: "
    "with its unit, its sign, every value that is given, and any word that limits it"
)
LONGEST = 2_000
"""Characters; what is longer is compared as it stands."""
SPACES = re.compile(r"(?<!\\)\\[,;:! ]|(?<=\S)~(?=\S)|\{,\}|\\(?:quad|left|right|displaystyle)(?![A-Za-z])")
WRAPPED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\*\*([^*]+)\*\*",
        r"`([^`]+)`",
        r"\$\$([^$]+)\$\$",
        r"\$([^$]*[^$\s\d][^$]*|\s*[-+\d.,\s]+)\$",
        r"\\\((.+)\\\)",
        r"\\\[(.+)\\\]",
        r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{([^{}]*(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^{}]*)*)\}",
        r"\"([^\"]+)\"",
        r"'([^']+)'",
        r"“([^”]+)”",
    )
)
"""What may stand around an answer, or around all of one but the words before it, and says nothing."""
LEAD_IN = re.compile(
    r"(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+|my\s+)?(?:final\s+|correct\s+)?(?:answer|result)(?:\s+is)?\s*[:=]?\s+"
    r"|(?:so|thus|therefore|hence),?\s+(?=[-+\d$\\])|it(?:['’]s|\s+is)\s+|=\s*",
    re.IGNORECASE,
)
SUM = re.compile(r"[\d\s+\-−*/×÷().,^$]+=\s*(?=[^=]+$)")
"""The sum that an answer is the result of: 5 + 7 = 12."""
VARIABLE = re.compile(r"([A-Za-z]|\\[a-z]+)\s*=\s*(?=[^=]+$)")
DATE = re.compile(r"(?<![\d.)])\d{1,4}\s?[-–]\s?\d{1,2}\s?[-–]\s?\d{1,4}(?![\d.(])")
JOINED = re.compile(r"\b(and|or)\b")
CHOICE = re.compile(r"\(([A-Z])\)")
WORDS = frozenset({"yes", "no"})
"""Short words that are no signs."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """1 if the answer pulled out of the conversation equals the goal's reference, else 0.

    Text, numbers with a unit of a closed list, and formulas (by math-verify) are compared where the outcome is beyond
    doubt. All else goes to the judge, who sees the answer alone, not the conversation (R_ext = S(Extract(t), y_g),
    section 3 of the paper).
    """

    name: str = "accuracy"

    def check(self, goal: Goal) -> None:
        if find_spec("math_verify") is None:
            raise MissingExtraError.of("accuracy needs math-verify", "evaluate")
        if not (goal.reference or "").strip():
            raise UsageError(
                'accuracy needs a reference answer: Goal(text=..., reference=...), or "reference" in the log row.'
            )

    def rubric(self, goal: Goal) -> Rubric:
        return Rubric(
            criterion=load_prompt("criterion_accuracy").fill(reference=json_line(goal.reference)),
            form=verdict("correct"),
            read=partial(read_verdict, "correct"),
            compare=partial(_acompare, goal.reference or ""),
        )

    def artefact(self, goal: Goal) -> str:
        return WANTED

    def value(self, evidence: Evidence) -> float:
        return evidence.judged


def compare(reference: str, answer: str) -> Judgement | None:
    """The verdict on `answer` where it needs no judge: there is none, or it is beyond doubt the same, or another."""
    if not answer.strip():
        return Judgement(value=0.0, note="No final answer was given.")
    if max(len(reference), len(answer)) > LONGEST:
        return Judgement(value=1.0) if answer.split() == reference.split() else None
    expected, given = _bare(reference), _bare(answer)
    if _same_text(expected, given):
        return Judgement(value=1.0)
    if "\n" in expected + given:
        return None
    results = _result(expected), _result(given)
    names = {match[1] for text in (expected, given) if (match := VARIABLE.match(text))}
    is_number = len(names) < 2 and are_quantities(*results)
    same = same_quantity(*results) if is_number else same_formula(expected, given, _solver())
    return None if same is None or (same and _is_open(expected, given)) else Judgement(value=float(same))


def _is_open(*texts: str) -> bool:
    """Whether one may be read in two ways: a date as a difference, an equation that is not true, "or" beside "and"."""
    if any(DATE.search(text) for text in texts):
        return True
    if len({frozenset(JOINED.findall(text.lower())) for text in texts} - {frozenset()}) > 1:
        return True
    for text in texts:
        left, equals, right = text.rpartition("=")
        is_sum = equals and "=" not in left and not any(map(str.isalpha, text)) and all(map(str.strip, (left, right)))
        if is_sum and same_formula(left.strip(), right.strip(), _solver()) is not True:
            return True
        if re.fullmatch(r"\s*[A-Za-z]\s*=\s*[A-Za-z]\s*", text):
            return True
    return False


async def _acompare(reference: str, answer: str) -> Judgement | None:
    found: Judgement | None = await _thread().run(partial(compare, reference, answer))
    return found


@cache
def _solver() -> MathSolver:
    solver = MathSolver()
    atexit.register(solver.close)
    return solver


@cache
def _thread() -> OneThread:
    """Where the loop does not wait for the solver, which takes one question at a time."""
    return OneThread()


def _bare(text: str) -> str:
    """The answer without the words before it, and without what is put around it."""
    text = SPACES.sub(lambda match: "\u202f" if match[0] == "\\," else "," if match[0] == "{,}" else " ", text)
    text = re.sub(r"[ \t\r\f\v]+", " ", text).strip()
    text = re.sub(r"\\([$%&#])", lambda match: match[1] if match[1] != "$" else "\uff04", text)
    before = None
    while text != before:
        before = text
        text = LEAD_IN.sub("", text, count=1) if LEAD_IN.match(text) else text
        text = re.sub(r"(?<=[^\s.])\.$", "", text)
        for pattern in WRAPPED:
            if match := pattern.fullmatch(text):
                text = match[1].strip()
    return text.replace("\uff04", "$")


def _result(text: str) -> str:
    """What a sum or an assignment comes to; units in the form in which they are listed."""
    for pattern in (SUM, VARIABLE):
        if (match := pattern.match(text)) is not None:
            text = text[match.end() :]
    text = re.sub(r"\^\s*(?:\\circ|\{\s*\\circ\s*\})", "°", text)
    text = re.sub(r"\\(?:text|mathrm)\s*\{\s*([^{}]*?)\s*\}", r" \1", text)
    text = re.sub(r"(?<=[a-z])\^\{?([23])\}?$", lambda match: "²³"[int(match[1]) - 2], text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    return re.sub(r"\\(?:times|cdot)\s*", "×", text).strip()


def _same_text(one: str, other: str) -> bool:
    """Whether both are the same words; in short ones that may be signs or units, capitals count."""
    one, other = (match[1] if (match := CHOICE.fullmatch(text)) else text for text in (one, other))
    if one == other:
        return True
    words, others = one.split(), other.split()
    short = 1 if len(words) > 1 and all(map(str.isalpha, words)) else 3
    return len(words) == len(others) and all(
        word == same
        or (word.casefold() == same.casefold() and word.isalpha() and (len(word) > short or word.casefold() in WORDS))
        for word, same in zip(words, others, strict=True)
    )
