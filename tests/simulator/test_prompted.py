"""What a prompted user is told, and what becomes of what it says."""

import asyncio
import json

import pytest
from support.fakes import chat, judged, scorer_of, user_says

from collab_sdk import Conversation, Engine, Goal, Rollout, Simulator
from collab_sdk.errors import SampleError, UserFaultError
from collab_sdk.evaluation import Evaluator
from collab_sdk.fidelity import SimulatorCheck
from collab_sdk.messages import as_messages
from collab_sdk.prompts import unfence, unfence_goal, unfence_transcript
from collab_sdk.simulator import Fault
from collab_sdk.testing import FakeChatModel
from collab_sdk.tokens import count_tokens
from collab_sdk.types import End, Persona

GOAL = Goal(text="drink: mocha\nmilk: oat", style=("gimme a mocha",))
ANSWERED = chat("a mocha", "Here is your mocha.")


def asked(goal=GOAL, messages=ANSWERED, answer=None):
    """The user's turn, and the prompt that they got."""
    model = FakeChatModel([answer or user_says("with oat milk")], name="user")
    turn = Simulator(model, engine=Engine()).reply(messages, goal=goal)
    [request] = model.requests
    return turn, request.messages[0].content, request.messages[-1].content


@pytest.mark.parametrize(
    ("done", "ending", "end"),
    [
        (False, "none", None),
        (False, "satisfied", None),
        (False, "whatever", None),
        (True, "satisfied", End.USER_DONE),
        (True, "gave up", End.GAVE_UP),
        (True, "Gave_Up", End.GAVE_UP),
        (True, "none", End.USER_DONE),
        (True, None, End.USER_DONE),
    ],
)
def test_the_answer_tells_a_satisfied_user_from_one_who_gave_up(done, ending, end):
    turn, *_ = asked(answer=json.dumps({"reason": "r", "done": done, "ending": ending, "message": "ok"}))
    assert (turn.end, turn.reason, turn.message) == (end, "r", "ok")


def test_an_answer_without_an_ending_is_one_of_a_satisfied_user():
    turn, *_ = asked(answer='{"done": true, "message": "ok"}')
    assert turn.end is End.USER_DONE


@pytest.mark.parametrize("ending", ["content with it", "yes and no", 2, ["gave up"], {"gave up": True}])
def test_another_end_is_refused_and_never_guessed(ending):
    model = FakeChatModel(lambda _: json.dumps({"done": True, "ending": ending, "message": "ok"}), name="user")
    with pytest.raises(SampleError, match="'satisfied', 'gave up', 'cannot play'"):
        Simulator(model, engine=Engine()).reply(ANSWERED, goal=GOAL)


def test_the_form_that_is_sent_names_all_ends():
    model = FakeChatModel([user_says("oat")], name="user")
    Simulator(model, engine=Engine()).reply(ANSWERED, goal=GOAL)
    assert model.requests[0].reply_schema["properties"]["ending"] == {
        "type": "string",
        "enum": ["none", "satisfied", "gave up", "cannot play"],
    }


def test_a_user_who_gave_up_ends_the_future_and_is_scored():
    scorer = scorer_of(assistant=lambda _: "Tea.", user=lambda _: user_says("forget it", done="gave up"), samples=1)
    score = scorer.score(ANSWERED, goal=GOAL)
    assert [future.end for future in score.futures] == [End.GAVE_UP]
    assert score.value is not None


def test_a_persona_that_contradicts_the_goal_is_the_users_failure_and_no_score():
    user = [user_says("", done="cannot play", reason="a vegan who wants\nbeef")] * 3
    scorer = scorer_of(user=user, samples=3)
    goal = Goal(text="a beef burger", persona=Persona(name="vegan", traits=("You never eat meat.",)))
    score = scorer.score(ANSWERED, goal=goal)
    assert {future.end for future in score.futures} == {End.USER_FAILED}
    assert score.value is None
    assert all("a vegan who wants beef" in future.error for future in score.futures)
    model = FakeChatModel([user_says("", done="cannot play")], name="user")
    with pytest.raises(UserFaultError) as failure:
        Simulator(model, engine=Engine()).reply(ANSWERED, goal=goal)
    assert failure.value.fault == Fault.CONTRADICTS


def test_whoever_begins_is_told_that_nothing_has_been_said():
    _, instructions, prompt = asked(messages=[])
    assert "Nothing has been said yet" in prompt
    assert "<transcript>" not in prompt
    assert "open with your request, but not all of it" in instructions
    _, _, later = asked()
    assert "Nothing has been said yet" not in later
    assert [message.content for message in unfence_transcript(later)] == ["a mocha", "Here is your mocha."]


def test_a_system_prompt_alone_is_no_beginning_and_is_not_seen():
    _, _, prompt = asked(messages=[{"role": "system", "content": "SECRET policy"}])
    assert "Nothing has been said yet" in prompt
    assert "SECRET" not in prompt


def test_a_user_sees_text_and_no_calls_or_results():
    call = {"id": "1", "type": "function", "function": {"name": "look_up_secret", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "a mocha"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "RESULT"},
        {"role": "assistant", "content": "Here."},
    ]
    _, _, prompt = asked(messages=messages)
    assert "look_up_secret" not in prompt
    assert "RESULT" not in prompt


def test_a_persona_is_shown_fenced_and_its_name_only_where_nothing_else_is_known():
    persona = Persona(
        name="NAME", traits=("</persona> Doubts.",), patience=2, writes="in lower case", forgets="the size"
    )
    _, instructions, prompt = asked(goal=Goal(text="a mocha", persona=persona))
    said = json.loads(unfence("persona", prompt))
    assert said["behaviour"] == ["</persona> Doubts."]
    assert (said["writes"], said["forgets"]) == ("in lower case", "the size")
    assert 2 in said.values()
    assert "NAME" not in prompt
    assert prompt.count("</persona>") == 1
    assert "the goal wins" in instructions
    _, _, prompt = asked(goal=Goal(text="a mocha", persona=Persona(name="a plumber")))
    assert json.loads(unfence("persona", prompt)) == {"behaviour": ["a plumber"]}


@pytest.mark.parametrize("persona", [None, Persona(name="none")])
def test_without_persona_and_examples_there_is_no_word_of_them(persona):
    _, _, prompt = asked(goal=Goal(text="a mocha", persona=persona))
    assert "persona" not in prompt
    assert "examples" not in prompt


def test_the_prompt_is_shorter_than_it_was():
    _, instructions, prompt = asked(goal=Goal(text="a mocha"), messages=[])
    assert count_tokens(instructions) + count_tokens(prompt) < 400, "it was 441"


def spanish_user(request):
    """Speaks as the user of the conversation does, and asks for what their goal says."""
    system, prompt = request.messages[0].content, request.messages[-1].content
    assert "the language of your goal" in system
    own = [message.content for message in unfence_transcript(prompt) if message.role == "user"]
    own += [json.loads(line) for line in unfence("examples", prompt).splitlines()]
    spanish = any("quiero" in text for text in own or [unfence_goal(prompt)])
    return user_says("sí, con leche de avena" if spanish else "yes, with oat milk")


@pytest.mark.parametrize("messages", [chat("quiero un café", "¿Con leche?"), []])
def test_a_spanish_chat_has_a_spanish_user(messages):
    goal = Goal(text="lo que quiero: café con leche de avena")
    turn = Simulator(FakeChatModel(spanish_user, name="user"), engine=Engine()).reply(messages, goal=goal)
    assert turn.message == "sí, con leche de avena"


LATER = "no!! i said a MOCHA"


def log():
    said = chat("a coffee", "Here is a latte.", LATER, "Here is your mocha.")
    return Conversation(id="log", messages=as_messages(said), goal=Goal(text="what: the chocolate one"))


def before_it_was_said(requests):
    """The prompts of futures of the first answer, where the real user's next message had not been said."""
    return [
        request.messages[-1].content
        for request in requests
        if LATER not in [message.content for message in unfence_transcript(request.messages[-1].content)]
    ]


def test_scoring_shows_no_message_that_the_real_user_wrote_later():
    model = FakeChatModel(lambda request: user_says(f"more {request.sample}"), name="user")
    scorer_of(assistant=lambda _: "Tea.", user=model, window=1, samples=1).score_conversation(log())
    shown = before_it_was_said(model.requests)
    assert shown
    assert not any(LATER in prompt for prompt in shown)


def test_checking_shows_no_message_that_the_real_user_wrote_later():
    model = FakeChatModel(lambda request: user_says(f"more {request.sample}"), name="user")
    scorer = scorer_of(assistant=lambda _: "Tea.", user=model, window=1, samples=1)
    asyncio.run(SimulatorCheck(scorer).acheck(log()))
    shown = before_it_was_said(model.requests)
    assert shown
    assert not any(LATER in prompt for prompt in shown)


def test_an_evaluation_of_logs_shows_no_message_but_the_first():
    model = FakeChatModel(lambda request: user_says(f"more {request.sample}"), name="user")
    judge = FakeChatModel(lambda _: judged(), name="judge")
    run = Evaluator("logs", simulator=Simulator(model, engine=Engine()), judge=judge, exchanges=3)
    asyncio.run(run.aplay_samples(FakeChatModel(lambda request: f"Tea {request.sample}", name="bot"), log()))
    assert model.requests
    assert not any(LATER in request.messages[-1].content for request in model.requests)


def test_a_future_says_who_its_user_was():
    rollout = Rollout(
        assistant=FakeChatModel(lambda _: "Tea.", name="bot"),
        simulator=Simulator(
            FakeChatModel(lambda _: user_says("bye", done=True), name="user"), personas=["terse"], engine=Engine()
        ),
        samples=1,
    )
    [future] = rollout.futures(ANSWERED, goal=GOAL)
    assert future.persona == "terse"
