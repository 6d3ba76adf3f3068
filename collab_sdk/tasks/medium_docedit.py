"""Articles to be written together: Medium."""

from collab_sdk.tasks.base import Hub, LeftOutError, Row, Task, first_text
from collab_sdk.tokens import count_tokens
from collab_sdk.types import Conversation, Goal

LONGEST = 512
"""Tokens of an article that is used, as in the paper's code."""


def read(row: Row) -> Conversation:
    """The reference is the article. The brief is left empty: it has yet to be written, as a summary."""
    first_text(row, "title")
    article = first_text(row, "text")
    if count_tokens(article) > LONGEST:
        raise LeftOutError(f"articles over {LONGEST} tokens, left out")
    return Conversation(id=str(row.get("url") or ""), messages=(), goal=Goal(text="", reference=article))


TASK = Task(
    name="medium-docedit",
    metric="bleu",
    read=read,
    hub=Hub(dataset="Kamaljp/medium_articles", split="train"),
    needs_brief=True,
    fields="title and text",
    source="The articles are at https://huggingface.co/datasets/Kamaljp/medium_articles, whose card states no licence; "
    "they seem to be those of fabiochiu/medium-articles (MIT there). Each article is its author's.",
)
