"""Decoding under a JSON Schema: which tokens may come next, so that a reply can only be what the schema accepts."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from collab_sdk.errors import MissingExtraError, ParameterRefusedError
from collab_sdk.secrets import one_line

ANY_OBJECT = {"type": "object"}
SPACE = " ?"
"""Between the parts of an object: small models otherwise write blanks to the end."""


class Grammars:
    """Makes the constraints of a tokenizer's replies. `ends` are the tokens that may follow a complete object."""

    def __init__(self, tokenizer: Any, *, ends: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._ends = sorted(ends)
        self._matchers: dict[str, Any] = {}

    def constraint(self, schema: Mapping[str, Any], *, after: Callable[[Sequence[int]], bool] | None) -> "Constraint":
        """For one reply. Raises ParameterRefusedError for a schema or a tokenizer that it cannot be made of."""
        known = json.dumps(schema)  # in the order of its properties, which is that of the reply
        if known not in self._matchers:
            self._matchers[known] = self._matcher(known)
        return Constraint(self._matchers[known].deep_copy(), after=after, ends=self._ends)

    def _matcher(self, schema: str) -> Any:
        vocabulary = self._vocabulary
        from llguidance import LLMatcher

        grammar = LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_pattern": SPACE})
        matcher = LLMatcher(vocabulary, grammar, log_level=0)
        if matcher.is_error():
            raise _refused(matcher.get_error())
        return matcher

    @cached_property
    def _vocabulary(self) -> Any:
        """The tokenizer as grammars know it, which takes a second to make."""
        try:
            import llguidance.hf
        except ImportError:
            raise MissingExtraError.of("Replies under a JSON Schema (hf:) need llguidance", "train") from None
        try:
            return llguidance.hf.from_tokenizer(self._tokenizer, eos_token=self._ends)
        except ValueError as error:  # a tokenizer that is not made by the library tokenizers
            raise _refused(str(error)) from None


class Constraint:
    """What one reply may go on with. It starts where `after` holds of the tokens so far: behind a thought, say."""

    def __init__(self, matcher: Any, *, after: Callable[[Sequence[int]], bool] | None, ends: Sequence[int]) -> None:
        self._matcher = matcher
        self._after = after
        self._ends = list(ends)

    @property
    def is_complete(self) -> bool:
        """Whether nothing more may come."""
        return bool(self._matcher.is_stopped())

    def allowed(self, vocabulary: int) -> Tensor:
        """Of each token whether it may be next, [vocabulary]; in a thought any but those that end the reply."""
        if self._after is not None:
            thinking = torch.ones(vocabulary, dtype=torch.bool)
            thinking[self._ends] = False
            return thinking
        packed = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        bits = (packed.unsqueeze(-1) >> torch.arange(8, dtype=torch.uint8)).bitwise_and(1).bool().flatten()
        allowed = torch.zeros(vocabulary, dtype=torch.bool)  # logits may be padded beyond the tokenizer's tokens
        size = min(vocabulary, len(bits))
        allowed[:size] = bits[:size]
        return allowed

    def take(self, tokens: Sequence[int]) -> None:
        """The reply so far, which has grown by one token."""
        if self._after is None:
            self._matcher.consume_token(tokens[-1])
        elif self._after(tokens):
            self._after = None


def _refused(reason: str) -> ParameterRefusedError:
    reason = one_line(reason, 160)
    return ParameterRefusedError(f"Decoding cannot be held to this schema: {reason}", parameter="response_format")
