"""All that can be found out of a training on examples before any weight is loaded."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError, UsageError
from collab_sdk.simulator import END_OF_CONVERSATION
from collab_sdk.training import USER, Fault, Preflight, TrainingOptions, read_user_chats
from collab_trl.base import UNLIMITED, Base
from collab_trl.checks import compares_pairs, longest_allowed
from collab_trl.defaults import FEW_STEPS, enough_epochs, steps_of
from collab_trl.memory_estimate import Width, estimates
from collab_trl.output.merge import Compared
from collab_trl.output.training import AnyStage, TrlTraining
from collab_trl.output.workplace import Workplace
from collab_trl.plan import Plan, described, make_plan
from collab_trl.preference.examples import read_examples, some
from collab_trl.preference.held_out import in_two
from collab_trl.preference.noticed import Noticed, notice
from collab_trl.preference.prefix_sharing import can_share
from collab_trl.preference.row_formats import Example, read_example
from collab_trl.preference.tokens import FaultyExampleError, Layout, Tokens

MAY_BE_KNOWN = (
    "What the adapter was trained on before is not known: chats that are held out now may have been among it, and then "
    "say too little of what it learns in this training."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingData:
    """What was read and laid out, and what is to be known of it."""

    train: Sequence[Tokens]
    held_out: Sequence[Tokens]
    watched: Sequence[Tokens]
    """Of what is held out, what the training is watched by."""
    reported: Sequence[Tokens]
    """And what says how good the result is."""
    faults: Mapping[str, Sequence[str]]
    """Where rows are left out, by why."""
    repeated: int
    notes: Sequence[str]
    noticed: Noticed
    max_length: int


def prepare_examples(options: TrainingOptions, base: Base, *, begun: Path | None) -> TrlTraining:
    """`begun` is the adapter that the result will be compared with, if not the base.

    Raises InputError if there is no example in the data that the method could be trained on.
    """
    chat_format = base.chat_format()
    leaving = frozenset((END_OF_CONVERSATION,) if options.role == USER else ())
    if leaving:
        _check_end(base)
    layout = Layout(base.tokenizer, chat_format, may_say=leaving)
    data = _read(options, base, layout, begun=begun)
    options = replace(options, epochs=options.epochs or enough_epochs(len(data.train), options.batch_size))
    plan = _plan(options, base, data.train)

    def stage(training: TrlTraining, name: str, rate: float, workplace: Workplace) -> AnyStage:
        from collab_trl.preference.stage import PreferenceStage

        return PreferenceStage(
            name=name,
            learning_rate=rate,
            options=options,
            plan=plan,
            base=base,
            train=data.train,
            held_out=data.watched,
            reported=data.reported,
            chooses=options.patience > 0 and len(data.reported) < len(data.held_out),
            ordinary=[] if options.role == USER else _ordinary(layout),
            begun=begun,
            workplace=workplace,
        )

    said = described(options, plan) | base.chat_template.described() | chat_format.described()
    return TrlTraining(
        options=options,
        base=base,
        plan=plan,
        preflight=_preflight(options, base, plan, data, said),
        rows=[
            *(["trained on", *_said(tokens.example)] for tokens in data.train),
            *(["held out", *_said(tokens.example)] for tokens in data.held_out),
        ],
        compared=Compared.of(data.held_out, data.train),
        stage=stage,
        reported=data.reported,
        begun=begun,
    )


def _read(options: TrainingOptions, base: Base, layout: Layout, *, begun: Path | None) -> TrainingData:
    chats = (options.chats or read_user_chats(options.data)) if options.role == USER else None
    found = read_examples(options.data, method=options.method, eval_fraction=options.eval_fraction, chats=chats)
    max_length = longest_allowed(options, base)
    faults = {fault.problem: list(fault.places) for fault in found.faults}
    train = _tokenized(found.train, layout, max_length, faults)
    held_out = _tokenized(found.held_out, layout, max_length, faults)
    if not train:
        problem, places = next(iter(faults.items()))
        raise InputError(
            f"nothing to train on: {problem} ({len(places)} rows: {some(places)})", where=str(options.data)
        )
    watched, reported = in_two(held_out, chooses=options.patience > 0)
    return TrainingData(
        train=train,
        held_out=held_out,
        watched=watched,
        reported=reported,
        faults=faults,
        repeated=found.repeated,
        notes=(
            *(chats.notes if chats else ()),
            *found.notes,
            *([MAY_BE_KNOWN] if begun is not None and held_out else []),
            *([_trimmed_said(layout.trimmed)] if layout.trimmed else []),
        ),
        noticed=_noticed(options, train, held_out),
        max_length=max_length,
    )


def _check_end(base: Base) -> None:
    """Raises UsageError where the tokenizer cannot write what a user leaves with."""
    encoded = base.tokenizer(END_OF_CONVERSATION, add_special_tokens=False)["input_ids"]
    if END_OF_CONVERSATION not in base.tokenizer.decode(encoded):
        raise UsageError(
            f"The tokenizer of {base.name} cannot write {END_OF_CONVERSATION}, with which a user leaves: add it with "
            "tokenizer.add_tokens and model.resize_token_embeddings, or take another base."
        )


def _trimmed_said(places: Collection[str]) -> str:
    return (
        f"The chat template takes out the blanks at the beginning or end of the replies of {len(places):,} rows "
        f"({some(places)}): they are learnt without."
    )


def _noticed(options: TrainingOptions, train: Sequence[Tokens], held_out: Sequence[Tokens]) -> Noticed:
    try:
        return notice(train, held_out, method=options.method)
    except InputError as error:
        raise InputError(error.problem, where=str(options.data)) from None


def _ordinary(layout: Layout) -> list[Tokens]:
    """Replies that have nothing to do with any training, as far as the chat template takes them."""
    path = Path(__file__).with_name("ordinary.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return _tokenized([read_example(row, path.name) for row in rows], layout, UNLIMITED, {})


def _plan(options: TrainingOptions, base: Base, examples: Sequence[Tokens]) -> Plan:
    import torch

    shared = options.method == "dpo" and can_share(base.config)
    rows = 2 if options.method == "dpo" else 1
    # On a GPU, TRL's kernel computes the logits of what is learnt alone.
    scored = (lambda tokens: tokens.completion) if torch.cuda.is_available() else (lambda tokens: tokens.length)
    widest = Width(
        tokens=max(tokens.together if shared else rows * tokens.length for tokens in examples),
        positions=rows * max(map(scored, examples)),
        masked=0 if shared else rows * max(tokens.length for tokens in examples) ** 2,
    )
    return make_plan(options, base, widest=widest, examples=len(examples), shared=shared)


def _said(example: Example) -> list[Any]:
    return [example.known_by, example.prompt, example.chosen, example.rejected, example.tools]


def _tokenized(
    examples: Sequence[Example], layout: Layout, max_length: int, faults: dict[str, list[str]]
) -> list[Tokens]:
    """The examples that can be trained on as they are; why and where the others are is put into `faults`."""
    good = []
    for example in examples:
        try:
            tokens = layout.tokenize(example)
            if tokens.length > max_length:
                raise FaultyExampleError(f"longer than {max_length:,} tokens (--max-length), so the reply would be cut")
        except FaultyExampleError as fault:
            faults.setdefault(str(fault), []).append(example.where)
        else:
            good.append(tokens)
    return good


def _preflight(
    options: TrainingOptions, base: Base, plan: Plan, data: TrainingData, said: Mapping[str, str]
) -> Preflight:
    train, everything = data.train, [*data.train, *data.held_out]
    longest = max(tokens.length for tokens in train)
    return Preflight(
        examples=len(train),
        held_out=len(data.held_out),
        reported=len(data.reported),
        repeated=data.repeated,
        conversations=len({tokens.example.known_by for tokens in everything}),
        trained_on=frozenset(tokens.example.conversation for tokens in train),
        openings=frozenset(tokens.example.known_by for tokens in train),
        faults=tuple(Fault(problem=problem, places=tuple(places)) for problem, places in data.faults.items()),
        pairs=data.noticed.shares,
        notes=(
            *data.notes,
            *data.noticed.notes,
            *_parts_said(options, len(data.held_out), len(data.reported)),
            *_notes(options, base, plan, train),
        ),
        lengths=tuple(tokens.length for tokens in everything),
        completion_lengths=tuple(tokens.completion for tokens in everything),
        reply_tokens=base.reply_bound(max(tokens.completion for tokens in everything)),
        margins=tuple(tokens.example.margin for tokens in everything if tokens.example.margin is not None),
        max_length=data.max_length if data.max_length < UNLIMITED else longest,
        rendered=_rendered(base, train[0]),
        parameters=base.parameters,
        trainable=base.trainable(options.lora_r, options.target_modules),
        memory=estimates(base, options, load=plan.load, precision=plan.precision),
        available=plan.available,
        device=plan.device,
        plan=said,
    )


def _parts_said(options: TrainingOptions, held_out: int, reported: int) -> list[str]:
    if not held_out or not options.patience:
        return []
    if reported == held_out:
        return [
            f"{held_out:,} held out are too few to choose the checkpoint by some and report on others: all report, and "
            "the last step is kept."
        ]
    return [f"Of those held out, {held_out - reported:,} choose the checkpoint, and {reported:,} report on it."]


def _notes(options: TrainingOptions, base: Base, plan: Plan, train: Sequence[Tokens]) -> list[str]:
    notes = []
    if (steps := steps_of(options, len(train))) < FEW_STEPS:
        notes.append(
            f"The training has {steps} optimizer steps, which are few: it may change nothing that can be seen. Give "
            "more rows, more --epochs, or a smaller --batch-size."
        )
    if compares_pairs(options):
        notes.append(
            f"aot compares the pairs that are computed at once, {plan.micro_batch:,} here: another "
            "--per-device-batch-size would be another training."
        )
    return notes


def _rendered(base: Base, tokens: Tokens) -> tuple[tuple[str, bool], ...]:
    """The texts of an example, and which count in the loss."""
    parts = [(tokens.prompt, False)]
    for completion in (tokens.chosen, tokens.rejected):
        both = zip(completion.ids, completion.learnt, strict=True)
        for learnt, together in groupby(both, key=lambda each: bool(each[1])):
            parts.append(([token for token, _ in together], learnt))
    return tuple((base.tokenizer.decode(ids), learnt) for ids, learnt in parts)
