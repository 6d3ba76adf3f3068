"""Whether what a simulated user said is what a user could say there at all. Where not, the bot is not to blame."""

from collections.abc import Mapping, Sequence
from typing import Any

from collab_sdk.engine.asking import ask_json, prompt_request
from collab_sdk.fidelity.user_turns import ComparedTurn, TurnVerdict
from collab_sdk.messages import Message
from collab_sdk.metrics.judge import Judge
from collab_sdk.models.base import CallRole
from collab_sdk.models.form import Flag, Items, Note, Number, Record
from collab_sdk.prompts import fence, fence_goal, json_line
from collab_sdk.simulator import Situation, UserTurn, fault_of
from collab_sdk.types import Conversation, End

CRITERIA: Mapping[str, str] = {
    "in_character": "what a user would write there",
    "goal_kept": "goes by the goal",
    "nothing_leaked": "does not recite the goal",
    "leaves_in_time": "leaves neither early nor late",
}
"""What the judge is asked of every simulated turn."""
PROMPT = "user_verdicts"


def fault_in(said: UserTurn, situation: Situation) -> str | None:
    """Which rule a message breaks where it is said; None for what a user could say."""
    return None if (found := fault_of(said, situation)) is None else str(found[0])


def real_fault(turn: ComparedTurn) -> str | None:
    """Which rule the real user's message at that turn breaks: such rules are wrong there."""
    said = UserTurn(message=turn.real, end=End.USER_DONE if turn.real_stops else None)
    return fault_in(said, Situation(messages=turn.history, goal=turn.goal, turn=turn.turn - 1))


async def averdicts(conversation: Conversation, turns: Sequence[ComparedTurn], *, judge: Judge) -> list[TurnVerdict]:
    """The judge's verdict on each turn, all of which have a simulated one, from one call for the whole chat.

    Raises SampleError if the model fails, or does not give a verdict on each.
    """
    entry = Record(
        fields={"number": Number(low=1, high=len(turns)), "reason": Note(), **dict.fromkeys(CRITERIA, Flag())}
    )
    form = Record(fields={"turns": Items(item=entry, at_least=len(turns), at_most=len(turns))}, bare="turns")

    def read(answer: Any) -> list[TurnVerdict]:
        given = {int(each["number"]): each for each in form.read(answer)["turns"]}
        if sorted(given) != list(range(1, len(turns) + 1)):
            raise ValueError(f'"turns" must have an entry for each of the numbers 1 to {len(turns)}, once')
        return [
            TurnVerdict(failed=tuple(name for name in CRITERIA if not each[name]), reason=each["reason"])
            for _, each in sorted(given.items())
        ]

    request = prompt_request(
        CallRole.JUDGE,
        PROMPT,
        {"goal": fence_goal(turns[0].goal.text), "transcript": _transcript(conversation.messages, turns)},
        form=form,
        settings=judge.settings,
        conversation_id=conversation.id,
    )
    return await ask_json(judge.engine, judge.model, request, read)


def _transcript(messages: Sequence[Message], turns: Sequence[ComparedTurn]) -> str:
    """The chat, and after each place what the simulated user said there, by its number."""
    at = {len(turn.history): (number, turn.simulated) for number, turn in enumerate(turns, start=1) if turn.simulated}
    lines: list[dict[str, Any]] = []
    for place, message in enumerate(messages, start=1):
        if message.role in ("user", "assistant") and message.content:
            lines.append({"speaker": message.role, "text": message.content})
        if place in at:
            number, said = at[place]
            lines.append({"speaker": "simulated user", "number": number, "text": said.message, "leaves": said.done})
    return fence("transcript", "\n".join(map(json_line, lines)))
