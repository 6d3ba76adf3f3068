"""All that can be found out before any weight is loaded, where the model will talk."""

from collections.abc import Sequence
from typing import Any

from collab_sdk.errors import InputError
from collab_sdk.training import Fault, Play, Preflight, Training, TrainingOptions
from collab_trl.base import UNLIMITED, Base
from collab_trl.checks import longest_allowed
from collab_trl.hf_chat_format import ChatFormat
from collab_trl.memory import estimates
from collab_trl.online.histories import History, histories_of, read_chats
from collab_trl.plan import Plan, lay_out
from collab_trl.preparing import described
from collab_trl.training import AnyStage, TrlTraining
from collab_trl.workplace import Workplace

REPLY_TOKENS = 512
"""The longest reply where neither the scorer nor the base's generation config sets a limit."""


def prepare_playing(options: TrainingOptions, base: Base) -> Training:
    """Raises InputError if there is no history in the logs that the model could answer."""
    play = options.play
    assert play is not None  # noqa: S101 - checked with the options
    chats, faults = read_chats(options.data)
    longest = longest_allowed(options, base)
    limit, ends = _generation(base)
    chat_format = ChatFormat(base.tokenizer, ends=ends, folder=options.output)
    histories = histories_of(chats, chat_format, longest=longest, faults=faults)
    if not histories:
        problem = next(iter(faults), "no chat in it has a user message")
        raise InputError(f"nothing to answer: {problem}", where=str(options.data))
    reply_tokens = play.scorer.rollout.max_tokens or limit or REPLY_TOKENS
    plan = _plan(options, base, play, histories, reply_tokens, longest)

    def stage(training: TrlTraining, name: str, rate: float, workplace: Workplace) -> AnyStage:
        from collab_trl.online.stage import OnlineStage

        return OnlineStage(
            name=name,
            learning_rate=rate,
            options=options,
            play=play,
            plan=training.plan,
            base=base,
            histories=histories,
            chat_format=chat_format,
            reply_tokens=reply_tokens,
            workplace=workplace,
        )

    return TrlTraining(
        options=options,
        base=base,
        plan=plan,
        preflight=preflight(options, base, plan, histories, faults, longest),
        rows=[_said(history) for history in histories],
        stage=stage,
    )


def preflight(
    options: TrainingOptions,
    base: Base,
    plan: Plan,
    histories: Sequence[History],
    faults: dict[str, list[str]],
    longest: int,
) -> Preflight:
    prompt = base.tokenizer.apply_chat_template(
        [message.to_dict() for message in histories[0].messages], add_generation_prompt=True, tokenize=False
    )
    lengths = tuple(history.tokens for history in histories)
    chats = frozenset(history.conversation.id for history in histories)
    return Preflight(
        examples=len(histories),
        held_out=0,
        conversations=len(chats),
        trained_on=chats,
        faults=tuple(Fault(problem=problem, places=tuple(places)) for problem, places in faults.items()),
        notes=("No chat is held out, so give others to --evaluate.",),
        lengths=lengths,
        completion_lengths=(),
        margins=(),
        max_length=longest if longest < UNLIMITED else max(lengths),
        rendered=((prompt, False),),
        parameters=base.parameters,
        trainable=base.trainable(options.rank),
        memory=estimates(base, rank=options.rank, load=plan.load, precision=plan.precision),
        available=plan.available,
        device=plan.device,
        plan=described(options, plan),
    )


def _plan(
    options: TrainingOptions, base: Base, play: Play, histories: Sequence[History], reply_tokens: int, longest: int
) -> Plan:
    """For a history, the reply to it and a future, at their longest."""
    turns = 1 + 2 * play.scorer.rollout.window
    widest = min(max(history.tokens for history in histories) + turns * reply_tokens, longest)
    return lay_out(options, base, widest=widest, examples=len(histories) * play.candidates)


def _generation(base: Base) -> tuple[int | None, list[int]]:
    """The base's own limit of a reply, and the tokens that end one."""
    from transformers import GenerationConfig

    try:
        config = GenerationConfig.from_pretrained(base.name)
    except OSError:  # it has none
        return None, []
    ends = config.eos_token_id
    return config.max_new_tokens, [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def _said(history: History) -> list[Any]:
    goal = history.conversation.goal
    return [[message.to_dict() for message in history.messages], goal.text if goal else None]
