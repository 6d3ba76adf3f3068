"""What is noticed about preferences before they are learnt from, and what gives the chosen reply away."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from collab_sdk.errors import InputError
from collab_sdk.evaluation import has_question_mark
from collab_sdk.stats import Estimate, estimate_share
from collab_trl.preference.contradictions import contradicted_nearly, doubts_of_pairs, doubts_of_replies
from collab_trl.preference.examples import some
from collab_trl.preference.row_formats import Messages
from collab_trl.preference.tokens import Tokens

LEAN = 0.15
"""Of a share away from one half, from which on it is worth a word."""
ALMOST_ALWAYS = 0.95
"""Of the pairs of which one reply asks: the share in which it is the chosen one, from which on a model asks always."""
OFTEN = 0.1
"""Of all pairs: those of which one reply asks, below which they teach little."""
LONGER, ASKS, REJECTED_ASKS = "chosen is the longer reply", "chosen asks", "rejected asks"
ASKS_ALONE = "chosen asks, of the pairs of which one reply does"
ASKS_ALONE_AT_FIRST = f"{ASKS_ALONE}, on a first message"


@dataclass(frozen=True, kw_only=True, slots=True)
class Noticed:
    """A line for each thing that is worth a word, and the shares that they rest on, by name."""

    notes: tuple[str, ...] = ()
    shares: Mapping[str, Estimate] = field(default_factory=dict)


def notice(train: Sequence[Tokens], held_out: Sequence[Tokens], *, method: str) -> Noticed:
    """What is worth knowing of preferences for a method.

    Raises InputError where none of them could teach anything: where each is contradicted, or differs in blanks alone.
    """
    both = [*train, *held_out]
    of_rows = (*_without_results(both), *_scored_worse(both))
    if method == "sft":
        return Noticed(notes=of_rows)
    find = doubts_of_replies if method == "kto" else doubts_of_pairs
    doubts = list(find(both))
    idle = frozenset[str]().union(*(doubt.places for doubt in doubts))
    if idle.issuperset(tokens.example.where for tokens in train):
        raise InputError(f"nothing to learn: {'; '.join(doubt.problem for doubt in doubts)}")
    shares = {} if method == "kto" else _shares(train)
    return Noticed(
        notes=(
            *(f"{doubt.problem}: {doubt.advice}." for doubt in doubts),
            *(() if method == "kto" else contradicted_nearly(both, idle)),
            *of_rows,
            *_of_one_kind(train, "trained on", "so the model does not learn to tell good from bad"),
            *_of_one_kind(held_out, "held out", "so it cannot be measured how well good is told from bad"),
            *_told_by_length(shares),
            *_told_by_asking(shares),
        ),
        shares=shares,
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


def _of_one_kind(examples: Sequence[Tokens], which: str, follows: str) -> Iterator[str]:
    kinds = {bool(tokens.example.chosen) - bool(tokens.example.rejected) for tokens in examples}
    if kinds in ({1}, {-1}):
        kind, other = ("good", "bad") if kinds == {1} else ("bad", "good")
        yield f"All {len(examples):,} replies {which} are {kind} ones, {follows}: add some that are {other}."


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
