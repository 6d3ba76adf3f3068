"""What the models before and after training say themselves to held-out prompts, as they are served."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from collab_sdk.concurrency import all_settled, run_sync
from collab_sdk.evaluation import has_question_mark
from collab_sdk.messages import as_messages, shown_text
from collab_sdk.models import CallRole, ChatReply, ChatRequest
from collab_sdk.simulator import END_OF_CONVERSATION
from collab_sdk.spec import ROLE_DEFAULTS, ModelSettings
from collab_sdk.training import USER, RepliesCompared
from collab_trl.base import Base
from collab_trl.hf.folders import Folder, LocalFiles, model_folder
from collab_trl.hf.model import HFModel
from collab_trl.preference.held_out import Statistic
from collab_trl.preference.tokens import Tokens

ASKED = 32
"""Prompts, each of another conversation; what two models do greedily differs in every one of them or in none."""
SHOWN = 3
LIMIT = 512
"""Tokens of a reply at most, whatever the base's own limit."""


Statistics = tuple[tuple[str, Callable[[ChatReply], float], bool], ...]
STATISTICS: Statistics = (
    ("reply_tokens", lambda reply: float(reply.completion_tokens or 0), False),
    ("asks", lambda reply: float(has_question_mark(shown_text(reply.messages))), True),
    ("ends", lambda reply: float(reply.finish_reason != "length"), True),
)
"""Name, value of a reply, and whether that is yes or no."""
LEAVES: Statistics = (
    ("leaves", lambda reply: float(END_OF_CONVERSATION in reply.content or not reply.content.strip()), True),
)
"""What is known of a user's turn besides."""


class OwnReplies:
    """The replies of both to a turn of each held-out conversation: the first, or of users one after the other."""

    def __init__(
        self, base: Base, adapter: Path, held_out: Sequence[Tokens], *, begun: Path | None, dtype: str, role: str
    ) -> None:
        """Asks both, the adapter and `begun` or else the base: assistants greedily, users as when they play.

        Raises CollabError where that fails.
        """
        self._role = role
        self._asked = _turns(held_out, role)
        limit = min(base.reply_bound(max(tokens.completion for tokens in self._asked)), LIMIT)
        files = LocalFiles(base=Folder.of(model_folder(base.name)), dtype=dtype, chat_template=base.chat_template)
        adapters = [Folder.of(folder) if folder else None for folder in (begun, adapter)]
        models = [  # both, so that they share the base's weights
            HFModel(replace(files, adapter=folder), name=f"hf:{base.name}") for folder in adapters
        ]
        self._before, self._after = (self._replies(model, limit) for model in models)

    def _replies(self, model: HFModel, limit: int) -> list[ChatReply]:
        async def ask_all() -> list[ChatReply]:
            return await all_settled(model.achat(self._request(tokens, limit)) for tokens in self._asked)

        return run_sync(ask_all())

    def _request(self, tokens: Tokens, limit: int) -> ChatRequest:
        is_user = self._role == USER
        settings = ROLE_DEFAULTS["simulator"] if is_user else ModelSettings(temperature=0.0)
        settings = replace(settings, max_tokens=limit)
        example = tokens.example
        return ChatRequest(
            role=CallRole.SIMULATOR if is_user else CallRole.ASSISTANT,
            messages=as_messages(example.prompt),
            settings=settings,
            tools=tuple(example.tools),
        )

    @property
    def _statistics(self) -> Statistics:
        return (*STATISTICS, *(LEAVES if self._role == USER else ()))

    def real_statistics(self) -> list[Statistic]:
        """What the real users did in these places; nothing for assistants, of whom better is wanted."""
        if self._role != USER:
            return []
        replies = [
            ChatReply(content=tokens.example.chosen[-1]["content"], completion_tokens=sum(tokens.chosen.learnt))
            for tokens in self._asked
        ]
        return [
            Statistic(name=name, before=values, after=values, is_share=is_share)
            for name, value, is_share in self._statistics
            for values in [list(map(value, replies))]
        ]

    def statistics(self) -> list[Statistic]:
        """What is known of each reply; `conversations` has their conversations."""
        return [
            Statistic(
                name=name,
                before=[value(reply) for reply in self._before],
                after=[value(reply) for reply in self._after],
                is_share=is_share,
            )
            for name, value, is_share in self._statistics
        ]

    @property
    def conversations(self) -> list[str]:
        return [tokens.example.known_by for tokens in self._asked]

    def shown(self) -> tuple[RepliesCompared, ...]:
        """A few of them, first those that differ."""
        compared = [
            RepliesCompared(
                asked=str(tokens.example.prompt[-1]["content"]),
                before=_text(before),
                after=_text(after),
            )
            for tokens, before, after in zip(self._asked, self._before, self._after, strict=True)
        ]
        return tuple(sorted(compared, key=lambda each: each.before == each.after)[:SHOWN])


def _turns(held_out: Sequence[Tokens], role: str) -> list[Tokens]:
    """One of each conversation: its first; of users, so that all that they do is among them, also later ones."""
    known: dict[str, list[Tokens]] = {}
    for tokens in held_out:
        known.setdefault(tokens.example.known_by, []).append(tokens)
    several = [turns for _, turns in sorted(known.items())][:ASKED]
    return [turns[place % len(turns) if role == USER else 0] for place, turns in enumerate(several)]


def _text(reply: ChatReply) -> str:
    called = [str(call.get("function", {})) for call in reply.tool_calls]
    return "\n".join(filter(None, [reply.content.strip(), *called]))
