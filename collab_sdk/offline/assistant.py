"""The assistant: does at once what it was told, or first asks about what is open. It never sees a goal."""

import re
from collections.abc import Sequence

from collab_sdk.messages import Message
from collab_sdk.offline.questions import open_questions
from collab_sdk.offline.reading import read_assistant
from collab_sdk.offline.voice import Voice
from collab_sdk.offline.wishes import is_question, wishes
from collab_sdk.offline.words import squash
from collab_sdk.prompts import load_prompt

# Never "here you go": `here` is also where a coffee is drunk.
DONE = ("Done: {}.", "All set: {}.", "Sure, {}.", "Okay, that's {}.", "There you go, {}.")
CLOSINGS = ("Great, all done then.", "Perfect, that's settled.", "You're welcome.", "Glad that works for you.")
ANSWERS = ("It depends, but the usual choice is fine.", "Most people take the usual one.", "Either way works well.")
MENU_WANTED = re.compile(r"\b(?:syrup|sweetener|flavou?r|flavou?ring)s?\b", re.IGNORECASE)
MENU = "We have vanilla, hazelnut, caramel and chocolate."
LEADS = ("", "Sure. ", "Happy to. ", "Of course. ")

QUESTION_ROUNDS = 2
RESTATED = 12
LONG_WISH = 8
"""Words. Longer ones have commas of their own."""


def reply(messages: Sequence[Message], *, manner: str, voice: Voice) -> str:
    """Text that acts on everything the user has said, or one message of questions."""
    said = [message.content for message in messages if message.role == "user"] or [""]
    own = [message.content for message in messages if message.role == "assistant"]
    asked = [text for text in own if read_assistant(text).asks]
    just_answered = bool(asked) and own[-1] == asked[-1]
    if is_question(said[-1]):
        return MENU if MENU_WANTED.search(said[-1]) else voice.pick(ANSWERS)
    told = wishes(said[-1])
    proactive = manner == "proactive" or _told_to_be_proactive(messages)
    if proactive and told and not just_answered and len(asked) < QUESTION_ROUNDS:
        questions = open_questions(said, asked, voice)
        if questions:
            return voice.pick(LEADS) + " ".join(questions)
    if own and not told and not just_answered:
        return voice.pick(CLOSINGS)
    return _act(said, voice)


def _told_to_be_proactive(messages: Sequence[Message]) -> bool:
    prompt = load_prompt("proactive").text
    return any(message.role == "system" and prompt in message.content for message in messages)


def _act(said: Sequence[str], voice: Voice) -> str:
    """Everything the user ever asked for, said back as done."""
    told = {squash(wish): wish for text in said for wish in wishes(text)}
    if not told:
        return voice.pick(CLOSINGS)
    first, *later = told.values()
    restated = [first, *later[1 - RESTATED :]]
    joiner = "; " if any(wish.count(" ") >= LONG_WISH for wish in restated) else ", "
    # A user may type `key: value`; said back like that, it would look as if the assistant had read the goal.
    return voice.pick(DONE).format(re.sub(r":(?=\s|$)", ",", joiner.join(restated)).replace("?", ""))
