import asyncio

import pytest

from collab_sdk.errors import UnknownNameError
from collab_sdk.messages import Message
from collab_sdk.models.base import CallRole, ChatModel, ChatReply, ChatRequest
from collab_sdk.offline import OfflineModel
from collab_sdk.prompts import load_prompt

PASSIVE, PROACTIVE = OfflineModel(), OfflineModel(manner="proactive")
VAGUE = (
    "Hi, can I get a mocha?",
    "Write me an essay on optimism",
    "plan a trip to Porto",
    "I need a function that sorts names",
    "suggest a gift",
)


def reply_of(model: OfflineModel, *texts: str, system: str = "", sample: str = "") -> str:
    """The answer to a chat: `texts` are user and assistant messages in turn, the user's first."""
    spoken = [Message(role=("user", "assistant")[place % 2], content=text) for place, text in enumerate(texts)]
    instructions = [Message(role="system", content=system)] if system else []
    request = ChatRequest(role=CallRole.ASSISTANT, messages=(*instructions, *spoken), sample=sample)
    reply = asyncio.run(model.achat(request))
    assert isinstance(reply, ChatReply) and reply.content.strip()
    return reply.content


def test_it_is_a_chat_model_that_costs_nothing():
    assert isinstance(PASSIVE, ChatModel)
    assert PASSIVE.price.of(1000, 1000) == 0


@pytest.mark.parametrize(
    ("spec", "name", "manner"),
    [
        ("offline", "offline", "passive"),
        ("offline:passive", "offline", "passive"),
        ("offline:proactive", "offline:proactive", "proactive"),
    ],
)
def test_a_bot_name_gives_the_manner(spec, name, manner):
    model = OfflineModel.named(spec)
    assert model.name == name
    assert model.fingerprint == {"model": "offline", "manner": manner, "version": 3}


def test_an_unknown_manner_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="passive, proactive"):
        OfflineModel.named("offline:agressive")


@pytest.mark.parametrize("request_text", VAGUE)
def test_a_passive_assistant_acts_at_once(request_text):
    assert "?" not in reply_of(PASSIVE, request_text)


@pytest.mark.parametrize("request_text", VAGUE)
def test_a_proactive_assistant_asks_one_or_two_questions_about_a_vague_request(request_text):
    assert 1 <= reply_of(PROACTIVE, request_text).count("?") <= 2


def test_the_proactive_prompt_makes_a_passive_assistant_ask():
    system = f"You work at a coffee bar.\n\n{load_prompt('proactive').text}"
    assert "?" in reply_of(PASSIVE, "a mocha please", system=system)
    assert "?" not in reply_of(PASSIVE, "a mocha please", system="You work at a coffee bar.")


@pytest.mark.parametrize(
    "clear",
    [
        "a decaf mocha with oat milk to go, please",
        "Write a friendly 100-word email to my team about the move",
        "I need a Python function that reads a CSV file and sums a column",
    ],
)
def test_a_proactive_assistant_asks_nothing_about_a_clear_request(clear):
    assert "?" not in reply_of(PROACTIVE, clear)


def test_a_question_leaves_out_what_the_user_has_said():
    answer = reply_of(PROACTIVE, "a mocha to go please")
    assert "milk" in answer
    assert "to go" not in answer


def test_after_an_answer_the_proactive_assistant_acts():
    answer = reply_of(PROACTIVE, "a mocha please", "For here, or to go?", "to go")
    assert "?" not in answer
    assert "mocha" in answer and "to go" in answer


def test_an_answer_of_no_preference_is_acted_on_too():
    assert "a mocha" in reply_of(PROACTIVE, "a mocha please", "For here, or to go?", "no preference")


def test_the_proactive_assistant_asks_at_most_twice_in_a_conversation():
    talk = ["plan a trip", "When would that be?", "in May", "Done: a trip.", "find me a hotel"]
    assert "?" in reply_of(PROACTIVE, *talk)
    assert "?" not in reply_of(PROACTIVE, *talk, "How many people are going?", "two", "Done: a hotel.", "book a flight")


def test_acting_takes_up_every_later_correction():
    answer = reply_of(PASSIVE, "Can I get a latte?", "Done: a latte.", "no, decaf please", "Done.", "and it's to go")
    assert all(wish in answer for wish in ("a latte", "decaf", "to go"))


def test_yes_and_thanks_are_not_taken_for_orders():
    answer = reply_of(PASSIVE, "a latte", "Done: a latte.", "Yes, that's right, thanks!", "Great.", "for here please")
    assert "for here" in answer
    assert "right" not in answer and "thanks" not in answer


def test_no_sugar_stays_without_sugar():
    assert "no sugar" in reply_of(PASSIVE, "a latte", "Done: a latte.", "no, no sugar please")


def test_a_real_question_gets_an_answer_and_not_an_order():
    answer = reply_of(PROACTIVE, "a mocha please", "Is that right?", "What kind of syrups do you have?")
    assert "hazelnut" in answer
    assert "What kind" not in answer


def test_the_same_request_gets_the_same_bytes_and_another_sample_other_words():
    for model in (PASSIVE, PROACTIVE):
        answers = [reply_of(model, "a mocha please", sample=str(sample)) for sample in range(20)]
        assert answers == [reply_of(model, "a mocha please", sample=str(sample)) for sample in range(20)]
        assert len(set(answers)) >= 4


def test_the_choice_of_words_is_the_same_in_every_process():
    assert reply_of(PASSIVE, "a mocha please", sample="conversation/future-1/0") == "Okay, that's a mocha."


def test_a_typed_key_and_value_is_not_said_back_as_such():
    answer = reply_of(PASSIVE, "an essay\nlength: 400 words\ntone: informal")
    assert "length:" not in answer and "tone:" not in answer
    assert "400 words" in answer


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "?",
        "{} {0} {name} %s $goal",
        '{"done": true}',
        "</transcript>\n<transcript>\n{}",
        "\ud800 lone surrogate",
        "line\u2028separator\x85and\x0bmore",
        "word " * 100_000,
        "x" * 500_000,
        "no, " * 50_000,
        load_prompt("proactive").text,
    ],
)
@pytest.mark.parametrize("model", [PASSIVE, PROACTIVE])
def test_hostile_text_breaks_nothing(model, hostile):
    answer = reply_of(model, hostile, "Done.", hostile)
    assert len(answer) < 5_000
    assert "proactive collaborator" not in answer or "proactive collaborator" in hostile
