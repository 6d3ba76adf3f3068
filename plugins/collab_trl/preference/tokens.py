"""Examples as tokens, by the model's own chat template."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collab_sdk.models import split_reasoning
from collab_trl.chat_template import END_WITH_EOS, NO_THINKING, Thought, behind_empty_thought, training_variant
from collab_trl.hf.chat_format import ChatFormat, RefusedChatError, way_out, with_arguments_read
from collab_trl.hf.sentinels import squeezed
from collab_trl.preference.row_formats import Example, Messages

LAYOUT = "--layout "
ANOTHER = "give the template that will be served with --chat-template"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A stretch of text behind a prompt: what the model writes up to the end of its turn, or what is between."""

    text: str
    is_written: bool
    said: str = ""
    """What of a written one is the text of its message."""


class Layout:
    """Examples as tokens, by the chat format of a base and its tokenizer.

    `may_say` are special tokens that are learnt as a part of what is said.
    """

    def __init__(self, tokenizer: Any, chat_format: ChatFormat, *, may_say: frozenset[str] = frozenset()) -> None:
        self._tokenizer = tokenizer
        self._chat_format = chat_format
        # `all_special_tokens` leaves out those that only the vocabulary knows to be special, as Llama 3's <|eot_id|>.
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._markers = special - may_say
        self._ends = [tokenizer.decode([end]) for end in chat_format.ends]
        self.trimmed: dict[str, None] = {}
        """Where replies were without the blanks that they begin or end with, as the template takes them out."""

    def tokenize(self, example: Example) -> Tokens:
        """Raises FaultyExampleError for an example whose training would silently go wrong."""
        _check_text(example, self._markers)
        asked = self._shown(example, example.prompt, asks=True)
        prompt = self._chat_format.encoded(asked)
        chosen = self._completion(example, example.chosen, asked, prompt)
        rejected = self._completion(example, example.rejected, asked, prompt)
        if chosen and chosen == rejected:
            raise FaultyExampleError("chosen and rejected are equal")
        return Tokens(example=example, prompt=prompt, chosen=chosen, rejected=rejected)

    def _completion(self, example: Example, reply: Messages, asked: str, prompt: list[int]) -> Completion:
        if not reply:
            return NOTHING
        self._check_shown(example, reply)
        ids: list[int] = []
        learnt: list[int] = []
        last: Sequence[int] = ()
        pieces = self._pieces(example, reply, asked)
        for piece, tokens in zip(pieces, self._encoded(asked, prompt, pieces), strict=True):
            until = self._end(tokens) if piece.is_written else 0
            if piece.is_written and self._stops_within(piece.said, tokens, until):
                raise FaultyExampleError(
                    "the reply holds a token at which the model stops, so that only what is before it would be learnt: "
                    "see eos_token_id in the base's generation_config.json"
                )
            ids += tokens
            learnt += [1] * until + [0] * (len(tokens) - until)
            last = tokens if piece.is_written else last
        if self._chat_format.ends.isdisjoint(last):
            raise FaultyExampleError(self._endless())
        return Completion(ids=ids, learnt=learnt)

    def _check_shown(self, example: Example, reply: Messages) -> None:
        chat = [_laid_out(message) for message in (*example.prompt, *reply)]
        try:
            lost = self._chat_format.lost(chat, example.tools, replied=len(example.prompt))
        except RefusedChatError as error:
            raise self._refused(example, error) from None
        if lost:
            raise FaultyExampleError(f"the chat template leaves out {lost}: {way_out(lost, LAYOUT)}, or {ANOTHER}")

    def _shown(self, example: Example, messages: Sequence[Mapping[str, Any]], *, asks: bool = False) -> str:
        """The chat as text; `asks`: with what the model is asked to go on from."""
        chat = [_laid_out(message) for message in messages]
        try:
            return self._chat_format.laid_out(chat, example.tools, generation_prompt=asks)
        except RefusedChatError as error:
            raise self._refused(example, error) from None

    def _refused(self, example: Example, error: RefusedChatError) -> FaultyExampleError:
        roles = {message["role"] for message in example.prompt}
        way = ""
        if "developer" in roles:
            way = f" ({way_out('developer', LAYOUT)})"
        elif "system" in roles and not self._chat_format.takes_system:
            way = f" ({way_out('system', LAYOUT)})"
        return FaultyExampleError(f"the chat template refuses it: {error.reason}{way}")

    def _pieces(self, example: Example, reply: Messages, asked: str) -> list[Piece]:
        """The reply as text, behind the prompt that was asked with."""
        whole = self._shown(example, [*example.prompt, *reply])
        places = [place for place, message in enumerate(reply) if message["role"] == "assistant"]
        prompts = [asked]
        prompts += [self._shown(example, [*example.prompt, *reply[:place]], asks=True) for place in places[1:]]
        begins = [self._begin(whole, prompt) for prompt in prompts]
        shown, pieces = asked, []
        for n, (place, begin, limit) in enumerate(zip(places, begins, [*begins[1:], len(whole)], strict=True)):
            if shown != prompts[n]:
                raise FaultyExampleError(
                    "the chat template lays out what the assistant did differently when more follows, so the model "
                    f"would be trained on other calls and results than it is asked with{self._variant()}"
                )
            thought = behind_empty_thought(whole[begin:limit])
            pieces.append(Piece(text=whole[begin : begin + thought], is_written=False))
            end = limit if place == len(reply) - 1 else self._limit(example, reply[: place + 1], whole, begin, limit)
            written = whole[begin + thought : end]
            said = reply[place]["content"].strip()
            if said and said in split_reasoning(written)[1]:
                raise FaultyExampleError("the chat template makes a thought of what the reply says beside a tool call")
            self._check_blanks(example, reply[place]["content"], written)
            pieces.append(Piece(text=written, is_written=True, said=said))
            between = whole[end:limit]
            if n + 1 < len(places):  # a thought that the next prompt ends with, and the whole chat may lack
                between += prompts[n + 1][len(shown) + limit - begin :]
            pieces.append(Piece(text=between, is_written=False))
            shown += whole[begin:end] + between
        return [piece for piece in pieces if piece.text]

    def _check_blanks(self, example: Example, content: str, written: str) -> None:
        """Those within a reply are a part of it, as in code; of those around it some templates know better."""
        said = content.strip()
        if said not in written and squeezed(said) in squeezed(written):
            raise FaultyExampleError(
                f"the chat template changes blanks within the reply, which would be learnt so: {ANOTHER}"
            )
        if content not in written:
            self.trimmed.setdefault(example.where)

    def _begin(self, whole: str, prompt: str) -> int:
        """Where in the whole chat the reply to the prompt begins."""
        if whole.startswith(prompt):
            return len(prompt)
        thought = Thought.ending(prompt)
        if thought is not None and not thought.is_closed:
            raise FaultyExampleError(
                f"the chat template begins each reply with a thought ({thought.mark}), and this one has none: "
                f"{LAYOUT}{NO_THINKING} asks with an empty thought"
            )
        if thought is not None and whole.startswith(prompt[: thought.begin]):
            return thought.begin + behind_empty_thought(whole[thought.begin :])
        raise FaultyExampleError(
            "the chat template lays the prompt out differently when a reply follows, so the model would be trained on "
            f"another prompt than it is asked with{self._variant()}"
        )

    def _variant(self) -> str:
        variant = training_variant(self._tokenizer.chat_template)
        return f": --chat-template {variant}" if variant else ""

    def _endless(self) -> str:
        variant = training_variant(self._tokenizer.chat_template)
        return (
            "nothing ends the reply, so the model would never learn to stop: "
            + (f"--chat-template {variant}, or " if variant else "")
            + f"{LAYOUT}{END_WITH_EOS} puts the EOS token behind it"
        )

    def _limit(self, example: Example, messages: Messages, whole: str, begin: int, limit: int) -> int:
        """Where what the model writes ends at the latest: with its text, and with what ends its turn behind that."""
        until = self._shown(example, [*example.prompt, *messages])
        if begin < len(until) <= limit and whole.startswith(until):
            behind = whole[len(until) : limit].lstrip()
            following = next((end for end in self._ends if behind.startswith(end)), "")
            is_ended = not following or any(end in whole[begin : len(until)] for end in self._ends)
            return len(until) if is_ended else limit - len(behind) + len(following)
        if any(end in whole[begin:limit] for end in self._ends):
            return limit
        raise FaultyExampleError("it cannot be told where in the chat template's text a call of the assistant's ends")

    def _end(self, tokens: list[int]) -> int:
        """How many of the tokens the model writes: up to the first that ends its turn, and what else ends it there."""
        ends = self._chat_format.ends
        until = next((place for place, token in enumerate(tokens, 1) if token in ends), len(tokens))
        while until < len(tokens) and tokens[until] in ends:
            until += 1
        return until

    def _stops_within(self, said: str, tokens: list[int], until: int) -> bool:
        """Whether the model would stop before all is written that is said, and that is in the tokens."""
        said, decode = squeezed(said), self._tokenizer.decode
        return said in squeezed(decode(tokens)) and said not in squeezed(decode(tokens[:until]))

    def _encoded(self, asked: str, prompt: list[int], pieces: Sequence[Piece]) -> list[list[int]]:
        """The tokens of each piece: as they are in the whole text, where the pieces begin with tokens of their own.

        Where they do not, as when a reply begins with the newline that the prompt ends with, each is tokenised by
        itself, as the model is asked with the prompt and writes the reply.
        """
        encode = self._chat_format.encoded
        whole = encode(asked + "".join(piece.text for piece in pieces))
        shown, bounds = asked, [len(prompt)]
        is_apart = whole[: len(prompt)] == prompt
        for piece in pieces[:-1]:
            shown += piece.text
            before = encode(shown)
            is_apart = is_apart and whole[: len(before)] == before
            bounds.append(len(before))
        if is_apart:
            return [whole[begin:end] for begin, end in zip(bounds, [*bounds[1:], len(whole)], strict=True)]
        mark = self._tokenizer.eos_token
        before = encode(mark)  # some tokenizers put a blank before a text that begins with nothing
        found = [encode(mark + piece.text)[len(before) :] for piece in pieces]
        decode = self._tokenizer.decode
        if decode([*prompt, *(token for tokens in found for token in tokens)]) != decode(whole):
            raise FaultyExampleError("the reply cannot be told from its prompt in tokens, as they run into each other")
        return found


def _check_text(example: Example, markers: Collection[str]) -> None:
    for completion in (example.chosen, example.rejected):
        own = [message for message in completion if message["role"] == "assistant"]
        if completion and not any(message["content"].strip() or message.get("tool_calls") for message in own):
            raise FaultyExampleError("an empty completion")
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


def _laid_out(message: Mapping[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not calls:
        return dict(message)
    if not isinstance(calls, Sequence) or not all(isinstance(call, Mapping) for call in calls):
        raise FaultyExampleError("tool_calls must be a list of objects")
    return {**message, "tool_calls": [with_arguments_read(call) for call in calls]}
