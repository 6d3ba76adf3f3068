"""Examples as tokens, by the model's own chat template."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.secrets import one_line
from collab_trl.hf.chat_format import ChatFormat, with_arguments_read
from collab_trl.preference.row_formats import Example, Messages


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """What follows a prompt, as tokens."""

    ids: list[int]
    learnt: list[int]
    """1 for the tokens that the model writes, 0 for tools' results and what the template puts around them."""

    def __len__(self) -> int:
        return len(self.ids)


NOTHING = Completion(ids=[], learnt=[])


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """An example as the model sees it: the prompt's tokens and what follows it on either side."""

    example: Example
    prompt: list[int]
    chosen: Completion
    rejected: Completion

    @property
    def completion(self) -> int:
        return max(len(self.chosen), len(self.rejected))

    @property
    def length(self) -> int:
        """Of the longer of its sequences."""
        return len(self.prompt) + self.completion

    @property
    def together(self) -> int:
        """Of the prompt once, and what follows it on either side."""
        return len(self.prompt) + len(self.chosen) + len(self.rejected)


class FaultyExampleError(Exception):
    """An example that cannot be trained on as it is; for this package only."""


class Layout:
    """Examples as tokens, by the chat format of a base and its tokenizer."""

    def __init__(self, tokenizer: Any, chat_format: ChatFormat) -> None:
        self._tokenizer = tokenizer
        self._chat_format = chat_format

    def tokenize(self, example: Example) -> Tokens:
        """Raises FaultyExampleError for an example whose training would silently go wrong."""
        _check_text(example, self._tokenizer)
        self._check_tools(example)
        prompt = _render(self._tokenizer, example.prompt, example.tools, generation_prompt=True)
        chosen = self._completion(example, example.chosen, prompt)
        rejected = self._completion(example, example.rejected, prompt)
        if chosen and chosen == rejected:
            raise FaultyExampleError("chosen and rejected are equal")
        return Tokens(example=example, prompt=prompt, chosen=chosen, rejected=rejected)

    def _check_tools(self, example: Example) -> None:
        messages = (*example.prompt, *example.chosen, *example.rejected)
        calls = any(message.get("tool_calls") or message["role"] == "tool" for message in messages)
        if lost := self._chat_format.leaves_out(tools=bool(example.tools), calls=calls):
            raise FaultyExampleError(
                f"the base's chat template leaves out {lost}: take a base whose template knows tools, or put the "
                "template that will be served into chat_template.jinja beside it"
            )

    def _completion(self, example: Example, messages: Messages, prompt: list[int]) -> Completion:
        if not messages:
            return NOTHING
        whole = _render(self._tokenizer, [*example.prompt, *messages], example.tools)
        if whole[: len(prompt)] != prompt:
            raise FaultyExampleError(
                "the chat template lays the prompt out differently when a reply follows, so the model would be trained "
                "on another prompt than it is asked with"
            )
        if len(whole) == len(prompt):
            raise FaultyExampleError("the chat template leaves the reply out")
        learnt = [0] * len(whole)
        for begin, end in self._spoken(example, messages, prompt, whole):
            learnt[begin:end] = [1] * (end - begin)
        return Completion(ids=whole[len(prompt) :], learnt=learnt[len(prompt) :])

    def _spoken(
        self, example: Example, messages: Messages, prompt: list[int], whole: list[int]
    ) -> list[tuple[int, int]]:
        """From where to where in `whole` the model writes: a stretch for each message of the assistant's."""
        places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        begins = [len(prompt)]
        for place in places[1:]:
            asked = [*example.prompt, *messages[:place]]
            before = _render(self._tokenizer, asked, example.tools, generation_prompt=True)
            if whole[: len(before)] != before:
                raise FaultyExampleError(
                    "the chat template lays out what the assistant did differently when more follows, so the model "
                    "would be trained on other calls and results than it is asked with"
                )
            begins.append(len(before))
        spoken = []
        for place, begin, limit in zip(places, begins, [*begins[1:], len(whole)], strict=True):
            is_last = place == len(messages) - 1
            end = limit if is_last else self._end(example, messages[: place + 1], whole, begin, limit)
            spoken.append((begin, end))
        return spoken

    def _end(self, example: Example, messages: Messages, whole: list[int], begin: int, limit: int) -> int:
        """Where the model stops that began to write at `begin`: with a token that ends its turn."""
        stops = (place for place in range(begin, limit) if whole[place] in self._chat_format.ends)
        if (stop := next(stops, None)) is not None:
            return stop + 1
        until = _render(self._tokenizer, [*example.prompt, *messages], example.tools)
        if begin < len(until) <= limit and whole[: len(until)] == until:
            return len(until)
        raise FaultyExampleError("it cannot be told where in the chat template's text a call of the assistant's ends")


def _check_text(example: Example, tokenizer: Any) -> None:
    for completion in (example.chosen, example.rejected):
        own = [message for message in completion if message["role"] == "assistant"]
        if completion and not any(message["content"].strip() or message.get("tool_calls") for message in own):
            raise FaultyExampleError("an empty completion")
    # `all_special_tokens` leaves out those that only the vocabulary knows to be special, as Llama 3's <|eot_id|>.
    markers = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    # As JSON, since what is in calls and tools reaches the template, too.
    try:
        text = json.dumps(_parts(example), ensure_ascii=False, default=str)
    except RecursionError:
        raise FaultyExampleError("JSON nested too deeply") from None
    if any(json.dumps(marker, ensure_ascii=False)[1:-1] in text for marker in markers):
        raise FaultyExampleError(
            "a message holds one of the model's own markers as text, and would break out of its place"
        )


def _parts(example: Example) -> Sequence[Mapping[str, Any]]:
    """As the template gets them: an escape in the JSON text of a call's arguments would hide a marker."""
    messages = (*example.prompt, *example.chosen, *example.rejected)
    return (*map(_laid_out, messages), *example.tools)


def _render(
    tokenizer: Any,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    *,
    generation_prompt: bool = False,
) -> list[int]:
    try:
        return list(
            tokenizer.apply_chat_template(
                [_laid_out(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                add_generation_prompt=generation_prompt,
                tokenize=True,
                return_dict=False,
            )
        )
    except Exception as error:  # a template is a program, and fails as it likes
        raise FaultyExampleError(f"the chat template refuses it: {one_line(str(error), 200)}") from None


def _laid_out(message: Mapping[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not calls:
        return dict(message)
    if not isinstance(calls, Sequence) or not all(isinstance(call, Mapping) for call in calls):
        raise FaultyExampleError("tool_calls must be a list of objects")
    return {**message, "tool_calls": [with_arguments_read(call) for call in calls]}
