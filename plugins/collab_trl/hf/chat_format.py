"""Messages to tokens and back, by a tokenizer's chat template."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from collab_sdk.errors import EndpointError, ModelCallError, ParameterRefusedError
from collab_sdk.logs import arguments_object, in_order_of_calls
from collab_sdk.messages import Message
from collab_sdk.models import marks_reasoning, split_reasoning
from collab_sdk.secrets import one_line
from collab_trl.hf.grammar import Grammars
from collab_trl.hf.written_calls import calls_in, can_be_read

PROBE, PROBE_TOOL = "An answer.", "look_up_order"
MARK_TOKENS = 12
"""Where a mark of a thought is not one token, it is no more than these."""


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
        self.ends = frozenset(ends) | self._turn_ends()
        self.grammars = Grammars(tokenizer, ends=self.ends)
        self._unsaid = {
            token
            for token, added in tokenizer.added_tokens_decoder.items()
            if added.special and not marks_reasoning(added.content)
        }
        """Special tokens that are left out of an answer's text, where they do not tell what is reasoning."""

    def prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """The tokens that an answer goes on from; `tools`, in OpenAI's form, are what it may call.

        Raises ParameterRefusedError for system messages that the template refuses or leaves out, and ModelCallError for
        a chat that it refuses, and for tools, calls and results that it leaves out.
        """
        if problem := self._problem_with(messages, tools):
            raise ModelCallError(
                f"The chat template in {self._folder} {problem}, so that the model cannot go on with this chat: take "
                "one whose template knows tools (Qwen, Llama 3.1, Mistral, gpt-oss)."
            )
        if not self._takes_system and any(message.role == "system" for message in messages):
            raise ParameterRefusedError(
                f"The chat template in {self._folder} has no place for the system role.", parameter="system"
            )
        return self._rendered(messages, tools)

    def _rendered(self, messages: Sequence[Message], tools: Iterable[Mapping[str, Any]] = ()) -> list[int]:
        # <|im_end|> in a message is text, and ends no turn.
        encoded = self._applied(messages, tools, return_dict=True, sanitize_control_tokens=True)
        return list(encoded["input_ids"])

    def _applied(self, messages: Sequence[Message], tools: Iterable[Mapping[str, Any]], **form: Any) -> Any:
        """What the template makes of a chat, as tokens or as text."""
        from jinja2 import TemplateError

        try:
            return self._tokenizer.apply_chat_template(
                [_row(message) for message in in_order_of_calls(messages)],
                tools=[dict(tool) for tool in tools] or None,  # Llama's template takes an empty list for tools
                add_generation_prompt=True,
                **form,
            )
        except (TemplateError, TypeError, ValueError, KeyError, RecursionError) as error:
            reason = one_line(str(error), 160)
            raise ModelCallError(f"The chat template in {self._folder} does not take this chat: {reason}") from None

    @cached_property
    def _takes_system(self) -> bool:
        """Whether a system message changes what the model reads; its words may be none that the tokenizer knows."""
        chat = [Message(role="system", content=PROBE), Message(role="user", content="A question.")]
        return self._shows(chat, chat[1:], PROBE)

    def _problem_with(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
        """Why the model cannot be asked with these tools and what was done with them; nothing where it can."""
        if lost := self.leaves_out(tools=bool(tools), calls=any(map(_is_of_tools, messages))):
            return f"leaves out {lost}"
        return "" if not tools or self._calls_can_be_read else "marks calls of tools in a way that is not known here"

    def leaves_out(self, *, tools: bool, calls: bool) -> str:
        """What the template refuses or leaves out of a chat that has tools or calls; nothing where it shows all."""
        if tools and not self._takes_tools:
            return "tools"
        return "calls of tools, or their results" if (tools or calls) and not self._takes_calls else ""

    @cached_property
    def _calls_can_be_read(self) -> bool:
        own = getattr(self._tokenizer, "response_template", None)
        return can_be_read(str(self._tokenizer.chat_template), own=own)

    @cached_property
    def _takes_tools(self) -> bool:
        tool = {"name": PROBE_TOOL, "description": "", "parameters": {"type": "object", "properties": {}}}
        offered = [{"type": "function", "function": tool}]
        chat = [Message(role="user", content="A question.")]
        return self._shows(chat, chat, PROBE_TOOL, tools=offered)

    @cached_property
    def _takes_calls(self) -> bool:
        call, other = (
            {"id": "call00000", "type": "function", "function": {"name": name, "arguments": "{}"}}
            for name in (PROBE_TOOL, "other")
        )
        chat = [
            Message(role="user", content="A question."),
            Message(role="assistant", content="", tool_calls=(call,)),
            Message(role="tool", content=PROBE, name=PROBE_TOOL, tool_call_id="call00000"),
        ]
        called, answered = (
            [chat[0], replace(chat[1], tool_calls=(other,)), chat[2]],  # gpt-oss refuses results without a call
            [*chat[:2], replace(chat[2], content="")],
        )
        return self._shows(chat, called, PROBE_TOOL) and self._shows(chat, answered, PROBE)

    def _shows(
        self,
        chat: Sequence[Message],
        without: Sequence[Message],
        text: str,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> bool:
        """Whether the template shows what tells the chat apart, its `text`; a tokenizer may know none of its words."""
        try:
            shown: str = self._applied(chat, tools, tokenize=False)
        except ModelCallError:
            return False
        try:
            bare = self._applied(without, (), tokenize=False)
        except ModelCallError:  # such as a result without its call
            bare = ""
        return shown != bare and text in shown

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
        written: str = self._tokenizer.decode([token for token in tokens if token not in self.ends])
        own = getattr(self._tokenizer, "response_template", None)
        said, calls = calls_in(opening + written, str(self._tokenizer.chat_template), tools, own=own)
        if not calls:
            return self.text(tokens, opening=opening), ()
        for token in self._unsaid:
            said = said.replace(self._tokenizer.added_tokens_decoder[token].content, "")
        return said.strip(), calls

    def _turn_ends(self) -> set[int]:
        """The tokenizer's end token, and the one that closes a turn in the template, which may be another."""
        from jinja2 import TemplateError

        chat = [{"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}]
        try:
            rendered: str = self._tokenizer.apply_chat_template(chat, tokenize=False)
        except TemplateError as error:
            reason = one_line(str(error), 160)
            raise EndpointError(f"The chat template in {self._folder} does not work: {reason}") from None
        closing = self._tokenizer.encode(rendered.rpartition(PROBE)[2].lstrip(), add_special_tokens=False)[:1]
        control = self._tokenizer.added_tokens_decoder
        own = [self._tokenizer.eos_token_id, *(token for token in closing if token in control)]
        return {token for token in own if token is not None}


def _is_of_tools(message: Message) -> bool:
    return message.role == "tool" or bool(message.tool_calls)


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
