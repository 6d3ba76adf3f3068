"""What the models before and after training say themselves to held-out prompts, as they are served."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from collab_sdk.concurrency import all_settled, run_sync
from collab_sdk.evaluation import has_question_mark
from collab_sdk.messages import as_messages, shown_text
from collab_sdk.models import CallRole, ChatReply, ChatRequest
from collab_sdk.spec import ModelSettings
from collab_sdk.training import RepliesCompared
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


STATISTICS: tuple[tuple[str, Callable[[ChatReply], float], bool], ...] = (
    ("reply_tokens", lambda reply: float(reply.completion_tokens or 0), False),
    ("asks", lambda reply: float(has_question_mark(shown_text(reply.messages))), True),
    ("ends", lambda reply: float(reply.finish_reason != "length"), True),
)
"""Name, value of a reply, and whether that is yes or no."""


class OwnReplies:
    """The replies of both to the first turns of held-out conversations."""

    def __init__(
        self, base: Base, adapter: Path, held_out: Sequence[Tokens], *, begun: Path | None, dtype: str
    ) -> None:
        """Asks both, greedily: the adapter, and `begun` or else the base. Raises CollabError where that fails."""
        first = {tokens.example.known_by: tokens for tokens in reversed(held_out)}
        self._asked = [tokens for _, tokens in sorted(first.items())][:ASKED]
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

    @staticmethod
    def _request(tokens: Tokens, limit: int) -> ChatRequest:
        settings = ModelSettings(temperature=0.0, max_tokens=limit)
        example = tokens.example
        return ChatRequest(
            role=CallRole.ASSISTANT,
            messages=as_messages(example.prompt),
            settings=settings,
            tools=tuple(example.tools),
        )

    def statistics(self) -> list[Statistic]:
        """What is known of each reply; `conversations` has their conversations."""
        return [
            Statistic(
                name=name,
                before=[value(reply) for reply in self._before],
                after=[value(reply) for reply in self._after],
                is_share=is_share,
            )
            for name, value, is_share in STATISTICS
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


def _text(reply: ChatReply) -> str:
    called = [str(call.get("function", {})) for call in reply.tool_calls]
    return "\n".join(filter(None, [reply.content.strip(), *called]))
