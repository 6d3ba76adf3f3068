"""What the tests of the pipeline share: users and judges that answer in the right form."""

import json
from collections.abc import Mapping

from collab_sdk import ChatRequest, Engine, MRScorer, Rollout, Simulator
from collab_sdk.calibration import Calibration
from collab_sdk.messages import Message, shown_text
from collab_sdk.prompts import load_prompt
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import Conversation


def says(text: str) -> tuple[Message, ...]:
    """A response that is a text."""
    return (Message(role="assistant", content=text),)


def other_texts(conversation: Conversation) -> dict[int, tuple[str, ...]]:
    """What the user would have read in place of each turn that has alternatives."""
    return {turn: tuple(map(shown_text, others)) for turn, others in conversation.alternatives.items()}


def user_says(message: str, *, done: bool | str = False, reason: str = "") -> str:
    """A prompted user's answer; one who is simply done is satisfied, others say how they leave."""
    ending = done if isinstance(done, str) else "satisfied" if done else "none"
    return json.dumps({"reason": reason, "done": bool(done), "ending": ending, "message": message})


def judged(goal: float = 1.0, interactivity: float = 0.5) -> str:
    """A judge's answer, whatever it is asked: ten requirements, and verdicts on them."""
    met = round(goal * 10)
    verdicts = [{"number": number, "met": number <= met} for number in range(1, 11)]
    return json.dumps(
        {
            "requirements": [f"r{number}" for number in range(10)],
            "goal": {"reason": "by the list", "verdicts": verdicts},
            "interactivity": {"reason": "by feel", "score": interactivity},
        }
    )


def lists_requirements(request: ChatRequest) -> bool:
    """Whether a judge is asked for the list that it is to judge by."""
    return request.messages[0].content == load_prompt("requirements").text


def judgements(scorer: MRScorer) -> list[ChatRequest]:
    """What the judge of a scorer on fakes was asked, but for lists of requirements."""
    judge = scorer.judge.model
    assert isinstance(judge, FakeChatModel)
    return [request for request in judge.requests if not lists_requirements(request)]


def scorer_of(
    *,
    assistant: object = None,
    user: object = None,
    judge: object = None,
    window: int = 2,
    samples: int = 3,
    metrics: Mapping[str, float] | None = None,
    calibration: Calibration | None = None,
    engine: Engine | None = None,
) -> MRScorer:
    """A scorer on fakes: `assistant`, `user` and `judge` are lists of answers, functions, or defaults."""
    engine = engine or Engine()
    simulator = Simulator(_fake(user, lambda request: user_says(f"more {request.sample}"), "user"), engine=engine)
    rollout = Rollout(
        assistant=_fake(assistant, lambda request: f"answer to {request.messages[-1].content}", "assistant"),
        simulator=simulator,
        window=window,
        samples=samples,
    )
    weights = {"goal": 1.0, "interactivity": 1.0, "token_penalty": 1.0} if metrics is None else metrics
    judge_model = _fake(judge, lambda _: judged(), "judge")
    return MRScorer(rollout, metrics=weights, judge=judge_model, calibration=calibration)


def _fake(answers: object, default: object, name: str) -> FakeChatModel:
    if isinstance(answers, FakeChatModel):
        return answers
    return FakeChatModel(default if answers is None else answers, name=name)  # type: ignore[arg-type]


def chat(*texts: str) -> list[dict[str, str]]:
    """Messages by user and assistant in turn."""
    return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]


def transcript_in(request: ChatRequest) -> str:
    return request.messages[-1].content
