"""A model that is the user: its chat has the sides changed, it writes plain text, and leaves by a token or nothing."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from support.cli import chat_row, collab, write_chats
from support.fakes import chat, judged
from support.server import LoopbackServer
from support.userlm import END, userlm

from collab_sdk import ChatReply, Engine, Goal, MRScorer, Rollout, Simulator
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import UsageError
from collab_sdk.messages import as_messages
from collab_sdk.simulator import PlainUser, files_of_user, flip_roles
from collab_sdk.spec import ModelSettings, ModelSpec
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import End, Persona

START = chat("hello", "What can I get you?")


def plain(*answers, name="user-model", **options):
    return PlainUser(FakeChatModel(list(answers), name=name), **options)


def play(user, *, start=START, goal="a mocha", window=3, assistant=None):
    answers = assistant or (lambda messages: f"answer {len(messages)}")
    rollout = Rollout(assistant=answers, simulator=Simulator(user, engine=Engine()), window=window, samples=1)
    [future] = rollout.futures(start, goal=goal)
    return future


def texts(future):
    return [(message.role, message.content) for message in future.messages]


def test_a_served_model_with_the_manner_of_userlm_plays_the_user_in_five_lines():
    with LoopbackServer(userlm()) as server:
        user = PlainUser(ModelSpec(name="openai/userlm-8b", api_base=(server.api_base,)))
        rollout = Rollout(assistant="offline", simulator=Simulator(user, engine=Engine()), window=4, samples=1)
        [future] = rollout.futures(START, goal="drink: mocha")
        sent = server.requests[0].body
    assert future.end is End.USER_DONE and future.user == "plain:openai/userlm-8b"
    said = [message.content for message in future.messages if message.role == "user"]
    assert said == ["no nuts", "thx"], "it had spoken once before"
    assert END not in json.dumps(texts(future))
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant"]
    assert (sent["temperature"], sent["top_p"]) == (1.0, 0.8), "as its card samples"


def test_the_chat_of_any_other_model_has_its_sides_changed():
    model = FakeChatModel(["a mocha", END], name="trained")
    play(PlainUser(model))
    first = model.requests[0].messages
    assert [message.role for message in first] == ["system", "user", "assistant", "user"]
    assert "a mocha" in first[0].content and first[2].content == "hello" and first[3].content == START[1]["content"]
    assert model.requests[0].settings == ModelSettings(temperature=1.0)


@pytest.mark.parametrize("messages", [[], chat("hi"), chat("hi", "yes?"), [*chat("", "Welcome!")[1:], *chat("hi")]])
def test_no_chat_begins_with_the_assistant_or_is_a_system_message_alone(messages):
    roles = [message.role for message in flip_roles(as_messages(messages), Goal(text="x"))]
    assert roles[:2] == ["system", "user"]
    assert all(one != other for one, other in pairwise(roles)), "sides take turns"


def test_a_bot_that_says_nothing_is_no_chat_for_the_model_to_go_on_with():
    model = FakeChatModel(["hello?", END], name="trained")
    play(PlainUser(model), assistant=lambda messages: "")
    assert [message.role for message in model.requests[1].messages][-2:] == ["assistant", "user"]
    assert model.requests[1].messages[-1].content == "…"


def test_a_persona_is_told_beside_the_goal_and_to_nobody_else():
    persona = Persona(name="curt", traits=("sceptical",), patience=2, writes="one word", forgets="sizes")
    told = flip_roles((), Goal(text="a mocha", persona=persona))[0].content
    assert all(part in told for part in ("a mocha", "sceptical", "2", "one word", "sizes"))
    assert "hasty" in flip_roles((), Goal(text="a mocha", persona=Persona(name="hasty")))[0].content
    assert flip_roles((), Goal(text="a mocha"))[0].content.endswith("a mocha")


@pytest.mark.parametrize(
    "said",
    [
        f"thanks{END}",
        f"thanks {END}assistant\nYou're welcome! Anything else?",
        "thanks<|endconv",
        "thanks <|end_of_conversation|>",
        "thanks\n<| end conversation |>",
        "thanks <|EndConversation|>",
    ],
)
def test_the_end_is_in_no_transcript_however_it_is_spelled(said):
    future = play(plain(said))
    assert (future.end, texts(future)) == (End.USER_DONE, [("user", "thanks")])


def test_the_judge_never_sees_the_end():
    judge = FakeChatModel(lambda _: judged(), name="judge")
    simulator = Simulator(plain(f"thanks{END}"), engine=Engine())
    rollout = Rollout(assistant="offline", simulator=simulator, window=2, samples=1)
    scorer = MRScorer(rollout, judge=judge, metrics=["interactivity"])
    assert scorer.score(START, goal="a mocha").value is not None
    assert judge.requests and "endconv" not in str([request.messages for request in judge.requests])


@pytest.mark.parametrize("said", [END, "", "  \n"])
def test_who_says_nothing_leaves(said):
    future = play(plain(said, said))
    assert (future.end, future.messages, future.error) == (End.USER_DONE, (), None)


@pytest.mark.parametrize("said", [END, ""])
def test_nobody_begins_a_conversation_by_leaving(said):
    rollout = Rollout(assistant="offline", simulator=Simulator(plain(said, said), engine=Engine()), window=2)
    future = run_sync(rollout.aconverse([], goal="a mocha"))
    assert future.end is End.USER_FAILED and future.reward is None
    assert future.error == "The simulated user plain:user-model left before the bot said anything."


def test_the_stand_in_plays_a_plain_user_too():
    goal = Goal(text="drink: mocha\nmilk: oat")
    future = play("plain:offline", goal=goal, assistant="offline", window=8)
    said = " ".join(text for role, text in texts(future) if role == "user")
    assert future.end is End.USER_DONE and "mocha" in said and "oat" in said and END not in said
    hasty = replace(goal, persona=Persona(name="hasty", patience=1))
    left = play(
        "plain:offline", goal=hasty, assistant=lambda messages: f"Lovely weather, day {len(messages)}.", window=8
    )
    assert left.end is End.USER_DONE and len(left.messages) < 5


def test_an_end_phrase_of_ones_own_is_heeded():
    future = play(plain("bye ###STOP### and more", end="###STOP###"))
    assert (future.end, texts(future)) == (End.USER_DONE, [("user", "bye")])


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("the end", "which is the"),
        ("###STOP###", "my list ###"),
        ("goodbye", "sounds good"),
        (" bye", "I may stop by"),
        (END, "is 3 <"),
        (END, "the sign is <|"),
    ],
)
def test_a_message_that_ends_like_the_beginning_of_the_end_is_one(end, said):
    future = play(plain(said, f"ok {end}", end=end))
    assert texts(future)[0] == ("user", said) and future.messages[-1].content == "ok"


def test_an_end_phrase_that_breaks_off_is_in_no_transcript():
    future = play(plain("bye ###STO", end="###STOP###"))
    assert (future.end, texts(future)) == (End.USER_DONE, [("user", "bye")])


@pytest.mark.parametrize("made_up", [f"thanks{END}", "thanks <|end of conversation|>", "thanks<|endconv"])
def test_nobody_leaves_by_what_is_made_up_after_the_message(made_up):
    reply = f"I want a mocha<|im_end|>\n<|im_start|>assistant\nSure!<|im_end|>\n<|im_start|>user\n{made_up}"
    future = play(plain(reply, END))
    assert texts(future)[0] == ("user", "I want a mocha") and texts(future)[1][0] == "assistant"


def test_an_end_that_is_a_token_of_the_template_is_one():
    future = play(plain("bye<|end|>\n<|assistant|>Bye!", end="<|end|>"))
    assert (future.end, texts(future)) == (End.USER_DONE, [("user", "bye")])


@pytest.mark.parametrize("said", ["</s>", "<|im_end|>", " <|eot_id|>assistant\nSure!", "<|im_end|>\n<|im_start|>"])
def test_a_turn_that_ends_at_once_says_nothing(said):
    future = play(plain(said, said))
    assert (future.end, future.messages, future.error) == (End.USER_DONE, (), None)


def test_an_end_phrase_is_known_in_other_letters():
    future = play(plain("bye ###stop### and more", end="###STOP###"))
    assert (future.end, texts(future)) == (End.USER_DONE, [("user", "bye")])


def test_an_end_that_a_server_would_swallow_is_refused():
    with pytest.raises(UsageError, match="stop may not hold"):
        PlainUser(ModelSpec(name="openai/x", settings=ModelSettings(stop=(END,))))


def test_what_a_server_lets_the_model_make_up_for_the_assistant_is_left_out():
    future = play(plain("a mocha<|eot_id|><|start_header_id|>assistant<|end_header_id|>\nSure!", END))
    assert texts(future)[0] == ("user", "a mocha")


def test_a_reply_that_is_cut_off_is_the_users_failure_unless_they_had_left():
    cut = ChatReply(content="I want a mo", finish_reason="length")
    future = play(plain(cut))
    assert future.end is End.USER_FAILED and "cut off" in (future.error or "")
    left = ChatReply(content=f"thanks{END}assistant You're", finish_reason="length")
    assert play(plain(left)).end is End.USER_DONE
    spoke = ChatReply(content="a mocha<|eot_id|>assistant\nHere you", finish_reason="length")
    assert texts(play(plain(spoke, END)))[0] == ("user", "a mocha")
    thinking = ChatReply(content="", reasoning="hmm, what would a user say")
    assert play(plain(thinking, thinking)).end is End.USER_FAILED


def test_an_empty_reply_is_paid_for_once(tmp_path):
    with LoopbackServer(lambda _: "") as server:
        spec = ModelSpec(name="openai/own", api_base=(server.api_base,))
        for _ in range(2):
            with Engine(cache=tmp_path) as engine:
                simulator = Simulator(PlainUser(spec), engine=engine)
                [future] = Rollout(assistant="offline", simulator=simulator, window=2, samples=1).futures(
                    START, goal="a mocha"
                )
            assert future.end is End.USER_DONE
    assert server.count == 2, "the first may be a server's mistake; the second is kept"


def test_what_a_name_reads_is_known_so_that_no_output_overwrites_it(tmp_path):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    base.mkdir(), adapter.mkdir()
    assert files_of_user(f"plain:hf:{base}@{adapter}") == [base, adapter]


@pytest.mark.parametrize("command", ["score", "export-prefs", "evaluate"])
def test_a_plain_user_plays_in_every_command(tmp_path, command):
    logs = write_chats(tmp_path / "chats.jsonl")
    target = tmp_path / "out.jsonl"
    with LoopbackServer(userlm("a large one", "no nuts", f"ok{END}")) as server:
        who = ("--model", "offline", "--simulator", "plain:openai/own-user", "--simulator-api-base", server.api_base)
        given = ["-t", "logs", "--data", logs, "-a", "offline"] if command == "evaluate" else [logs]
        result = collab(command, *given, *who, "-o", target, "--cache", tmp_path / "cache")
        assert result.exit_code == 0, result.output
        assert server.count > 0
    written = target.read_text()
    assert "plain:openai/own-user" in written or command == "export-prefs"
    assert "endconversation" not in "".join(path.read_text() for path in tmp_path.glob("out*.jsonl")).replace(
        json.dumps(END), ""
    )


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ((), (1.0, 0.8, None)),
        (("max_tokens=99",), (1.0, 0.8, 99)),
        (("top_p=0.5", "temperature=0.7"), (0.7, 0.5, None)),
    ],
)
def test_an_option_leaves_the_other_settings_of_the_family(tmp_path, options, sent):
    logs = write_chats(tmp_path / "chats.jsonl", 1)
    with LoopbackServer(userlm()) as server:
        who = ["--model", "offline", "--simulator", "plain:openai/userlm-8b", "--simulator-api-base", server.api_base]
        who += [part for each in options for part in ("--simulator-option", each)]
        result = collab("score", logs, *who, "--samples", 1, "--window", 1, "--cache", tmp_path / "cache")
        assert result.exit_code == 0, result.output
        body = server.requests[0].body
    assert (body["temperature"], body["top_p"], body.get("max_tokens", body.get("max_completion_tokens"))) == sent


def test_the_same_chat_with_another_persona_is_another_user(tmp_path):
    rows = [chat_row(0, persona={"name": "curt", "writes": "one word"})]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with LoopbackServer(userlm("large")) as server:
        who = ("--model", "offline", "--simulator", "plain:openai/own-user", "--simulator-api-base", server.api_base)
        result = collab("score", path, *who, "--samples", 1, "--window", 1, "--cache", tmp_path / "cache")
        assert result.exit_code == 0, result.output
        told = {request.body["messages"][0]["content"] for request in server.requests}
    assert len(told) == 1 and "one word" in told.pop()
