"""Messages to text and tokens and back, by a tokenizer's chat template."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from collab_sdk.errors import EndpointError, ModelCallError, ParameterRefusedError
from collab_sdk.logs import arguments_object, in_order_of_calls
from collab_sdk.messages import Message
from collab_sdk.models import marks_reasoning, split_reasoning
from collab_sdk.secrets import one_line
from collab_sdk.simulator import END_OF_CONVERSATION
from collab_trl.chat_template import DEVELOPER_AS_SYSTEM, QUESTION, SYSTEM_IN_FIRST_USER, Thought, behind_empty_thought
from collab_trl.hf.grammar import Grammars
from collab_trl.hf.sentinels import Sentinels, altered
from collab_trl.hf.written_calls import calls_in, can_be_read

Row = Mapping[str, Any]
PROBE, THOUGHT = "An answer.", "A thought."
DATE = re.compile(r"strftime_now\(\s*(['\"])(?P<form>.*?)\1")
ROLES = frozenset(("system", "developer", "user", "assistant", "model", "tool"))
TODAY = "today's is in every prompt, and another one when it is served"
MARK_TOKENS = 12
"""Where a mark of a thought is not one token, it is no more than these."""
KNOWS_TOOLS = "take one whose template knows tools (Qwen, Llama 3.1, Mistral, gpt-oss)"


class RefusedChatError(ModelCallError):
    """A chat that a template refuses; `reason` is what it says."""

    def __init__(self, folder: Path, error: Exception) -> None:
        self.reason = one_line(str(error), 160) or type(error).__name__
        super().__init__(f"The chat template in {folder} does not take this chat: {self.reason}")


class ChatFormat:
    """`ends` are the tokens at which the model says its answers end; the template's own end of a turn is added.

    Raises EndpointError for a tokenizer that knows no chats.
    """

    def __init__(self, tokenizer: Any, *, ends: Iterable[int], folder: Path) -> None:
        if not tokenizer.chat_template:
            raise EndpointError(
                f"The tokenizer in {folder} has no chat template. Use the chat (instruct) version of the "
                "model, or save the template it was trained with there as chat_template.jinja."
            )
        self._tokenizer = tokenizer
        self._folder = folder
        self._known: dict[str, tuple[str, ...]] = {}
        """What is left out of chats, by their shape."""
        self._details: dict[str, None] = {}
        """What is left out of tools that are shown otherwise."""
        self.ends = frozenset(ends) | self._turn_ends()
        self.grammars = Grammars(tokenizer, ends=self.ends)
        self._unsaid = {
            token
            for token, added in tokenizer.added_tokens_decoder.items()
            if added.special and not marks_reasoning(added.content) and added.content != END_OF_CONVERSATION
        }
        """Special tokens that are left out of an answer's text, where they tell neither what is reasoning nor that a
        user leaves."""

    def prompt(self, messages: Sequence[Message], tools: Sequence[Row] = ()) -> list[int]:
        """The tokens that an answer goes on from; `tools`, in OpenAI's form, are what it may call.

        Raises ParameterRefusedError for system messages that the template refuses or leaves out, and ModelCallError for
        a chat that it refuses or of which it leaves anything else out, and for calls that could not be read.
        """
        chat = [_row(message) for message in in_order_of_calls(messages)]
        if any(row["role"] == "system" for row in chat) and not self.takes_system:
            raise ParameterRefusedError(
                f"The chat template in {self._folder} has no place for the system role.", parameter="system"
            )
        if lost := self.lost(chat, tools):
            raise ModelCallError(
                f"The chat template in {self._folder} leaves out {lost}, so that the model cannot go on with this "
                f"chat: {way_out(lost, '?layout=')}."
            )
        if tools and not self._calls_can_be_read:
            raise ModelCallError(
                f"The chat template in {self._folder} marks calls of tools in a way that is not known here, so that "
                f"the model cannot go on with this chat: {KNOWS_TOOLS}."
            )
        # <|im_end|> in a message is text, and ends no turn.
        encoded = self._applied(chat, tools, return_dict=True, sanitize_control_tokens=True)
        return list(encoded["input_ids"])

    def laid_out(self, chat: Sequence[Row], tools: Sequence[Row] = (), *, generation_prompt: bool) -> str:
        """A chat as text. Raises RefusedChatError for one that the template refuses."""
        return str(self._applied(chat, tools, add_generation_prompt=generation_prompt, tokenize=False))

    def encoded(self, text: str) -> list[int]:
        """Text that was laid out as tokens."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def lost(self, chat: Sequence[Row], tools: Sequence[Row] = (), *, replied: int | None = None) -> str:
        """What does not come through of a chat and its tools, in words; nothing where all does.

        `replied` is the place of the message with which its reply begins; without one it is a prompt. Raises
        RefusedChatError for a chat that the template refuses.
        """
        found = self._left_out(chat, tools, replied=replied)
        if tools and not found and not self._takes_calls:
            found = ("tool calls and their results",)
        if not found:
            shown = self.laid_out(chat, tools, generation_prompt=replied is None)
            found = altered(chat, shown, replied=len(chat) if replied is None else replied)
        return listed(found)

    def _left_out(self, chat: Sequence[Row], tools: Sequence[Row], *, replied: int | None) -> tuple[str, ...]:
        """By a chat of that shape with a word of its own in every place, so that none hides behind another's."""
        sentinels = Sentinels.of(chat, tools, replied=len(chat) if replied is None else replied)
        shape = json.dumps([sentinels.chat, sentinels.tools, replied], default=str)
        if shape not in self._known:
            shown = self.laid_out(sentinels.chat, sentinels.tools, generation_prompt=replied is None)
            self._known[shape] = sentinels.left_out(shown)
            self._details |= dict.fromkeys(sentinels.details_left_out(shown))
        return self._known[shape]

    def _applied(self, chat: Sequence[Row], tools: Sequence[Row], **form: Any) -> Any:
        """What the template makes of a chat, as tokens or as text."""
        try:
            return self._tokenizer.apply_chat_template(
                list(chat),
                tools=[dict(tool) for tool in tools] or None,  # Llama's template takes an empty list for tools
                **({"add_generation_prompt": True} | form),
            )
        except Exception as error:  # a template is a program, and fails as it likes
            raise RefusedChatError(self._folder, error) from None

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template has a place for a system message."""
        try:
            return not self._left_out([{"role": "system", "content": PROBE}, QUESTION], (), replied=None)
        except ModelCallError:
            return False

    @cached_property
    def _takes_calls(self) -> bool:
        """Whether the template shows calls of tools and what came back."""
        call = {"id": "call00000", "type": "function", "function": {"name": "look_up", "arguments": {"order": "5"}}}
        chat: list[Row] = [
            QUESTION,
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": PROBE, "name": "look_up", "tool_call_id": "call00000"},
        ]
        try:
            return not self._left_out(chat, (), replied=None)
        except ModelCallError:
            return False

    def described(self) -> dict[str, str]:
        """How the chats were laid out that it was asked about, where one would not expect it, in words, by setting."""
        details = {"tools": f"shown without their {listed(tuple(self._details))}"} if self._details else {}
        return {**({"thinking": self._thinking} if self._thinking else {}), **details, **self._added()}

    def _is_dated(self, shown: str) -> bool:
        forms = {found["form"] for found in DATE.finditer(str(self._tokenizer.chat_template))}
        return any(datetime.now().astimezone().strftime(form) in shown for form in forms)

    def _added(self) -> dict[str, str]:
        """What the template says of its own to a chat without a system message, and whether that has today's date."""
        try:
            shown = self.laid_out([QUESTION], generation_prompt=True)
        except RefusedChatError:
            return {}
        head = shown.partition(QUESTION["content"])[0]
        for token in self._tokenizer.added_tokens_decoder.values():
            head = head.replace(token.content, " ")
        own = [word for word in head.split() if word.casefold() not in ROLES]
        return {
            **({"added": f"{one_line(' '.join(own), 80)} (to a chat without a system message)"} if own else {}),
            **(
                {"date": "today's is in every prompt, and another one when it is served"}
                if self._is_dated(shown)
                else {}
            ),
        }

    @cached_property
    def _thinking(self) -> str:
        """What becomes of thoughts where replies without any are learnt; nothing if the template knows none."""
        answer = {"role": "assistant", "content": PROBE}
        try:
            prompt = self.laid_out([QUESTION], generation_prompt=True)
            whole = self.laid_out([QUESTION, answer], generation_prompt=False)
            thought_of = self.laid_out([QUESTION, answer | {"reasoning_content": THOUGHT}], generation_prompt=False)
        except RefusedChatError:
            return ""
        begun = Thought.ending(prompt)
        if begun is not None and begun.is_closed:
            return "off: the prompt ends with an empty thought, and the reply behind it is learnt"
        if begun is not None:
            return "on: the prompt begins a thought; that it is empty is not learnt, but the reply behind it"
        if whole.startswith(prompt) and behind_empty_thought(whole[len(prompt) :]):
            return "left to the model: the empty thought in front of a reply is not learnt, but the reply behind it"
        return "left out: that a reply begins without a thought is learnt" if THOUGHT in thought_of else ""

    @cached_property
    def _calls_can_be_read(self) -> bool:
        own = getattr(self._tokenizer, "response_template", None)
        return can_be_read(str(self._tokenizer.chat_template), own=own)

    def opening(self, prompt: Sequence[int]) -> str:
        """The mark of the thought that the template has begun the answer with, if it has."""
        for n in range(1, MARK_TOKENS + 1):
            tail: str = self._tokenizer.decode(prompt[-n:])
            if marks_reasoning(tail.strip()) and not split_reasoning(tail + PROBE)[0]:
                return tail.strip()
        return ""

    def closes_thought(self, tokens: Sequence[int], *, opening: str) -> bool:
        """Whether the thought that began with the mark `opening` ends with the last of these tokens."""
        tail: str = self._tokenizer.decode(tokens[-MARK_TOKENS:])
        return split_reasoning(opening + tail + PROBE)[0] == PROBE

    def text(self, tokens: Iterable[int], *, opening: str = "") -> str:
        """An answer as text, with the model's reasoning, marked, but without the token that ends it."""
        said = [token for token in tokens if token not in self.ends and token not in self._unsaid]
        text: str = self._tokenizer.decode(said)
        return (opening + text).strip()

    def calls(
        self, tokens: Iterable[int], tools: Sequence[Mapping[str, Any]], *, opening: str = ""
    ) -> tuple[str, Sequence[Mapping[str, Any]]]:
        """An answer as its text, as `text` has it, and the calls in it."""
        tokens = list(tokens)
        unknown = self._tokenizer.unk_token_id  # stands for no word, and could not be given back as one
        written: str = self._tokenizer.decode([token for token in tokens if token not in {*self.ends, unknown}])
        own = getattr(self._tokenizer, "response_template", None)
        said, calls = calls_in(opening + written, str(self._tokenizer.chat_template), tools, own=own)
        if not calls:
            return self.text(tokens, opening=opening), ()
        for token in self._unsaid:
            said = said.replace(self._tokenizer.added_tokens_decoder[token].content, "")
        return said.strip(), calls

    def _turn_ends(self) -> set[int]:
        """The tokenizer's end token, and the one that closes a turn in the template, which may be another."""
        try:
            shown: str = self._tokenizer.apply_chat_template(
                [QUESTION, {"role": "assistant", "content": PROBE}], tokenize=False
            )
        except Exception as error:  # a template is a program, and fails as it likes
            reason = one_line(str(error), 160)
            raise EndpointError(f"The chat template in {self._folder} does not work: {reason}") from None
        _, is_shown, closing = shown.rpartition(PROBE)
        control = self._tokenizer.added_tokens_decoder
        first = self.encoded(closing.lstrip())[:1] if is_shown else []
        own = [self._tokenizer.eos_token_id, *(token for token in first if token in control)]
        return {token for token in own if token is not None}


def listed(found: Sequence[str]) -> str:
    """`a, b and c`"""
    return " and ".join(part for part in (", ".join(found[:-1]), *found[-1:]) if part)


def way_out(lost: str, flag: str) -> str:
    """What to do about what a template leaves out; `flag` is how a layout is asked for."""
    if "tool" in lost:
        return KNOWS_TOOLS
    if "developer" in lost:
        return f"{flag}{DEVELOPER_AS_SYSTEM} lays it out as a system message"
    if "system" in lost:
        return f"{flag}{SYSTEM_IN_FIRST_USER} puts it at the head of the user's message"
    return "take a model with another chat template"


def _row(message: Message) -> dict[str, Any]:
    row = message.to_dict()
    if message.tool_calls:  # templates write the arguments as JSON themselves
        row["tool_calls"] = [with_arguments_read(call) for call in message.tool_calls]
    return row


def with_arguments_read(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call whose arguments are an object, as templates want them, where they are its JSON text, as in logs."""
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return dict(call)
    arguments = arguments_object(function["arguments"])
    return dict(call) if arguments is None else {**call, "function": {**function, "arguments": arguments}}
