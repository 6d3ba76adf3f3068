"""From nothing to a model that was trained twice: every part of the project at work, with real weights, in small."""

import re
import sys

import pytest
from collab_order_desk import OrderDeskUser, customers
from collab_order_desk.evaluation import STATISTICS, DeskConversation, statistics
from collab_order_desk.learning.base_model import Size, make_tokenizer
from collab_order_desk.learning.demo import Scale, show
from collab_order_desk.learning.lessons import INQUISITIVE, lessons, user_lessons
from collab_order_desk.learning.recipe import Recipe, play_of
from collab_order_desk.speech import read_reply
from collab_order_desk.world import NAMES, named_in, read_order, said_by_user
from collab_trl.hf.chat_format import ChatFormat
from support.cli import collab
from support.fakes import chat

from collab_sdk.demos import Shown
from collab_sdk.files import beside
from collab_sdk.messages import as_messages
from collab_sdk.offline import sample_chats_path
from collab_sdk.prompts import load_prompt
from collab_sdk.simulator import END_OF_CONVERSATION

SMALL = Scale(
    base=Size(layers=1, hidden=48, lessons=400, epochs=6),
    recipe=Recipe(candidates=3, samples=2, goals=2, epochs=1.0),
    customers=24,
    rounds=1,
    evaluated=20,
)


def test_in_lessons_the_barista_mostly_takes_orders_at_once():
    taught = [lesson for lesson in lessons(300, seed=0) if lesson[0].role != "system"]
    replies = [[read_reply(message.content) for message in lesson if message.role == "assistant"] for lesson in taught]
    assert 0.1 < sum(bool(first.asked) for first, *_ in replies) / len(replies) < 0.3
    assert not any(reply.is_malformed for each in replies for reply in each)


def test_told_to_be_proactive_the_barista_asks_for_all_that_is_missing():
    told = [lesson for lesson in lessons(300, seed=0) if lesson[0].role == "system"]
    assert told
    for lesson in told:
        assert lesson[0].content == load_prompt("proactive").text
        missing = set(NAMES) - set(said_by_user(lesson[:2]))
        assert not missing or read_reply(lesson[2].content).asked == missing


def test_the_tokenizer_gives_back_what_was_said():
    texts = [message.content for lesson in lessons(50, seed=0) for message in lesson if message.role != "system"]
    tokenizer = make_tokenizer(texts)
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    proactive = tokenizer.encode(load_prompt("proactive").text, add_special_tokens=False)
    assert len(proactive) == 1


def test_the_inquisitive_barista_asks_about_any_number_of_things():
    asked = [
        len(read_reply(lesson[1].content).asked)
        for lesson in lessons(600, seed=0, habits=INQUISITIVE)
        if lesson[0].role != "system" and len(said_by_user(lesson[:1])) == 1
    ]
    assert all(asked.count(n) > 2 for n in (0, 1, 2, 3, 4)), asked
    told = [lesson for lesson in lessons(600, seed=0, habits=INQUISITIVE) if lesson[0].role == "system"]
    left = [set(NAMES) - set(said_by_user(lesson[:2])) - read_reply(lesson[2].content).asked for lesson in told]
    assert any(left)


def test_in_the_lessons_of_a_user_the_sides_are_changed_and_the_end_is_said():
    for lesson in user_lessons(100, seed=0):
        goal, begins, *spoken = lesson
        assert begins.role == "user"
        order = read_order("\n".join(goal.content.splitlines()[-len(NAMES) :]))
        assert [message.role for message in spoken[:3]] == ["assistant", "user", "assistant"]
        assert spoken[-1].role == "assistant"
        assert [END_OF_CONVERSATION in message.content for message in spoken].index(True) == len(spoken) - 1
        said = {value for message in spoken if message.role == "assistant" for value in named_in(message.content)}
        assert said <= set(order.values())


def test_the_end_of_a_conversation_is_one_token_of_a_users_model_and_is_given_back():
    tokenizer = make_tokenizer(["thanks"], pieces=[END_OF_CONVERSATION])
    tokens = tokenizer.encode(f"thanks {END_OF_CONVERSATION}", add_special_tokens=False)
    assert len(tokens) == 2
    assert tokenizer.decode(tokens, skip_special_tokens=True).replace(" ", "") == f"thanks{END_OF_CONVERSATION}"


def test_another_user_can_be_trained_against_and_the_desk_goes_on_judging():
    play = play_of(Recipe(), user=OrderDeskUser(hidden=True))
    assert play.scorer.rollout.simulator.name == "order-desk:hidden"
    assert play.scorer.reward.judge.model.name == "order-desk"
    assert play.scorer.goals.model.name == "order-desk"
    assert play_of(Recipe()).scorer.rollout.simulator.name == "order-desk"


def test_a_conversation_tells_its_statistics():
    customer = next(customer for customer in customers(20, seed=0) if not customer.is_clear)
    messages = as_messages(chat(customer.opening, "what milk ?", "oat milk", "hm"))
    measured = statistics([DeskConversation(customer=customer, messages=messages)])
    assert measured["success"] == 0
    assert measured["asks when ambiguous"] == 1
    assert measured["malformed replies"] == 0.5
    assert measured["exchanges"] == 2
    assert "over-asks when clear" not in measured


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    stages = []
    folder = tmp_path_factory.mktemp("demo")
    return folder, show(folder, on_stage=stages.append, scale=SMALL), stages


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_model_is_taught_trained_on_pairs_of_its_own_replies_and_measured_before_and_after(shown):
    folder, result, stages = shown
    assert len(stages) == 2
    assert list(result.figures) == ["base", "round 1"]
    assert all(set(measured) == set(STATISTICS) for measured in result.figures.values())
    assert (folder / "rounds" / "round-1" / "adapter" / "adapter_model.safetensors").exists()
    assert beside(result.pairs, "turns").exists()
    assert result.picture.read_bytes().startswith(b"\x89PNG")
    assert list(result.conversations) == ["base", "round 1"]
    assert len({messages[0] for messages in result.conversations.values()}) == 1


@pytest.mark.slow
def test_the_demo_prints_a_table_and_the_conversations_before_and_after(tmp_path, monkeypatch):
    pairs = tmp_path / "prefs.jsonl"
    collab("export-prefs", sample_chats_path(), "--limit", "1", "--model", "offline", "-o", pairs)

    def fake(folder, *, on_stage):
        on_stage("teaching")
        return Shown(
            figures={"base": {"success": 0.5, "tokens": 31.25}, "round 1": {"success": 0.95, "tokens": 27.0}},
            conversations={"base": as_messages(chat("a coffee", "okay , a latte .\x1b[2J"))},
            picture=folder / "picture.png",
            pairs=pairs,
            note="of nobody",
        )

    monkeypatch.setattr("collab_cli.demo.load", lambda kind, name: fake)
    result = collab("demo", "--train", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert re.search(r"success +50% +95%", result.stdout)
    assert "31.2" in result.stdout
    assert "\x1b" not in result.stdout
    assert "assistant  okay , a latte ." in result.stdout
    assert "teaching" in result.stderr
    assert result.stdout.splitlines()[-1] == f"Report: {tmp_path / 'out' / 'report.html'} (open it in a browser)"
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")


def test_without_the_train_extra_the_demo_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = collab("demo", "--train", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "pip install 'collab-sdk[train]'" in result.output


def test_the_learner_reads_the_proactive_prompt_as_a_system_message(tmp_path):
    tokenizer = make_tokenizer([message.content for lesson in lessons(50, seed=0) for message in lesson])
    chat_format = ChatFormat(tokenizer, ends=(), folder=tmp_path)
    told = as_messages([{"role": "system", "content": load_prompt("proactive").text}, *chat("a latte")])
    assert chat_format.prompt(told)[:2] == tokenizer.encode("<|im_start|>system")
