"""Tools that a model plays: from their specs, all that was called so far, and recorded results as examples."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.engine.asking import ask_json, prompt_request
from collab_sdk.engine.engine import Engine
from collab_sdk.errors import SampleError
from collab_sdk.messages import Message, ToolCall
from collab_sdk.models.base import CallRole, ChatModel, settings_for, spec_of
from collab_sdk.models.form import Note, Record
from collab_sdk.prompts import fence, json_line, middle_out
from collab_sdk.spec import ROLE_DEFAULTS, ModelSettings, ModelSpec
from collab_sdk.tools.base import Done, Scene, done_calls, tool_name

MOST_OF_CALLS, MOST_OF_EXAMPLES, MOST_OF_ONE = 40_000, 12_000, 4_000
"""Characters that the model sees of the calls so far, of the examples, and of the arguments or result of one call."""
MOST_OF_CALL = 20_000
"""Characters of the call that is to be answered, and of the tool's specification."""
EXAMPLES = 5
"""Of the called tool, and as many of others."""
NONE = "(none)"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultForm:
    """The result of a tool: text, or JSON, which becomes text. `null` is an empty result."""

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def read(self, value: Any, name: str = "the answer") -> str:
        if isinstance(value, str):
            return value
        return "" if value is None else json.dumps(value, ensure_ascii=False)


FORM = Record(fields={"reason": Note(), "result": ResultForm()})


class SimulatedTools:
    """A model plays the tools. What a call wrote is there for later ones, since they see all calls of the future.

    The model sees no goal and nothing that was said. It is asked at temperature 0 unless it has other settings. Without
    a model, a call is a missing sample.
    """

    name = "simulated"
    code = None
    tools = ()

    def __init__(self, model: ChatModel | None, *, engine: Engine) -> None:
        self.model = model
        defaults = ROLE_DEFAULTS["tools"]
        self.settings: ModelSettings = defaults if model is None else settings_for(model, defaults)
        self.engine = engine

    @property
    def spec(self) -> ModelSpec | None:
        """The model as data, as it is asked."""
        return None if self.model is None else spec_of(self.model, self.settings)

    def open(self, scene: Scene) -> "SimulatedSession":
        """The tools of a new future."""
        return SimulatedSession(self, scene)


class SimulatedSession:
    """The simulated tools of one future; its state is what was called so far."""

    def __init__(self, player: SimulatedTools, scene: Scene) -> None:
        self._player = player
        self._scene = scene

    async def acall(self, call: ToolCall, messages: Sequence[Message]) -> str:
        """What the model says that the tool returned. Raises SampleError if it fails or answers in no readable form."""
        player = self._player
        if player.model is None:
            raise SampleError(f"Nobody plays the tool {call.name}: name a model for it (--tools-model).")
        spec = next((tool for tool in self._scene.tools if tool_name(tool) == call.name), {"name": call.name})
        made = done_calls(messages, before=call)
        fields = {
            "tool": fence("tool", _specification(spec)),
            "examples": fence("examples", _examples(call, done_calls(self._scene.logged), made)),
            "calls": fence("calls", _calls(made)),
            "call": fence("call", _line(call, most=MOST_OF_CALL)),
        }
        request = prompt_request(
            CallRole.TOOLS,
            "tools",
            fields,
            form=FORM,
            settings=player.settings,
            sample=self._scene.sample,
            conversation_id=self._scene.conversation_id,
        )
        return str((await ask_json(player.engine, player.model, request, FORM.read))["result"])

    async def aclose(self) -> None:
        """Nothing is held."""


def _examples(call: ToolCall, logged: Iterable[Done], made: Iterable[Done]) -> str:
    """Recorded results that are not among the calls so far, first those of the same tool, with the same arguments."""
    shown = {(done.call.name, done.call.arguments, done.result) for done in made}
    known = [
        done
        for done in logged
        if done.result is not None and (done.call.name, done.call.arguments, done.result) not in shown
    ]
    own = [done for done in known if done.call.name == call.name]
    own.sort(key=lambda done: done.call.parsed != call.parsed)
    others = [done for done in known if done.call.name != call.name]
    lines: list[str] = []
    for done in (*own[:EXAMPLES], *others[:EXAMPLES]):
        line = _line(done.call, done.result)
        if sum(map(len, lines)) + len(line) <= MOST_OF_EXAMPLES:
            lines.append(line)
    return "\n".join(lines) or NONE


def _calls(made: Sequence[Done]) -> str:
    """The calls so far with their results, the oldest left out where they are too many."""
    lines: list[str] = []
    size = 0
    for done in reversed(made):
        line = _line(done.call, done.result)
        size += len(line)
        if size > MOST_OF_CALLS:
            lines.append(json_line({"earlier_calls_left_out": len(made) - len(lines)}))
            break
        lines.append(line)
    return "\n".join(reversed(lines)) or NONE


def _specification(tool: Mapping[str, Any]) -> str:
    """The tool as a line, its JSON as text where the middle has to be left out."""
    whole = json.dumps(tool, ensure_ascii=False)
    return json_line(tool if len(whole) <= MOST_OF_CALL else middle_out(whole, MOST_OF_CALL)[0])


def _line(call: ToolCall, result: str | None = None, *, most: int = MOST_OF_ONE) -> str:
    arguments = call.parsed if len(call.arguments) <= most else None
    shown = middle_out(call.arguments, most)[0] if arguments is None else arguments
    made: dict[str, Any] = {"tool": call.name, "arguments": shown}
    return json_line(made if result is None else {**made, "result": middle_out(result, MOST_OF_ONE)[0]})
