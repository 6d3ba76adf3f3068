"""What is noticed about preferences before they are learnt from: contradictions, and what gives chosen away."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from collab_sdk.errors import InputError
from collab_sdk.evaluation import has_question_mark
from collab_sdk.preferences import whole_of
from collab_sdk.stats import Estimate, estimate_share
from collab_trl.preference.examples import some
from collab_trl.preference.row_formats import Messages, words_of
from collab_trl.preference.tokens import Tokens

LEAN = 0.15
"""Of a share away from one half, from which on it is worth a word."""
ALMOST_ALWAYS = 0.95
"""Of the pairs of which one reply asks: the share in which it is the chosen one, from which on a model asks always."""
OFTEN = 0.1
"""Of all pairs: those of which one reply asks, below which they teach little."""
INSTRUCTS = ("system", "developer")
"""Roles that say how to reply, and ask nothing."""
MOST_TOGETHER = 4
"""Rows that are named of those that contradict each other."""
LONGER, ASKS, REJECTED_ASKS = "chosen is the longer reply", "chosen asks", "rejected asks"
ASKS_ALONE = "chosen asks, of the pairs of which one reply does"
ASKS_ALONE_AT_FIRST = f"{ASKS_ALONE}, on a first message"


@dataclass(frozen=True, kw_only=True, slots=True)
class Noticed:
    """A line for each thing that is worth a word, and the shares that they rest on, by name."""

    notes: tuple[str, ...] = ()
    shares: Mapping[str, Estimate] = field(default_factory=dict)


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


def notice(train: Sequence[Tokens], held_out: Sequence[Tokens], *, method: str) -> Noticed:
    """What is worth knowing of preferences for a method.

    Raises InputError where none of them could teach anything: where each is contradicted, or differs in blanks alone.
    """
    both = [*train, *held_out]
    of_rows = (*_without_results(both), *_scored_worse(both))
    if method == "sft":
        return Noticed(notes=of_rows)
    find = _doubts_of_replies if method == "kto" else _doubts_of_pairs
    doubts = list(find(both))
    idle = frozenset[str]().union(*(doubt.places for doubt in doubts))
    if idle.issuperset(tokens.example.where for tokens in train):
        raise InputError(f"nothing to learn: {'; '.join(doubt.problem for doubt in doubts)}")
    shares = {} if method == "kto" else _shares(train)
    return Noticed(
        notes=(
            *(f"{doubt.problem}: {doubt.advice}." for doubt in doubts),
            *(() if method == "kto" else _contradicted_nearly(both, idle)),
            *of_rows,
            *_of_one_kind(train, "trained on", "so the model does not learn to tell good from bad"),
            *_of_one_kind(held_out, "held out", "so it cannot be measured how well good is told from bad"),
            *_told_by_length(shares),
            *_told_by_asking(shares),
        ),
        shares=shares,
    )


def _doubts_of_pairs(pairs: Sequence[Tokens]) -> Iterator[Doubt]:
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


def _contradicted_nearly(pairs: Sequence[Tokens], known: frozenset[str]) -> Iterator[str]:
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


def _without_results(examples: Sequence[Tokens]) -> Iterator[str]:
    wanting = [tokens.example.where for tokens in examples if any(map(_goes_on, _chats(tokens)))]
    if places := list(dict.fromkeys(wanting)):
        yield (
            f"{len(places):,} rows go on behind a tool call without its result ({some(places)}), so the model may "
            "learn to make results up: add them, or end the reply with the call."
        )


def _chats(tokens: Tokens) -> Iterator[Messages]:
    for reply in (tokens.example.chosen, tokens.example.rejected):
        yield (*tokens.example.prompt, *reply)


def _goes_on(chat: Messages) -> bool:
    """Whether anybody speaks before all results of a call are there."""
    wanted = 0
    for message in chat:
        if message["role"] == "tool":
            wanted -= 1
        elif wanted > 0:
            return True
        else:
            wanted = len(message.get("tool_calls") or ())
    return False


def _scored_worse(examples: Sequence[Tokens]) -> Iterator[str]:
    margins = {tokens.example.where: tokens.example.margin for tokens in examples}
    if worse := [where for where, margin in margins.items() if margin is not None and margin < 0]:
        yield (
            f"{len(worse):,} of {len(margins):,} rows score the rejected reply above the chosen one ({some(worse)}): "
            "swap the two, or leave these rows out."
        )


def _doubts_of_replies(replies: Sequence[Tokens]) -> Iterator[Doubt]:
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


def _of_one_kind(examples: Sequence[Tokens], which: str, follows: str) -> Iterator[str]:
    kinds = {bool(tokens.example.chosen) - bool(tokens.example.rejected) for tokens in examples}
    if kinds in ({1}, {-1}):
        kind, other = ("good", "bad") if kinds == {1} else ("bad", "good")
        yield f"All {len(examples):,} replies {which} are {kind} ones, {follows}: add some that are {other}."


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


def _shares(pairs: Sequence[Tokens]) -> dict[str, Estimate]:
    """Of the pairs that are learnt from."""
    found = {
        LONGER: _share(pairs, lambda pair: _first(sum(pair.chosen.learnt), sum(pair.rejected.learnt))),
        ASKS: _share(pairs, lambda pair: _asks(pair.example.chosen)),
        REJECTED_ASKS: _share(pairs, lambda pair: _asks(pair.example.rejected)),
        ASKS_ALONE: _share(pairs, _chosen_asks_alone),
        ASKS_ALONE_AT_FIRST: _share([pair for pair in pairs if len(pair.example.said) == 1], _chosen_asks_alone),
    }
    return {name: share for name, share in found.items() if share is not None}


def _chosen_asks_alone(pair: Tokens) -> bool | None:
    return _first(_asks(pair.example.chosen), _asks(pair.example.rejected))


def _share(pairs: Sequence[Tokens], says: Callable[[Tokens], bool | None]) -> Estimate | None:
    """Of those that say yes or no."""
    groups: dict[str, list[float]] = {}
    for pair in pairs:
        if (said := says(pair)) is not None:
            groups.setdefault(pair.example.known_by, []).append(float(said))
    return estimate_share(list(groups.values()))


def _first(one: int, other: int) -> bool | None:
    """Whether the first is more; None if they are the same."""
    return None if one == other else one > other


def _asks(reply: Messages) -> bool:
    return any(has_question_mark(message["content"]) for message in reply if message["role"] == "assistant")


def _told_by_length(shares: Mapping[str, Estimate]) -> Iterator[str]:
    longer = shares.get(LONGER)
    if longer is None or not _leans(longer):
        return
    word, other = ("longer", "shorter") if longer.mean > 0.5 else ("shorter", "longer")
    yield (
        f"A reply's length tells chosen from rejected in {max(longer.mean, 1 - longer.mean):.0%} of the pairs (chosen "
        f"is longer in {longer:.0%}), so the model may learn to write {word} whatever is asked: add pairs whose chosen "
        f"reply is the {other} one, and compare the length of its replies before and after."
    )


def _told_by_asking(shares: Mapping[str, Estimate]) -> Iterator[str]:
    """Of first messages, where there are enough: what a model asks later, when more is known, it need not ask there."""
    for name, of in ((ASKS_ALONE_AT_FIRST, "on a first message "), (ASKS_ALONE, "")):
        alone = shares.get(name)
        if alone is None or not _leans(alone) or alone.n < OFTEN * shares[ASKS].n:
            continue
        those = f"Of {alone.n:,} pairs {of}in which one reply alone asks, it is the"
        if alone.mean >= ALMOST_ALWAYS:
            yield (
                f"{those} chosen one in {alone:.0%}, so the model will learn to ask where nothing is open, too: add "
                "pairs of requests that are clear, whose chosen reply answers and whose rejected one asks."
            )
            return
        if alone.mean <= 1 - ALMOST_ALWAYS:
            yield (
                f"{those} rejected one in {1 - alone.mean:.0%}, so the model will learn never to ask: add pairs of "
                "requests that leave something open, whose chosen reply asks."
            )
            return


def _leans(share: Estimate) -> bool:
    """Whether it is far from one half, and not by chance."""
    if share.low is None or share.high is None or abs(share.mean - 0.5) <= LEAN:
        return False
    return not share.low <= 0.5 <= share.high


def _one_and_other(places: Sequence[str]) -> str:
    """Of the rows that contradict each other; of many, some."""
    return " and ".join(places[:MOST_TOGETHER]) + (" and others" if len(places) > MOST_TOGETHER else "")
