"""A tiny model that learns while it talks: what it is rewarded for, and by which settings it gets there in seconds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collab_sdk import ChatRequest, Engine, Evidence, MRScorer, Rollout, Simulator
from collab_sdk.errors import ModelCallError
from collab_sdk.plugins import load
from collab_sdk.spec import PairRule
from collab_sdk.testing import FakeChatModel
from collab_sdk.training import Play, Training, TrainingOptions
from support.fakes import judged, user_says
from support.local import REQUESTS
from support.training import write_rows

WANTED = "Which size?"
"""One of the five things that the tiny model says, whatever it is asked."""
FAST: dict[str, Any] = {
    "learning_rate": 2e-2,
    "batch_size": 20,
    "per_device_batch_size": 20,
    "lora_r": 8,
    "lora_alpha": 16,
    "epochs": 4.0,
    "beta": 0.02,
    "dtype": "float32",  # the same on every CPU
}


@dataclass(frozen=True)
class Wanted:
    """1 for conversations in which the first reply was the wanted one."""

    name: str = "wanted"
    broken: Callable[[Evidence], bool] = lambda evidence: False

    def rubric(self, goal: Any) -> None:
        return None

    def artefact(self, goal: Any) -> None:
        return None

    def value(self, evidence: Evidence) -> float:
        if self.broken(evidence):
            raise ModelCallError("the measure is broken")
        replies = [message.content for message in evidence.messages if message.role == "assistant"]
        return float(replies[0] == WANTED)


WANTING = Wanted()


def play(*, metric: Wanted = WANTING, user: Any = None, window: int = 1, candidates: int = 4, **settings: Any) -> Play:
    def says(request: ChatRequest) -> str:
        return user_says("a large latte to go")

    engine = Engine()
    simulator = Simulator(FakeChatModel(user or says, name="user"), engine=engine)
    unused = FakeChatModel([], name="replaced by the model in training")
    rollout = Rollout(assistant=unused, simulator=simulator, window=window, samples=1, temperature=1.0, max_tokens=12)
    judge = FakeChatModel(lambda _: judged(), name="judge")
    scorer = MRScorer(rollout, metrics={metric: 1.0}, judge=judge, min_samples=1)
    rule = PairRule(candidates=candidates, fixed_samples=True, min_confidence=0)
    return Play(scorer=scorer, exchanges=2, **({"rule": rule} | settings))


def write_openings(path: Path, n: int = 10) -> Path:
    return write_rows(path, [opening(number) for number in range(n)])


def opening(number: int, **fields: Any) -> dict[str, Any]:
    said = REQUESTS[number % len(REQUESTS)]
    return {"id": f"chat-{number}", "messages": [{"role": "user", "content": said}], "goal": "to be asked", **fields}


def prepared(method: str, data: Path, base: Path, output: Path, **settings: Any) -> Training:
    options = {"data": data, "base": str(base), "output": output, "method": method, "play": play(), **FAST, **settings}
    training: Training = load("trainers", method)(TrainingOptions(**options))
    return training


def logged(history: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [log[name] for log in history if name in log]
