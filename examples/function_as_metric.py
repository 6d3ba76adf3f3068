"""A function of your own as a metric: a bot should put one question at a time.

pip install collab-sdk
python examples/function_as_metric.py

It runs as it stands, without a key: `offline` is the rule-based bot, user and judge that come with the package. Put the
name of a model, such as "openai/gpt-4o-mini", in its place.
"""

from collab_sdk import MRScorer, Rollout, read_conversations
from collab_sdk.offline import sample_chats_path

MODEL = "offline"


def one_question(messages, most=1):
    """The share of the bot's replies, from 0 to 1, that put at most so many questions."""
    replies = [message.content for message in messages if message.role == "assistant"]
    return sum(reply.count("?") <= most for reply in replies) / len(replies)


rollout = Rollout(assistant=MODEL, simulator=MODEL)
scorer = MRScorer(rollout, metrics={"goal": 1.0, one_question: 0.5})  # R* = goal + 0.5 one_question

for conversation in read_conversations([sample_chats_path()], limit=3):
    for score in scorer.score_conversation(conversation):
        figures = ", ".join(f"{name} {value:.2f}" for name, value in score.metrics.items())
        mean = "none" if score.value is None else f"{score.value:.2f}"  # a future that failed is never a score
        print(f"{conversation.id}, turn {score.turn}: MR {mean} ({figures})")
