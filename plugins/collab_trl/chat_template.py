"""Which chat template lays chats out: the model's own or another one, and what is changed in it.

A change is written into the template itself, so that whoever serves it (this package, vLLM, llama.cpp) lays chats out
as they were laid out in training.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from collab_sdk.errors import UnknownNameError, UsageError
from collab_sdk.files import reason
from collab_sdk.models import reasoning_marks

TEMPLATE_FILE = "chat_template.jinja"
PACKAGED = "trl:"
"""In front of the name of a template that TRL brings."""
DEVELOPER_AS_SYSTEM, SYSTEM_IN_FIRST_USER, TEXT_AS_PARTS = (
    "developer-as-system",
    "system-in-first-user",
    "text-as-parts",
)
THOUGHTS = THINKING, NO_THINKING = "thinking", "no-thinking"
END_WITH_EOS = "end-with-eos"
LAYOUTS = (DEVELOPER_AS_SYSTEM, SYSTEM_IN_FIRST_USER, TEXT_AS_PARTS, THINKING, NO_THINKING, END_WITH_EOS)
"""In the order in which they change a chat: a developer message may become part of the user's."""

_TEXT = "(message['content'] if message['content'] is string else message['content'] | map(attribute='text') | join)"
"""Some servers hand a message's content over in parts."""
_AND_OTHERS = (
    "{%- else -%}{%- set laid_out.messages = laid_out.messages + [message] -%}{%- endif -%}{%- endfor -%}"
    "{%- set messages = laid_out.messages %}\n"
)
HEADS: Mapping[str, str] = {
    DEVELOPER_AS_SYSTEM: (
        "{%- set laid_out = namespace(messages=[]) -%}{%- for message in messages -%}"
        "{%- if message['role'] in ['developer', 'system'] -%}"
        f"{{%- set content = {_TEXT} -%}}"
        "{%- if laid_out.messages and laid_out.messages[-1]['role'] == 'system' -%}"
        "{%- set content = laid_out.messages[-1]['content'] + '\\n\\n' + content -%}"
        "{%- set laid_out.messages = laid_out.messages[:-1] -%}{%- endif -%}"
        "{%- set laid_out.messages = laid_out.messages + [{'role': 'system', 'content': content}] -%}" + _AND_OTHERS
    ),
    SYSTEM_IN_FIRST_USER: (
        "{%- set laid_out = namespace(messages=[], system='') -%}{%- for message in messages -%}"
        "{%- if message['role'] == 'system' -%}"
        f"{{%- set laid_out.system = laid_out.system + {_TEXT} + '\\n\\n' -%}}"
        "{%- elif message['role'] == 'user' and laid_out.system -%}"
        f"{{%- set content = laid_out.system + {_TEXT} -%}}"
        "{%- set laid_out.messages = laid_out.messages + [{'role': 'user', 'content': content}] -%}"
        "{%- set laid_out.system = '' -%}" + _AND_OTHERS
    ),
    TEXT_AS_PARTS: (
        "{%- set laid_out = namespace(messages=[]) -%}{%- for message in messages -%}"
        "{%- if message['content'] is string -%}"
        "{%- set content = [{'type': 'text', 'text': message['content']}] if message['content'] else [] -%}"
        "{%- set laid_out.messages = laid_out.messages + [dict(message, content=content)] -%}" + _AND_OTHERS
    ),
    THINKING: "{%- set enable_thinking = true -%}{%- set thinking = true %}\n",
    NO_THINKING: "{%- set enable_thinking = false -%}{%- set thinking = false %}\n",
}
"""What goes before a template. The newline behind the last tag is part of it, so the template still begins a line."""
TAILS: Mapping[str, str] = {
    END_WITH_EOS: "{% if not add_generation_prompt and messages[-1]['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
}
CLOSING = {"<think>": "</think>", "[THINK]": "[/THINK]", "<|channel>thought": "<channel|>", "◁think▷": "◁/think▷"}
QUESTION = {"role": "user", "content": "A question."}
ANSWER = {"role": "assistant", "content": "An answer."}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTemplate:
    """The chat template that was asked for in place of the model's own, and the layouts that are written into it."""

    text: str | None = None
    source: str | None = None
    """Where the text is from, as it was asked for."""
    layouts: tuple[str, ...] = ()

    @classmethod
    def named(cls, source: str | None = None, layouts: Iterable[str] = ()) -> Self:
        """From a file or `trl:NAME`, and names of LAYOUTS. Raises UsageError for what is not there."""
        asked = set(layouts)
        for name in asked:
            if name not in LAYOUTS:
                raise UnknownNameError.of("layout", name, LAYOUTS)
        if {*THOUGHTS} <= asked:
            raise UsageError(f"The layouts {THINKING} and {NO_THINKING} exclude each other: give one of them.")
        return cls(
            text=None if source is None else _read(source),
            source=source,
            layouts=tuple(name for name in LAYOUTS if name in asked),
        )

    def __bool__(self) -> bool:
        return self.text is not None or bool(self.layouts)

    @property
    def digest(self) -> str:
        return hashlib.sha256("\0".join([self.text or "", *self.layouts]).encode()).hexdigest()[:16]

    def described(self) -> dict[str, str]:
        """In words, by setting; of a file its name alone, as a card is for others, too."""
        return {
            **({"chat template": Path(self.source).name} if self.source else {}),
            **({"layout": ", ".join(self.layouts)} if self.layouts else {}),
        }

    def put_into(self, tokenizer: Any) -> None:
        """Make it the tokenizer's template. Raises UsageError for a layout that the template does not know."""
        template = tokenizer.chat_template if self.text is None else self.text
        if not template or not self:
            return
        if isinstance(template, Mapping):  # several, of which one is for chats with tools
            tokenizer.chat_template = {name: self._written(text, tokenizer) for name, text in template.items()}
        else:
            tokenizer.chat_template = self._written(template, tokenizer)

    def _written(self, template: str, tokenizer: Any) -> str:
        new = [name for name in self.layouts if HEADS.get(name, TAILS.get(name, "")) not in template]
        head = "".join(HEADS[name] for name in new if name in HEADS)
        tail = "".join(TAILS[name] for name in new if name in TAILS)
        if END_WITH_EOS in new and _ends_with_eos(head + template, tokenizer):
            raise UsageError(
                f"--layout {END_WITH_EOS} changes nothing: the chat template already ends a reply with the EOS token."
            )
        written = head + (template.removesuffix("\n") if new else template) + tail
        return written + self._end_of_thought(template, written, tokenizer) if {*THOUGHTS} & {*new} else written

    def _end_of_thought(self, template: str, written: str, tokenizer: Any) -> str:
        """What closes the thought that the template begins in any case. Raises UsageError for one that knows none."""
        on, off = (_prompt(HEADS[name] + template, tokenizer) for name in THOUGHTS)
        thought = Thought.ending(off)
        if on == off and (thought is None or (THINKING in self.layouts and thought.is_closed)):
            asked = THINKING if THINKING in self.layouts else NO_THINKING
            raise UsageError(f"--layout {asked} changes nothing: the chat template has no switch for thinking.")
        if THINKING in self.layouts or thought is None or thought.is_closed:
            return ""
        closing = CLOSING.get(thought.mark)
        if closing is None:
            raise UsageError(f"The chat template begins each reply with {thought.mark}, and what ends it is not known.")
        closing = f"\\n{closing}\\n\\n" if off.endswith("\n") else closing
        return f"{{% if add_generation_prompt %}}{{{{ '{closing}' }}}}{{% endif %}}"


OWN = ChatTemplate()
"""The model's, as it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thought:
    """The thought that a text ends with: one that has just begun, or an empty one."""

    begin: int
    mark: str
    is_closed: bool

    @classmethod
    def ending(cls, text: str) -> Self | None:
        marks = reasoning_marks(text)[-2:]
        if not marks or text[marks[-1].end() :].strip():
            return None
        *before, last = marks
        if last.lastgroup == "opens":
            return cls(begin=last.start(), mark=last[0], is_closed=False)
        is_empty = bool(before) and before[0].lastgroup == "opens" and not text[before[0].end() : last.start()].strip()
        return cls(begin=before[0].start(), mark=before[0][0], is_closed=True) if is_empty else None


def behind_empty_thought(text: str) -> int:
    """Where a reply goes on behind the empty thought that it begins with, or that its prompt has begun; 0 without."""
    marks = reasoning_marks(text)[:2]
    if marks and marks[0].lastgroup == "closes" and not text[: marks[0].start()].strip():
        marks = marks[:1]
    elif not (
        len(marks) == 2
        and [mark.lastgroup for mark in marks] == ["opens", "closes"]
        and not text[: marks[0].start()].strip()
        and not text[marks[0].end() : marks[1].start()].strip()
    ):
        return 0
    behind = text[marks[-1].end() :]
    return marks[-1].end() + len(behind) - len(behind.lstrip())


def packaged_templates() -> dict[str, Path]:
    """The chat templates that TRL brings, by name. Raises UsageError without TRL."""
    found = find_spec("trl")
    if found is None or found.origin is None:
        raise UsageError(f"{PACKAGED}NAME is a chat template of TRL's, which is not installed: pip install trl")
    return {file.stem: file for file in sorted((Path(found.origin).parent / "chat_templates").glob("*.jinja"))}


def training_variant(template: Any) -> str | None:
    """The variant for training that TRL brings of a template, or of the one that was changed; None without one."""
    try:
        packaged = packaged_templates()
    except UsageError:
        return None
    own = str(template)
    known = {name: file.read_text(encoding="utf-8").strip() for name, file in packaged.items()}
    found = [name for name, text in known.items() if f"{name}_training" in packaged and text in own]
    return f"{PACKAGED}{max(found, key=lambda name: len(known[name]))}_training" if found else None


def _read(source: str) -> str:
    file = Path(source).expanduser()
    if source.startswith(PACKAGED):
        packaged, name = packaged_templates(), source.removeprefix(PACKAGED)
        if name not in packaged:
            raise UnknownNameError.of("chat template of TRL", name, packaged)
        file = packaged[name]
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = reason(error) if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"The chat template {source} cannot be read: {problem}.") from None
    if not text.strip():
        raise UsageError(f"The chat template {source} is empty: leave it out to take the model's own.")
    return text


def _prompt(template: str, tokenizer: Any) -> str:
    """The prompt of a question."""
    return _laid_out(template, tokenizer, [QUESTION], add_generation_prompt=True)


def _ends_with_eos(template: str, tokenizer: Any) -> bool:
    shown = _laid_out(template, tokenizer, [QUESTION, ANSWER]).rstrip()
    return bool(tokenizer.eos_token) and shown.endswith(tokenizer.eos_token)


def _laid_out(template: str, tokenizer: Any, chat: list[dict[str, str]], **form: bool) -> str:
    """A chat as text; nothing by a template that fails, which is said where the chats are laid out."""
    try:
        return str(tokenizer.apply_chat_template(chat, chat_template=template, tokenize=False, **form))
    except Exception:  # a template is a program, and fails as it likes
        return ""
