"""Preferences that contradict each other, or differ in nothing: what is not learnt from them, and what to do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from collab_sdk.preferences import whole_of
from collab_trl.preference.examples import some
from collab_trl.preference.row_formats import words_of
from collab_trl.preference.tokens import Tokens

INSTRUCTS = ("system", "developer")
"""Roles that say how to reply, and ask nothing."""
MOST_TOGETHER = 4
"""Rows that are named of those that contradict each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """A reply that is preferred to another, as text, to a prompt."""

    where: str
    asked: str
    better: str
    worse: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """Rows that teach nothing, why, and what to do about them."""

    problem: str
    places: frozenset[str]
    advice: str


def doubts_of_pairs(pairs: Sequence[Tokens]) -> Iterator[Doubt]:
    preferences = [_preference(tokens) for tokens in pairs]
    alike = [each.where for each in preferences if each.better == each.worse]
    if alike:
        yield Doubt(
            problem=f"{len(alike):,} of {len(pairs):,} pairs differ in blanks alone ({some(alike)})",
            places=frozenset(alike),
            advice="nothing else is learnt from them",
        )
    by_prompt: dict[str, list[Preference]] = {}
    for each in preferences:
        if each.better != each.worse:
            by_prompt.setdefault(each.asked, []).append(each)
    circles = [circle for those in by_prompt.values() for circle in circles_of(those)]
    if circles:
        shown = some(_one_and_other([each.where for each in circle]) for circle in circles)
        yield Doubt(
            problem=f"{sum(map(len, circles)):,} of {len(pairs):,} pairs are contradicted by others, which prefer what "
            f"they reject ({shown})",
            places=frozenset(each.where for circle in circles for each in circle),
            advice="decide which are right and leave the others out, or they cancel out",
        )


def doubts_of_replies(replies: Sequence[Tokens]) -> Iterator[Doubt]:
    places: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for tokens in replies:
        example = tokens.example
        sides = places.setdefault((example.asked, words_of(example.chosen or example.rejected)), ([], []))
        sides[not example.chosen].append(example.where)
    both = [(good, bad) for good, bad in places.values() if good and bad]
    if both:
        found = sum(len(good) + len(bad) for good, bad in both)
        yield Doubt(
            problem=f"{found:,} of {len(replies):,} replies are good in one row and bad in another "
            f"({some(f'{good[0]} and {bad[0]}' for good, bad in both)})",
            places=frozenset(place for good, bad in both for place in (*good, *bad)),
            advice="decide which is right and leave the others out, or they cancel out",
        )


def contradicted_nearly(pairs: Sequence[Tokens], known: frozenset[str]) -> Iterator[str]:
    """Of pairs that none contradicts word for word: system prompts may tell them apart, and case seldom does."""
    by_prompt: dict[str, list[Preference]] = {}
    for example in (tokens.example for tokens in pairs):
        asked = whole_of([message["content"] for message in example.prompt if message["role"] not in INSTRUCTS])
        better, worse = words_of(example.chosen).casefold(), words_of(example.rejected).casefold()
        if example.where not in known and better != worse:
            found = Preference(where=example.where, asked=asked, better=better, worse=worse)
            by_prompt.setdefault(asked, []).append(found)
    circles = [circle for those in by_prompt.values() for circle in circles_of(those)]
    if circles:
        shown = some(_one_and_other([each.where for each in circle]) for circle in circles)
        yield (
            f"{sum(map(len, circles)):,} of {len(pairs):,} pairs are contradicted by others that differ in case, "
            f"punctuation or the system prompt alone ({shown}): decide which are right, unless their system prompts do."
        )


def _preference(tokens: Tokens) -> Preference:
    example = tokens.example
    better, worse = words_of(example.chosen), words_of(example.rejected)
    return Preference(where=example.where, asked=example.asked, better=better, worse=worse)


def circles_of(preferences: Sequence[Preference]) -> list[list[Preference]]:
    """Those of one prompt that contradict each other: in a circle of two, or of several (A over B over C over A)."""
    part = _parts([(each.better, each.worse) for each in preferences])
    circles: dict[str, list[Preference]] = {}
    for each in preferences:
        if part[each.better] == part[each.worse]:
            circles.setdefault(part[each.better], []).append(each)
    return list(circles.values())


def _parts(edges: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A node of the strongly connected component that each node is in (Kosaraju's algorithm)."""
    onward: dict[str, list[str]] = {}
    back: dict[str, list[str]] = {}
    for one, other in edges:
        onward.setdefault(one, []).append(other)
        back.setdefault(other, []).append(one)
    gone, come = set[str](), set[str]()
    finished = [node for root in onward for node in _finished(root, onward, gone)]
    return {node: root for root in reversed(finished) for node in _finished(root, back, come)}


def _finished(root: str, onward: Mapping[str, Sequence[str]], visited: set[str]) -> Iterator[str]:
    """What can be reached from a node and was not visited before; each after all that can be reached from it."""
    if root in visited:
        return
    visited.add(root)
    path = [(root, iter(onward.get(root, ())))]
    while path:
        node, others = path[-1]
        following = next((other for other in others if other not in visited), None)
        if following is None:
            path.pop()
            yield node
        else:
            visited.add(following)
            path.append((following, iter(onward.get(following, ()))))


def _one_and_other(places: Sequence[str]) -> str:
    """Of the rows that contradict each other; of many, some."""
    return " and ".join(places[:MOST_TOGETHER]) + (" and others" if len(places) > MOST_TOGETHER else "")
