"""Whole conversations: who begins, what is measured, which bots, and what is never a zero."""

import asyncio
import json
from dataclasses import replace

import pytest
from support.fakes import user_says

from collab_sdk import ChatReply, Conversation, Engine, Goal, Message, MRScorer, Rollout, Simulator, as_chat_model
from collab_sdk.errors import BotError, InputError, UsageError
from collab_sdk.evaluation import BotResult, Evaluator, bot_statistics, by_persona, without_persona
from collab_sdk.messages import Ending
from collab_sdk.models.instructed import InstructedModel
from collab_sdk.prompts import load_prompt, unfence_patience, unfence_transcript
from collab_sdk.simulator import Fault
from collab_sdk.spec import ModelSettings, UserSpec
from collab_sdk.tasks import Task, get_task
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import End, Persona

MATHS = Conversation(id="one", messages=(), goal=Goal(text="What is 2 + 2?", reference="4"))


def judge_says(request):
    system, prompt = request.messages[0].content, request.messages[-1].content
    if system == load_prompt("extract").text:
        return "<artefact>4</artefact>"
    if "useful_questions:" in prompt:
        return json.dumps({"useful_questions": {"reason": "", "questions": [{"question": "?", "changed": True}]}})
    if "asks:" in prompt:
        return json.dumps({"asks": {"reason": "", "asks": "Who?" in prompt}})
    return json.dumps({"interactivity": {"reason": "", "score": 0.5}})


def evaluator(task="math-chat", *, user=None, **options):
    simulator = Simulator(FakeChatModel(user or (lambda _: user_says("go on")), name="user"), engine=Engine())
    judge = FakeChatModel(judge_says, name="judge")
    return Evaluator(task if isinstance(task, Task) else get_task(task), simulator=simulator, judge=judge, **options)


def play(run, answers, conversation=MATHS, *, name="bot"):
    bot = FakeChatModel(answers, name=name)
    return asyncio.run(run.aplay_samples(bot, conversation)), bot


def test_the_user_begins_and_a_conversation_ends_when_they_are_satisfied():
    user = [user_says("2 + 2?"), user_says("thanks", done=True)]
    [played], bot = play(evaluator(user=user), ["It is 4."])
    assert [message.content for message in played.future.messages] == ["2 + 2?", "It is 4.", "thanks"]
    assert played.future.end is End.USER_DONE
    assert played.future.metrics == {"accuracy": 1.0, "interactivity": 0.5}
    assert "2 + 2" not in str(bot.requests[0].messages[:-1])


def test_a_bot_that_never_stops_is_stopped_after_so_many_exchanges():
    run = evaluator(exchanges=3, user=lambda request: user_says(f"again {request.sample}"))
    [played], bot = play(run, lambda request: f"No. {request.sample}")
    assert played.exchanges == len(bot.requests) == 3
    assert played.future.end is End.WINDOW


def test_a_bot_that_fails_is_missing_and_not_zero():
    [played], _ = play(evaluator(), lambda _: BotError("out of order"))
    assert played.is_missing
    assert played.future.metrics == {}


def test_a_bot_that_says_nothing_is_judged_by_what_its_user_got():
    [played], _ = play(evaluator(exchanges=3), lambda _: ChatReply(content="", reasoning="hm"))
    assert not played.is_missing
    assert played.exchanges > 0
    assert {message.ended for message in played.future.messages if message.role == "assistant"} == {Ending.EMPTY}


@pytest.mark.parametrize("said", ["", "never mind"])
def test_a_user_who_leaves_before_the_bot_said_anything_is_missing_by_their_own_fault(said):
    [played], _ = play(evaluator(user=lambda _: user_says(said, done=True)), [])
    assert "before the bot said anything" in played.future.error
    assert (played.future.end, played.future.fault) == (End.USER_FAILED, Fault.LEAVES)


def test_each_sample_is_a_draw_of_its_own_and_the_same_for_every_bot():
    run = evaluator(samples=3, exchanges=1)
    first, bot = play(run, lambda _: "4")
    _, other = play(run, lambda _: "5", name="other")
    assert [played.future.sample for played in first] == [0, 1, 2]
    assert len({request.sample for request in bot.requests}) == 3
    assert {request.sample for request in bot.requests} == {request.sample for request in other.requests}


def test_questions_are_looked_into_only_where_there_are_any():
    user = lambda r: user_says(f"well {r.sample}")  # noqa: E731
    [asked], _ = play(evaluator(user=user, exchanges=2), ["Which 2?", "4"])
    [told], _ = play(evaluator(user=user, exchanges=2), ["It is 5.", "No, 4."])
    assert (asked.questions, told.questions) == ((True,), ())


@pytest.mark.parametrize(("answer", "asks"), [("Who?", True), ("Bea.", False)])
def test_of_abg_coqa_only_the_first_answer_counts_and_no_user_is_played(answer, asks):
    opening = (Message(role="user", content="A story. Who won?"),)
    question = Conversation(id="q", messages=opening, goal=Goal(text="who won"), metadata={"ambiguous": True})
    [played], bot = play(evaluator("abg-coqa", user=[]), [answer], question)
    assert (played.asks, played.is_ambiguous, played.exchanges) == (asks, True, 1)
    assert bot.requests[0].messages == opening


def test_a_logged_chat_is_begun_again_from_its_first_request_with_its_goal():
    said = (("system", "Be kind."), ("user", "a mocha"), ("assistant", "Done."), ("user", "with oat milk"))
    messages = tuple(Message(role=role, content=text) for role, text in said)
    log = Conversation(id="log", messages=messages, goal=Goal(text="a mocha with oat milk"))
    judged = {"requirements": ["x"], "goal": {"reason": "", "verdicts": [{"number": 1, "met": True}]}}
    interactive = {"interactivity": {"reason": "", "score": 1}}
    run = evaluator("logs", exchanges=1)
    run.judge.model = FakeChatModel(lambda _: json.dumps(judged | interactive), name="judge")
    [played], bot = play(run, ["Here."], log)
    assert bot.requests[0].messages == messages[:2]
    assert played.future.metrics["goal"] == 1


def test_a_bot_told_to_be_proactive_gets_the_instructions_and_a_fingerprint_of_its_own():
    inner = FakeChatModel(lambda request: request.messages[0].content, name="inner")
    bot = InstructedModel(inner, "Ask first.", name="told")
    [played], _ = asyncio.run(asked(bot)), None
    assert played[0].future.messages[1].content == "Ask first."
    assert bot.fingerprint != inner.fingerprint
    assert as_chat_model("proactive:offline").name == "proactive:offline"
    assert as_chat_model("proactive:offline").fingerprint != as_chat_model("offline").fingerprint


async def asked(bot):
    return [await evaluator(exchanges=1).aplay_samples(bot, MATHS)]


def test_a_prompt_from_a_file_goes_in_front_of_any_bot(tmp_path):
    (tmp_path / "p.txt").write_text("Be brief.\n")
    bot = as_chat_model(f"prompt:{tmp_path / 'p.txt'}@proactive:offline")
    assert bot.name == "prompt:p.txt@proactive:offline"


def test_bots_under_several_instructions_are_told_apart_by_all_of_them(tmp_path):
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_text("Be brief.")
    b.write_text("Be thorough.")
    specs = [
        *("offline", "proactive:offline", f"prompt:{a}@offline", f"proactive:prompt:{a}@offline"),
        *(f"proactive:prompt:{b}@offline", f"prompt:{a}@proactive:offline", f"prompt:{a}@prompt:{b}@offline"),
    ]
    # The cache knows bots by these: were two the same, one would be given the other's answers.
    assert len({json.dumps(as_chat_model(spec).fingerprint) for spec in specs}) == len(specs)


def test_prompts_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "empty.txt").write_text(" ")
    with pytest.raises(InputError, match="empty"):
        as_chat_model(f"prompt:{tmp_path / 'empty.txt'}@offline")
    with pytest.raises(InputError, match=r"nowhere\.txt"):
        as_chat_model("prompt:nowhere.txt@offline")
    with pytest.raises(UsageError, match="prompt:FILE@BOT"):
        as_chat_model("prompt:only.txt")


# By persona


def impatient_or_not(request):
    """Corrects a wrong answer, unless they are impatient."""
    gone = unfence_patience(request.messages[-1].content) == 1
    said = unfence_transcript(request.messages[-1].content)
    if not said:
        return user_says(f"2 + 2? {request.sample}")
    return user_says("forget it", done="gave up") if gone else user_says(f"no {request.sample}")


def by_persona_run(personas=("impatient", "terse"), **options):
    return evaluator(user=impatient_or_not, by_persona=personas, samples=2, exchanges=3, **options)


def test_every_conversation_is_played_by_nobody_in_particular_and_by_each_persona():
    played, _ = play(by_persona_run(), lambda request: f"5 {request.sample}")
    assert [(one.future.sample, one.future.persona) for one in played] == [
        (sample, name) for sample in (0, 1) for name in ("none", "impatient", "terse")
    ]
    ends = {one.future.persona: one.future.end for one in played}
    assert ends == {"none": End.WINDOW, "impatient": End.GAVE_UP, "terse": End.WINDOW}
    openings = {one.future.sample: one.future.messages[0].content for one in played}
    assert len(openings) == 2, "the same draw of the same user, whoever they are"


def test_a_rows_own_persona_does_not_stand_in_for_those_that_are_compared():
    own = replace(MATHS, goal=replace(MATHS.goal, persona=Persona(name="own", patience=1)))
    played, _ = play(by_persona_run(["terse"]), lambda request: f"5 {request.sample}", own)
    assert {one.future.persona for one in played} == {"none", "terse"}
    [alone] = {one.future.persona for one in play(evaluator(user=impatient_or_not), lambda _: "4", own)[0]}
    assert alone == "own"


def result_of(run, n=12):
    def bot(request):
        return f"It is {4 if request.sample.endswith('/2') else 5}. {request.sample}"

    played = [one for number in range(n) for one in play(run, bot, replace(MATHS, id=f"maths-{number}"))[0]]
    return BotResult(name="bot", played=tuple(played))


def test_differences_to_nobody_are_paired_and_clustered_by_goal():
    run = by_persona_run()
    result = result_of(run)
    [found] = by_persona([result], run.personas)
    assert found.personas == ("none", "impatient", "terse")
    assert [len(part.done) for part in found.results] == [24, 24, 24]
    figures = {figure.name: figure for figure in found.statistics}
    exchanges = figures["exchanges"]
    assert [mean.mean for mean in exchanges.means] == [3, 1, 3]
    assert [less.mean for less in exchanges.differences] == [-2, 0]
    left = figures["user gave up"]
    assert [mean.mean for mean in left.means] == [0, 1, 0]
    assert [less.n for less in left.differences] == [24, 24]
    alone = without_persona(result, run.personas)
    assert {one.future.persona for one in alone.played} == {"none"}
    assert bot_statistics([alone])[-1].means[0].n == 24


def test_without_personas_to_compare_there_are_no_rows_by_persona():
    run = evaluator(user=impatient_or_not)
    result = BotResult(name="bot", played=play(run, lambda _: "4")[0])
    assert by_persona([result], run.personas) == []
    assert without_persona(result, run.personas) is result


def test_a_persona_is_compared_once_and_nobody_in_particular_anyway():
    with pytest.raises(UsageError, match="'terse' is given twice"):
        by_persona_run(["none", "terse", "terse"])
    played, _ = play(by_persona_run(["none", "terse"]), lambda request: f"5 {request.sample}")
    assert [(one.future.sample, one.future.persona) for one in played] == [
        (sample, name) for sample in (0, 1) for name in ("none", "terse")
    ]


def test_a_user_who_also_judges_does_so_without_the_settings_of_a_user():
    user = UserSpec(name="openai/a", settings=ModelSettings(temperature=0.9))
    simulator = Simulator(user, engine=Engine())
    rollout = Rollout(assistant="offline", simulator=simulator, engine=Engine())
    judges = [Evaluator("math-chat", simulator=simulator).judge, MRScorer(rollout).judge]
    assert [judge.settings.temperature for judge in judges] == [0.0, 0.0]
    with pytest.raises(UsageError, match="script cannot judge: name a judge"):
        Evaluator("math-chat", simulator=Simulator(["hi"], engine=Engine()))
