"""Which conversations are held out: a chat is on one side, by what is said in it and whatever its ids."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from collab_sdk.errors import InputError
from collab_sdk.preferences import held_out_share, is_held_out, opening_of, tells_apart, whole_of
from collab_trl.preference.row_formats import Example


def check_apart(
    held_out: Sequence[Example], train: Sequence[Example], named: Collection[str], *, files: tuple[Path, Path]
) -> None:
    """Raises InputError where a chat is in both files, under one id (`named`) or under two."""
    known = {whole_of(said): (example, said) for example, said in _longest(train)}
    begun = {begun: example for example, said in known.values() for begun in _beginnings(said)}
    whole = {known_by: example for known_by, (example, said) in known.items() if tells_apart(said)}
    shared = dict.fromkeys(named, "")
    for example, said in {whole_of(said): (example, said) for example, said in _longest(held_out)}.values():
        if tells_apart(said):
            same = (whole[beginning] for beginning in _beginnings(said) if beginning in whole)
            if (other := next(same, begun.get(whole_of(said)))) is not None:
                shared.setdefault(example.conversation, f" ({example.where} begins as {other.where} does)")
    if shared:
        raise InputError(
            f"{len(shared)} conversations are in {files[0].name} too{next(filter(None, shared.values()), '')}; a "
            "held-out one must not be",
            where=str(files[1]),
        )


def learnt_as(held_out: Sequence[Example], train: Sequence[Example]) -> list[tuple[Example, Example]]:
    """Of what is held out, that which users say in training too, message by message; and an example there.

    Only for chats that `check_apart` lets pass: with so little in them, two users may have said the same.
    """
    known = {(example.known_by, whole_of(example.said)): example for example in train}
    both = ((example, known.get((example.known_by, whole_of(example.said)))) for example in held_out)
    return [(example, other) for example, other in both if other is not None]


def parted(examples: Sequence[Example], share: float | None) -> tuple[list[Example], list[Example]]:
    """What to train on and what is held out: by how conversations begin, or else by all that their users say.

    The latter where nearly all begin in the same way, so that one side would be empty. With any share but 0, at least
    one conversation of several is on each side.
    """
    openings = by_opening(examples)
    sides = _sides(openings, share)
    if share != 0 and not all(sides):
        wholes = _by_whole(examples)
        if _groups(wholes) > _groups(openings):
            sides = _sides(wholes, share)
    return _with_both(*sides) if share != 0 else sides


def by_opening(examples: Sequence[Example]) -> list[Example]:
    """Known by how its conversation begins, of which the longest prompt has most.

    One without an id by its first message alone, or all turns of a conversation would not be on one side.
    """
    return [
        replace(example, known_by=opening_of(said) if example.is_named else example.conversation)
        for example, said in _longest(examples)
    ]


def _by_whole(examples: Sequence[Example]) -> list[Example]:
    """Known by all that its user says: also what follows in another row, where that goes on in one way only.

    So the turns of a conversation without an id are on one side, and so are two logs of which one is shorter.
    """
    whole = [(example, said, whole_of(said)) for example, said in _longest(examples)]
    ends: dict[str, set[str]] = {}
    for _, said, known_by in sorted(whole, key=lambda each: len(each[1]), reverse=True):
        if known_by not in ends:  # no longer one goes on from it
            for begun in _beginnings(said):
                ends.setdefault(begun, set()).add(known_by)
    return [
        replace(example, known_by=next(iter(ends[known_by])) if len(ends[known_by]) == 1 else known_by)
        for example, _, known_by in whole
    ]


def _longest(examples: Sequence[Example]) -> list[tuple[Example, list[str]]]:
    """Each with what the user says in the longest prompt of its conversation."""
    longest: dict[str, list[str]] = {}
    for example in examples:
        if example.is_named and len(example.said) > len(longest.get(example.conversation, ())):
            longest[example.conversation] = example.said
    return [(example, longest[example.conversation] if example.is_named else example.said) for example in examples]


def _beginnings(said: Sequence[str]) -> list[str]:
    return [whole_of(said[:turns]) for turns in range(1, len(said) + 1)]


def _sides(examples: Sequence[Example], share: float | None) -> tuple[list[Example], list[Example]]:
    sides: tuple[list[Example], list[Example]] = ([], [])
    fraction = held_out_share(example.known_by for example in examples) if share is None else share
    for example in examples:
        sides[is_held_out(example.known_by, fraction)].append(example)
    return sides


def _with_both(train: list[Example], held_out: list[Example]) -> tuple[list[Example], list[Example]]:
    """With a conversation on each side, whatever the share, where there is more than one."""
    names = sorted({example.known_by for example in (*train, *held_out)})
    if not names or (train and (held_out or len(names) == 1)):
        return train, held_out
    moved = {names[0]} if train else {names[-1]}  # the first to be held out, or the last
    others = train or held_out
    one = [example for example in others if example.known_by in moved]
    rest = [example for example in others if example.known_by not in moved]
    return (rest, one) if train else (one, rest)


def _groups(examples: Iterable[Example]) -> int:
    return len({example.known_by for example in examples})
