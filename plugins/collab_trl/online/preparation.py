"""All that can be found out before any weight is loaded, where the model will talk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.errors import InputError, UsageError
from collab_sdk.preferences import opening_of
from collab_sdk.training import Fault, Play, Preflight, Training, TrainingOptions
from collab_sdk.types import Conversation
from collab_trl.base import UNLIMITED, Base
from collab_trl.checks import longest_allowed
from collab_trl.defaults import counts_replies
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.memory_estimate import Width, estimates
from collab_trl.online.histories import History, histories_of, read_chats
from collab_trl.output.merge import Compared, sample_of
from collab_trl.output.training import AnyStage, TrlTraining
from collab_trl.output.workplace import Workplace
from collab_trl.plan import Plan, described, make_plan

REPLIES_ALONE = ("online-dpo", "rloo", "ppo")
"""Methods whose trainers take a reply for one stretch of text, with no results of tools in it."""
REPLY_TOKENS = 512
"""The longest reply where neither the scorer nor the base's generation config sets a limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What is in the logs, and how the model will answer it."""

    histories: tuple[History, ...]
    faults: Mapping[str, Sequence[str]]
    """Where what is of no use is, by problem."""
    chat_format: ChatFormat
    reply_tokens: int
    longest: int
    plan: Plan


def prepare_playing(options: TrainingOptions, base: Base) -> Training:
    """Raises InputError if there is no history in the logs that the model could answer."""
    found = chats_of(options, base)

    def stage(training: TrlTraining, name: str, rate: float, workplace: Workplace) -> AnyStage:
        from collab_trl.online.online_stage import OnlineStage

        return OnlineStage(
            name=name,
            learning_rate=rate,
            options=options,
            play=played_by(options),
            plan=training.plan,
            base=base,
            histories=found.histories,
            chat_format=found.chat_format,
            reply_tokens=found.reply_tokens,
            workplace=workplace,
        )

    return TrlTraining(
        options=options,
        base=base,
        plan=found.plan,
        preflight=preflight_of(options, base, found),
        rows=[said(history) for history in found.histories],
        compared=Compared.own_replies(
            [found.chat_format.prompt(history.messages, history.tools) for history in sample_of(found.histories)],
            found.chat_format.ends,
        ),
        stage=stage,
    )


def played_by(options: TrainingOptions) -> Play:
    """Raises UsageError where there is none; options that were checked have it."""
    if options.play is None:
        raise UsageError(f"{options.method} lets the model talk: TrainingOptions needs `play`.")
    return options.play


def chats_of(options: TrainingOptions, base: Base, *, openings: bool = False) -> Found:
    """Every history in the logs, or the `openings` alone. Raises InputError if the model could answer none."""
    play = played_by(options)
    chats, faults = read_chats(options.data)
    longest = longest_allowed(options, base)
    chat_format = base.chat_format()
    histories = histories_of(
        chats,
        chat_format,
        play.scorer.rollout.toolbox,
        longest=longest,
        openings=openings,
        learns_calls=options.method not in REPLIES_ALONE,
        faults=faults,
    )
    if not histories:
        problem = next(iter(faults), "no chat in it has a user message")
        raise InputError(f"nothing to answer: {problem}", where=str(options.data))
    reply_tokens = play.scorer.rollout.settings.max_tokens or base.reply_limit or REPLY_TOKENS
    turns = 1 + 2 * play.scorer.rollout.window
    widest = min(max(history.tokens for history in histories) + turns * reply_tokens, longest)
    return Found(
        histories=tuple(histories),
        faults=faults,
        chat_format=chat_format,
        reply_tokens=reply_tokens,
        longest=longest,
        plan=_plan(options, base, play, widest=widest, histories=len(histories)),
    )


def preflight_of(options: TrainingOptions, base: Base, found: Found) -> Preflight:
    """What is known of a training on histories before any weight is loaded."""
    plan, histories = found.plan, found.histories
    first = histories[0]
    prompt = base.tokenizer.decode(found.chat_format.prompt(first.messages, first.tools))
    lengths = tuple(history.tokens for history in histories)
    chats = frozenset(history.conversation.id for history in histories)
    return Preflight(
        examples=len(histories),
        held_out=0,
        reported=0,
        repeated=0,
        conversations=len(chats),
        trained_on=chats,
        openings=frozenset(known_by(history.conversation) for history in histories),
        faults=tuple(Fault(problem=problem, places=tuple(places)) for problem, places in found.faults.items()),
        # What rounds hold out is decided by the same openings, and said with each round's pairs.
        notes=() if options.rounds else ("No chat is held out: give others to --evaluate.",),
        lengths=lengths,
        completion_lengths=(),
        reply_tokens=found.reply_tokens,
        margins=(),
        max_length=found.longest if found.longest < UNLIMITED else max(lengths),
        rendered=((prompt, False),),
        parameters=base.parameters,
        trainable=base.trainable(options.lora_r, options.target_modules),
        memory=estimates(base, options, load=plan.load, precision=plan.precision),
        available=plan.available,
        device=plan.device,
        plan=described(options, plan) | base.chat_template.described() | found.chat_format.described(),
    )


def _plan(options: TrainingOptions, base: Base, play: Play, *, widest: int, histories: int) -> Plan:
    rows = 1 if counts_replies(options.method) else 2  # a best reply and a worst
    width = Width(tokens=rows * widest, positions=rows * widest, masked=rows * widest**2)
    if not counts_replies(options.method):
        return make_plan(options, base, widest=width, examples=histories)
    return make_plan(
        options, base, widest=width, examples=histories * play.rule.candidates, together=play.rule.candidates
    )


def known_by(conversation: Conversation) -> str:
    """The hash of how it begins."""
    return opening_of(message.content for message in conversation.messages if message.role == "user")


def said(history: History) -> list[Any]:
    """What tells one set of histories from another."""
    goal = history.conversation.goal
    said = [message.to_dict() for message in history.messages]
    return [said, goal.text if goal else None, [dict(tool) for tool in history.tools]]
