"""Your own bot, scored on the last twenty chats that were harvested from it.

pip install collab-sdk
python examples/score_harvested_chats.py chats.db

`chats.db` is what a recorder wrote (see harvest_langgraph.py). For every reply in these chats, your bot and a simulated
user play the conversation forward; the replies after which it ended worst come first. Put your bot in the place of
`my_bot`.
"""

import asyncio
import sys

from collab_sdk import MRScorer, Rollout
from collab_sdk.logs import ConversationStore

MODEL = "offline"  # plays user and judge: rules, or the name of a model such as "openai/gpt-4o-mini"


def my_bot(messages):  # OpenAI-style messages in, a reply out; sync or async
    return "Which kind would you like, and by when do you need it?"


async def main(store):
    latest = [store.get(chat.id) for chat in store.listing(limit=20)]
    scorer = MRScorer(Rollout(assistant=my_bot, simulator=MODEL, samples=2))
    scores = []
    async for outcome in scorer.ascore_all(latest):  # many chats at once
        if outcome.error:
            print(f"{outcome.conversation.id} has no score: {outcome.error}")
        scores += [score for score in outcome.value or () if score.value is not None]
    scores.sort(key=lambda score: score.value)
    print(f"{len(scores)} replies of {len(latest)} chats. The worst:")
    for score in scores[:5]:
        print(f"{score.value:.2f} ± {score.stderr:.2f} {score.conversation_id}: {score.response[-1].content!r}")


with ConversationStore(sys.argv[1]) as store:
    asyncio.run(main(store))
