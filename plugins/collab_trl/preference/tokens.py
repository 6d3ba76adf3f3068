"""Examples as tokens, by the model's own chat template."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.secrets import one_line
from collab_trl.hf.chat_format import with_arguments_read
from collab_trl.preference.row_formats import Example


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """An example as the model sees it: the prompt's tokens and what follows it in either completion."""

    example: Example
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def completion(self) -> int:
        return max(len(self.chosen), len(self.rejected))

    @property
    def length(self) -> int:
        """Of the longer of its sequences."""
        return len(self.prompt) + self.completion

    @property
    def together(self) -> int:
        """Of the prompt once, and what follows it in either completion."""
        return len(self.prompt) + len(self.chosen) + len(self.rejected)


class FaultyExampleError(Exception):
    """An example that cannot be trained on as it is; for this package only."""


def tokenize(example: Example, tokenizer: Any) -> Tokens:
    """Raises FaultyExampleError for an example whose training would silently go wrong."""
    _check_text(example, tokenizer)
    prompt = _render(tokenizer, example.prompt, example.tools, generation_prompt=True)
    chosen = _completion(tokenizer, example, example.chosen, prompt)
    rejected = _completion(tokenizer, example, example.rejected, prompt)
    if chosen and chosen == rejected:
        raise FaultyExampleError("chosen and rejected are equal")
    return Tokens(example=example, prompt=prompt, chosen=chosen, rejected=rejected)


def _completion(
    tokenizer: Any, example: Example, messages: Sequence[Mapping[str, Any]], prompt: list[int]
) -> list[int]:
    if not messages:
        return []
    whole = _render(tokenizer, [*example.prompt, *messages], example.tools)
    if whole[: len(prompt)] != prompt:
        raise FaultyExampleError(
            "the chat template lays the prompt out differently when a reply follows, so the model would be trained on "
            "another prompt than it is asked with"
        )
    completion = whole[len(prompt) :]
    if not completion:
        raise FaultyExampleError("the chat template leaves the reply out")
    return completion


def _check_text(example: Example, tokenizer: Any) -> None:
    for completion in (example.chosen, example.rejected):
        if completion and not any(message["content"].strip() or message.get("tool_calls") for message in completion):
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
