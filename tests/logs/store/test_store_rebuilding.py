"""The chat is what the person said and saw, whatever else an app sends to a model, and however it sends it."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from support.apps import (
    APPENDED_TITLE,
    CONDENSE,
    CONTEXTUALIZE,
    FIRST_TITLE,
    GUARD,
    LLAMA_GUARD,
    MEMORY,
    ROUTER,
    SELF_CHECK,
    TEMPLATE,
)
from support.calls import assistant, call, user
from support.fakes import other_texts

from collab_sdk.logs import ConversationStore

DAY = 86_400.0
KIND = {"role": "system", "content": "You are the assistant of a shoe shop. Be kind."}
SHOES = [
    ("I bought boots last week, and they are too small.", "I am sorry! Which size do you need?"),
    ("42", "We have them in 42. Shall I send them to you?"),
    ("yes please", "Done. You will have them on Friday."),
    ("thanks", "You're welcome!"),
]


class Log:
    """The calls of an app, a few seconds apart, and what the store makes of them."""

    def __init__(self, path, **fields):
        self.path, self.fields, self.calls, self.notes = path, {"conversation_id": "shoes", **fields}, [], Counter()

    def add(self, *messages, says, **fields):
        """A call, with the text it said, the texts (n > 1), or the message."""
        replies = says if isinstance(says, list) else [says]
        replies = [assistant(reply) if isinstance(reply, str) else reply for reply in replies]
        at = 1_750_000_000.0 + 10 * len(self.calls)
        fields = {"started": at - 2, "ended": at, **self.fields, **fields}
        self.calls.append(call(f"run-{len(self.calls)}", *messages, replies=replies, **fields))

    def read(self):
        with ConversationStore(self.path) as store:
            store.record(self.calls)
            return list(store.conversations(notes=self.notes))

    @property
    def chat(self):
        [chat] = self.read()
        return chat

    def describe(self, id="shoes"):
        with ConversationStore(self.path) as store:
            return store.describe(id)


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "chats.db")


def system(text):
    return {"role": "system", "content": text}


def tool(id, text):
    return {"role": "tool", "tool_call_id": id, "content": text}


def calling(*calls, says=""):
    """A message that calls tools: each an id, a name and an argument."""
    functions = [(id, {"name": name, "arguments": json.dumps({"text": argument})}) for id, name, argument in calls]
    return assistant(says, tool_calls=[{"id": id, "type": "function", "function": each} for id, each in functions])


def history(exchanges):
    return [message for said, reply in exchanges for message in (user(said), assistant(reply))]


def transcript(exchanges):
    return "\n".join(f"USER: {said}\nASSISTANT: {reply}" for said, reply in exchanges)


def said(chat):
    return [(message.role, message.content) for message in chat.messages if message.role != "system"]


def as_said(exchanges):
    return [(message["role"], message["content"]) for message in history(exchanges)]


def answer(log, number, *, exchanges=SHOES, prompt=KIND, **fields):
    """The call that answers exchange `number` of a chat, with the whole history."""
    asked, reply = exchanges[number]
    log.add(prompt, *history(exchanges[:number]), user(asked), says=reply, **fields)


def assert_all_was_read(log, *, beside, turns=4):
    listed = log.describe()
    assert (listed.turns, listed.side_calls, listed.left_out) == (turns, beside, 0)


# Titles, tags and follow-up questions


QUOTING = {
    "Open WebUI's title": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
    '### Output:\nJSON format: {{ "title": "your concise title here" }}\n### Chat History:\n<chat_history>\n{chat}\n'
    "</chat_history>",
    "Open WebUI's tags": "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history.\n"
    '### Output:\nJSON format: {{ "tags": ["tag1", "tag2"] }}\n### Chat History:\n<chat_history>\n{chat}\n'
    "</chat_history>",
    "LibreChat's title": "Provide a concise, 5-word-or-less title for the conversation, using title case conventions. "
    "Only return the title itself.\n\nConversation:\n{chat}",
    "a title in German": "Gib dem folgenden Gespräch einen Titel mit höchstens vier Wörtern.\n\n{chat}",
    "LangChain's running summary": "Progressively summarize the lines of conversation provided, adding onto the "
    "previous summary returning a new summary.\n\nCurrent summary:\n\n\nNew lines of conversation:\n{chat}\n\n"
    "New summary:",
    "follow-up questions": "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might "
    "naturally ask next in this conversation as a **user**.\n### Chat History:\n<chat_history>\n{chat}\n"
    "</chat_history>",
}


@pytest.mark.parametrize("prompt", QUOTING.values(), ids=QUOTING)
@pytest.mark.parametrize("after", [1, 3, 4])
def test_a_call_that_quotes_the_chat_is_beside_it(log, prompt, after):
    for number in range(len(SHOES)):
        if number == after:
            log.add(user(prompt.format(chat=transcript(SHOES[:after]))), says="👟 Boots Too Small")
        answer(log, number)
    if after == len(SHOES):
        log.add(user(prompt.format(chat=transcript(SHOES))), says="👟 Boots Too Small")
    assert said(log.chat) == as_said(SHOES)
    assert_all_was_read(log, beside=1)


def test_calls_that_quote_the_chat_after_every_turn_do_not_outnumber_it(log):
    for number in range(len(SHOES)):
        answer(log, number)
        for prompt in QUOTING.values():
            log.add(user(prompt.format(chat=transcript(SHOES[: number + 1]))), says="Boots")
    assert said(log.chat) == as_said(SHOES)
    assert_all_was_read(log, beside=len(SHOES) * len(QUOTING))


@pytest.mark.parametrize("exchanges", [SHOES[:1], SHOES], ids=["one exchange", "four"])
def test_a_title_for_the_first_message_under_a_prompt_of_its_own_is_no_other_answer_to_it(log, exchanges):
    answer(log, 0, exchanges=exchanges)
    log.add(system(FIRST_TITLE), user(exchanges[0][0]), says="Boots that are too small", model="small")
    for number in range(1, len(exchanges)):
        answer(log, number, exchanges=exchanges)
    chat = log.chat
    if len(exchanges) > 1:  # of one exchange nothing tells which of the two replies was shown
        assert said(chat) == as_said(exchanges)
        assert chat.alternatives == {}
        assert_all_was_read(log, beside=1)


def test_a_title_for_the_first_message_in_json_is_beside_the_chat(log):
    asked = json.dumps({"id": "m1", "role": "user", "parts": [{"type": "text", "text": SHOES[0][0]}]})
    answer(log, 0)
    log.add(system(FIRST_TITLE), user(asked), says="Boots that are too small")
    for number in range(1, len(SHOES)):
        answer(log, number)
    assert said(log.chat) == as_said(SHOES)
    assert_all_was_read(log, beside=1)


APPENDED = {
    "LibreChat's title": APPENDED_TITLE,
    "follow-ups": "Suggest three short questions that I might ask next. Answer with a JSON list.",
    "a title in French": "Propose un titre de cinq mots au plus pour cette conversation.",
    "LangGraph's summary": "Create a summary of the conversation above:",
}


@pytest.mark.parametrize("instruction", APPENDED.values(), ids=APPENDED)
def test_an_instruction_at_the_end_of_the_history_is_not_the_persons_once_they_go_on(log, instruction):
    for number in range(len(SHOES)):
        answer(log, number)
        if number == 0:
            log.add(KIND, *history(SHOES[:1]), user(instruction), says="Boots Too Small")
    chat = log.chat
    assert said(chat) == as_said(SHOES)
    assert chat.alternatives == {}


@pytest.mark.parametrize("instruction", APPENDED.values(), ids=APPENDED)
@pytest.mark.parametrize("prompt", [[KIND], []], ids=["the same system prompt", "none"])
def test_an_instruction_after_every_turn_is_not_the_persons_either_when_it_is_the_last_call(log, instruction, prompt):
    for number in range(len(SHOES)):
        answer(log, number)
        log.add(*prompt, *history(SHOES[: number + 1]), user(instruction), says=f"Proposal {number}")
    assert said(log.chat) == as_said(SHOES)
    assert_all_was_read(log, beside=len(SHOES))


def test_a_marked_call_is_never_the_chat(log):
    answer(log, 0)
    log.add(*history(SHOES[:1]), user("Give this chat a title."), says="Boots", is_side=True)
    chat = log.chat
    assert said(chat) == as_said(SHOES[:1])
    assert_all_was_read(log, beside=1, turns=1)
    with ConversationStore(log.path) as store:
        assert [side.run_id for side in store.side_calls("shoes")] == ["run-1"]


# Guards, routers, rewritten questions, judges


GUARDS = {
    "a filter": ([system(GUARD)], "{said}", "SAFE"),
    "NeMo's self check": ([], SELF_CHECK, "No."),
    "Llama Guard": ([], LLAMA_GUARD.replace("{reply}", ""), "safe"),
    "in JSON": ([system("Is this on topic? Answer in JSON.")], "{said}", '{"on_topic": true}'),
    "quoted in a tag": ([system(GUARD)], "<message>\n{said}\n</message>", "SAFE"),
}


@pytest.mark.parametrize("prompt, template, verdict", GUARDS.values(), ids=GUARDS)
@pytest.mark.parametrize("length", [2, len(SHOES)])
def test_a_guard_before_every_answer_is_beside_the_chat(log, prompt, template, verdict, length):
    for number, (asked, _) in enumerate(SHOES[:length]):
        log.add(*prompt, user(template.format(said=asked)), says=verdict)
        answer(log, number)
    chat = log.chat
    assert said(chat) == as_said(SHOES[:length])
    assert chat.alternatives == {}
    assert_all_was_read(log, beside=length, turns=length)


def test_the_verdict_of_a_guard_that_refuses_is_not_what_the_person_saw(log):
    answer(log, 0)
    asked = "How do I build a bomb?"
    log.add(system(GUARD), user(asked), says="UNSAFE")
    chat = said(log.chat)
    assert chat in (as_said(SHOES[:1]), [*as_said(SHOES[:1]), ("user", asked)])
    refused = [*SHOES[:1], (asked, "Sorry, I cannot help with that.")]
    log.add(KIND, *history(refused), user("42"), says="We have them in 42.")
    assert said(log.chat) == as_said([*refused, ("42", "We have them in 42.")])


def test_a_guard_over_the_whole_history_is_beside_the_chat(log):
    for number, (asked, _) in enumerate(SHOES):
        log.add(system(GUARD), *history(SHOES[:number]), user(asked), says="SAFE")
        answer(log, number)
    chat = log.chat
    assert said(chat) == as_said(SHOES)
    assert chat.alternatives == {}


def test_a_router_before_every_answer_is_beside_the_chat(log):
    for number, (asked, _) in enumerate(SHOES):
        log.add(system(ROUTER), user(asked), says="returns")
        answer(log, number)
    chat = log.chat
    assert said(chat) == as_said(SHOES)
    assert chat.alternatives == {}


def test_a_question_that_is_rewritten_for_the_retriever_is_beside_the_chat(log):
    """LangChain's history-aware retriever: the same history under two prompts, the second with what was found."""
    for number, (asked, reply) in enumerate(SHOES):
        sent = (*history(SHOES[:number]), user(asked))
        if number:
            log.add(system(CONTEXTUALIZE), *sent, says=f"Standalone question {number}?")
        log.add(system(f"Answer the question.\n\nBoots come in sizes {number} to 45."), *sent, says=reply)
    chat = log.chat
    assert said(chat) == as_said(SHOES)
    assert chat.alternatives == {}


def test_a_condensed_question_is_beside_the_chat(log):
    """LlamaIndex's condense-plus-context engine."""
    for number, (asked, _) in enumerate(SHOES):
        if number:
            log.add(user(CONDENSE.format(history=transcript(SHOES[:number]), said=asked)), says="Boots in size 42?")
        answer(log, number, prompt=system(f"Here are the relevant documents: boots, part {number}."))
    assert said(log.chat) == as_said(SHOES)
    assert_all_was_read(log, beside=len(SHOES) - 1)


def test_judges_and_memories_after_every_answer_are_beside_the_chat(log):
    for number, (asked, reply) in enumerate(SHOES):
        answer(log, number)
        log.add(user(LLAMA_GUARD.format(said=asked, reply=reply)), says="safe")
        log.add(system(MEMORY), user(f"Input:\nuser: {asked}\nassistant: {reply}"), says='{"facts": []}')
    assert said(log.chat) == as_said(SHOES)
    assert_all_was_read(log, beside=2 * len(SHOES))


# Sub-agents


def sub_agent(log, task, found, report):
    """A sub-agent looks one thing up after the other, and reports."""
    sent = [system("You are a researcher. Report in one message."), user(task)]
    for number, (asked, result) in enumerate(found):
        log.add(*sent, says=calling((f"s{number}", "search", asked)))
        sent += [calling((f"s{number}", "search", asked)), tool(f"s{number}", result)]
        yield
    log.add(*sent, says=report)
    yield


FOUND = [(f"boots, page {number}", f"{number} pairs") for number in range(6)]


def test_a_sub_agent_that_works_longer_than_the_chat_is_beside_it(log):
    asked, task = "Which boots are the warmest?", calling(("c1", "research", "the warmest boots"))
    log.add(KIND, user(asked), says=task)
    for _ in sub_agent(log, "the warmest boots", FOUND, "The Arctic ones."):
        pass
    log.add(KIND, user(asked), task, tool("c1", "The Arctic ones."), says="Take the Arctic ones.")
    chat = log.chat
    assert [message.role for message in chat.messages if message.role != "system"] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert said(chat)[-1] == ("assistant", "Take the Arctic ones.")
    assert log.describe().side_calls == len(FOUND) + 1


def test_sub_agents_that_work_side_by_side_are_beside_the_chat(log):
    tasks = ["the warmest boots", "the cheapest boots"]
    asking = calling(*((f"c{number}", "research", task) for number, task in enumerate(tasks)))
    log.add(KIND, user("Which boots are warm, which are cheap?"), says=asking)
    agents = [sub_agent(log, task, FOUND[:3], f"Report on {task}.") for task in tasks]
    for _ in zip(*agents, strict=True):
        pass
    results = [tool(f"c{number}", f"Report on {task}.") for number, task in enumerate(tasks)]
    log.add(KIND, user("Which boots are warm, which are cheap?"), asking, *results, says="These are.")
    sent = [user("Which boots are warm, which are cheap?"), asking, *results, assistant("These are."), user("ok")]
    log.add(KIND, *sent, says="Shall I order them?")
    chat = log.chat
    assert [message.content for message in chat.messages if message.role == "user"] == [sent[0]["content"], "ok"]
    assert len(said(chat)) == 7
    assert log.describe().side_calls == 2 * 4


def test_a_supervisor_hands_the_chat_over_and_each_message_is_in_it_once(log):
    """The agents see the same messages under prompts of their own; what a supervisor hands over is a call of a tool."""
    handing = calling(("h1", "transfer_to_returns", ""))
    sent = [user(SHOES[0][0])]
    log.add(system("You are a supervisor of two agents."), *sent, says=handing)
    sent += [handing, tool("h1", "Successfully transferred to returns")]
    log.add(system("You handle returns."), *sent, says=SHOES[0][1])
    sent += [assistant(SHOES[0][1]), user(SHOES[1][0])]
    log.add(system("You handle returns."), *sent, says=SHOES[1][1])
    chat = log.chat
    assert [text for role, text in said(chat) if role == "user"] == [SHOES[0][0], SHOES[1][0]]
    assert [text for role, text in said(chat) if role == "assistant" and text] == [SHOES[0][1], SHOES[1][1]]


# Windows


@pytest.mark.parametrize("size", range(1, 8))
def test_the_last_messages_alone_make_the_whole_chat(log, size):
    """`trim_messages` and the like, wherever they cut."""
    for number, (asked, reply) in enumerate(SHOES):
        log.add(KIND, *[*history(SHOES[:number]), user(asked)][-size:], says=reply)
    assert said(log.chat) == as_said(SHOES)
    assert_all_was_read(log, beside=0)


@pytest.mark.parametrize("size", range(2, 8))
def test_a_window_may_cut_between_a_call_of_a_tool_and_its_result(log, size):
    messages, shown = [], []
    for number, (asked, reply) in enumerate(SHOES):
        messages.append(user(asked))
        asking = calling((f"c{number}", "look_up", asked))
        log.add(KIND, *messages[-size:], says=asking)
        messages += [asking, tool(f"c{number}", f"result {number}")]
        log.add(KIND, *messages[-size:], says=reply)
        messages.append(assistant(reply))
        shown += [("user", asked), ("assistant", ""), ("tool", f"result {number}"), ("assistant", reply)]
    assert said(log.chat) == shown


AGAIN = [("yes", "Done."), ("no", "Ok."), ("yes", "Done."), ("yes", "Done."), ("yes", "Done."), ("thanks", "Done.")]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 20])
def test_what_was_said_twice_was_said_twice(log, size):
    for number, (asked, reply) in enumerate(AGAIN):
        log.add(*[*history(AGAIN[:number]), user(asked)][-size:], says=reply)
    assert said(log.chat) == as_said(AGAIN)


def test_a_person_who_says_the_same_again_without_an_answer_said_it_twice(log):
    log.add(user("Hello?"), says=[], status="failed", error="TimeoutError")
    log.add(user("Hello?"), user("Hello?"), says="Hello!")
    log.add(user("Hello?"), user("Hello?"), assistant("Hello!"), user("42"), says="Boots?")
    assert [text for _, text in said(log.chat)] == ["Hello?", "Hello?", "Hello!", "42", "Boots?"]


def test_a_window_of_a_call_of_tools_and_its_results_goes_on_from_that_call(log):
    """Even if an earlier tool returned the same as the last one."""
    asked, first = user("Which shoes of mine were shipped?"), calling(("a", "find", "shoes"))
    then = calling(("b", "look_up", "boots"), ("c", "look_up", "sandals"))
    steps = [first, tool("a", "shipped"), then, tool("b", "lost"), tool("c", "shipped")]
    log.add(asked, says=[first])
    log.add(asked, *steps[:2], says=[then])
    log.add(*steps[2:], says="The sandals.")
    assert said(log.chat) == [(each["role"], each["content"]) for each in (asked, *steps, assistant("The sandals."))]


def test_a_window_whose_beginning_was_not_recorded_begins_where_it_is_known(log):
    messages = [*history(SHOES[:3]), user(SHOES[3][0])]
    log.add(*messages[2:], says=SHOES[3][1])
    log.add(*messages[4:], assistant(SHOES[3][1]), user("bye"), says="Bye!")
    assert said(log.chat) == [*as_said(SHOES)[2:], ("user", "bye"), ("assistant", "Bye!")]


def test_a_chat_of_windows_and_of_whole_histories_is_one(log):
    """Two workers of which one has been updated, or an app that trims long chats only."""
    for number, (asked, reply) in enumerate(SHOES):
        messages = [*history(SHOES[:number]), user(asked)]
        log.add(*(messages[-3:] if number % 2 else messages), says=reply)
    assert said(log.chat) == as_said(SHOES)


# Summaries


SUMMARY = "The customer's boots are too small."
SUMMARIES = {
    "LangGraph's": [system(f"Summary of conversation earlier: {SUMMARY}")],
    "LangGraph's, as a user": [user(f"Summary of conversation earlier: {SUMMARY}")],
    "LangChain's": [user(f"Here is a summary of the conversation to date:\n\n{SUMMARY}")],
    "an assistant's": [assistant(f"Summary of the chat so far: {SUMMARY}")],
    "OpenAI's cookbook's": [user("Summarize the conversation we had so far."), assistant(SUMMARY)],
    "acknowledged": [
        user(f"[Conversation compressed]\n{SUMMARY}"),
        assistant("Understood. I have the context from the summary. Continuing."),
    ],
    "a coding agent's": [
        user(f"This session is being continued from a previous conversation that ran out of context.\n{SUMMARY}")
    ],
    "in German": [user(f"Bisheriger Verlauf (gekürzt): {SUMMARY}")],
}
LONG = [*SHOES[:3], ("And the old ones?", "Send them back."), ("By mail?", "Yes, free of charge."), *SHOES[3:]]


@pytest.mark.parametrize("summary", SUMMARIES.values(), ids=SUMMARIES)
@pytest.mark.parametrize("kept", [2, 3, 4])
def test_a_summary_in_place_of_the_beginning_is_not_in_the_chat(log, summary, kept):
    for number, (asked, reply) in enumerate(LONG):
        messages = [*history(LONG[:number]), user(asked)]
        log.add(KIND, *(messages if number < 3 else [*summary, *messages[-kept:]]), says=reply)
    assert said(log.chat) == as_said(LONG)
    assert_all_was_read(log, beside=0, turns=len(LONG))


@pytest.mark.parametrize("form", SUMMARIES, ids=SUMMARIES)
def test_a_summary_that_stays_while_the_chat_goes_on_is_not_in_it(log, form):
    for number, (asked, reply) in enumerate(LONG):
        messages = [*history(LONG[:number]), user(asked)]
        log.add(KIND, *(messages if number < 3 else [*SUMMARIES[form], *messages[4:]]), says=reply)
    assert said(log.chat) == as_said(LONG)


@pytest.mark.parametrize("form", SUMMARIES, ids=SUMMARIES)
def test_a_summary_that_is_another_each_time_is_not_in_the_chat(log, form):
    for number, (asked, reply) in enumerate(LONG):
        messages = [*history(LONG[:number]), user(asked)]
        summary = [{**row, "content": f"{row['content']} Part {number}."} for row in SUMMARIES[form]]
        log.add(KIND, *(messages if number < 2 else [*summary, *messages[-2:]]), says=reply)
    assert said(log.chat) == as_said(LONG)


def test_a_summary_by_hand_as_langgraphs_documentation_has_it(log):
    """The summary is asked for at the end of the history, and the last two messages are kept."""
    kept, summary = [], []
    for number, (asked, reply) in enumerate(LONG):
        kept.append(user(asked))
        log.add(*summary, *kept, says=reply)
        kept.append(assistant(reply))
        if len(kept) > 4:
            log.add(*kept, user("Create a summary of the conversation above:"), says=f"{SUMMARY} {number}")
            kept, summary = kept[-2:], [system(f"Summary of conversation earlier: {SUMMARY} {number}")]
    chat = log.chat
    assert said(chat) == as_said(LONG)
    assert chat.alternatives == {}


# What is sent is not what was said


def test_a_last_message_within_a_template_is_read_as_it_was_typed(log):
    for number, (asked, reply) in enumerate(SHOES):
        filled = TEMPLATE.format(context=f"Document {number}", question=asked)
        log.add(KIND, *history(SHOES[:number]), user(filled), says=reply)
    log.add(KIND, *history(SHOES), user("bye"), says="Bye!")
    assert said(log.chat)[: 2 * len(SHOES)] == as_said(SHOES)


@pytest.mark.parametrize("size", [3, 5])
def test_nor_does_a_template_matter_within_a_window(log, size):
    for number, (asked, reply) in enumerate(SHOES):
        filled = f"<context>Document {number}</context>\n\n{asked}"
        log.add(KIND, *[*history(SHOES[:number]), user(filled)][-size:], says=reply)
    log.add(KIND, *[*history(SHOES), user("bye")][-size:], says="Bye!")
    assert said(log.chat) == [*as_said(SHOES), ("user", "bye"), ("assistant", "Bye!")]


EDITS = {
    "citations stripped": ("Boots are free of charge to return [1][2].", "Boots are free of charge to return."),
    "a signature": ("Send them back.", "Send them back.\n\n— Your shoe shop"),
    "shortened": ("Send them back. The address is on the parcel, and the mail is free.", "Send them back. The…"),
    "translated": ("Send them back.", "Schicken Sie sie zurück."),
    "as data": ('{"answer": "Send them back.", "sure": true}', "Send them back."),
}


@pytest.mark.parametrize("given, stored", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("size", [3, 20])
def test_a_reply_that_the_app_edits_before_it_keeps_it_is_in_the_chat_once(log, given, stored, size):
    asked = [*SHOES[:2], ("And the old ones?", stored), *SHOES[2:]]
    for number, (text, reply) in enumerate(asked):
        sent = [*history(asked[:number]), user(text)][-size:]
        log.add(KIND, *sent, says=given if reply == stored else reply)
    shown = said(log.chat)
    assert shown[5] in (("assistant", given), ("assistant", stored))
    assert shown[:5] + shown[6:] == as_said(asked)[:5] + as_said(asked)[6:]


def test_every_reply_may_be_edited(log):
    stored = [(asked, f"{reply}\n\nSources: none") for asked, reply in SHOES]
    for number, (asked, reply) in enumerate(SHOES):
        log.add(KIND, *history(stored[:number]), user(asked), says=reply)
    chat = log.chat
    assert [text for role, text in said(chat) if role == "user"] == [asked for asked, _ in SHOES]
    assert len(said(chat)) == 2 * len(SHOES)


def test_a_greeting_of_the_app_is_what_the_person_saw(log):
    greeting = assistant("Hello! How can I help?")
    for number, (asked, reply) in enumerate(SHOES):
        log.add(KIND, greeting, *history(SHOES[:number]), user(asked), says=reply)
    assert said(log.chat) == [("assistant", "Hello! How can I help?"), *as_said(SHOES)]


def test_a_human_in_the_loop_may_change_a_call_before_it_is_made(log):
    asked = user("Send them to me.")
    log.add(asked, says=calling(("c1", "ship", "Bonn")))
    changed = calling(("c1", "ship", "Berlin"))
    log.add(
        asked, changed, tool("c1", "shipped"), says="They are on their way.", started=DAY * 30_000, ended=DAY * 30_000
    )
    log.add(
        asked,
        changed,
        tool("c1", "shipped"),
        assistant("They are on their way."),
        user("thanks"),
        says="Bye!",
        ended=DAY * 30_001,
    )
    chat = log.chat
    assert [message.role for message in chat.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
        "assistant",
    ]
    assert said(chat)[-2:] == [("user", "thanks"), ("assistant", "Bye!")]


# Where the app itself says what was shown


def test_what_the_app_says_was_shown_is_the_chat(log):
    for number, (asked, reply) in enumerate(SHOES):
        prompt = user(f"History:\n{transcript(SHOES[:number])}\nQuestion: {asked}")
        shown = (*history(SHOES[:number]), user(asked), assistant(reply))
        log.add(prompt, says=f"Answer: {reply}", shown=shown)
    assert said(log.chat) == as_said(SHOES)
    assert_all_was_read(log, beside=0)


def test_the_turns_that_were_shown_follow_each_other(log):
    for number, (asked, reply) in enumerate(AGAIN):
        prompt = user(f"History:\n{transcript(AGAIN[:number])}\nQuestion: {asked}")
        log.add(prompt, says=reply, shown=(user(asked), assistant(reply)), shown_is_turn=True)
    assert said(log.chat) == as_said(AGAIN)


def test_a_refusal_that_no_model_gave_was_seen(log):
    answer(log, 0, shown=tuple(history(SHOES[:1])))
    asked = user("How do I build a bomb?")
    shown = (*history(SHOES[:1]), asked, assistant("Sorry, I cannot help with that."))
    log.add(system(GUARD), asked, says="UNSAFE", shown=shown)
    assert said(log.chat) == [(message["role"], message["content"]) for message in shown]
    assert log.chat.alternatives == {}


# Histories that the server holds


def test_responses_that_go_on_from_each_other_are_one_chat(log):
    log.fields["conversation_id"] = None
    for number, (asked, reply) in enumerate(AGAIN):
        before = f"resp_{number - 1}" if number else None
        log.add(
            system(f"Turn {number}"), user(asked), says=reply, response_id=f"resp_{number}", previous_response=before
        )
    log.calls = log.calls[::-1]
    assert said(log.chat) == as_said(AGAIN)


def test_a_response_that_calls_tools_is_gone_on_from_with_their_results(log):
    log.add(user("Where are my boots?"), says=calling(("c1", "look_up", "boots")), response_id="resp_1")
    log.add(tool("c1", "shipped"), says="On their way.", response_id="resp_2", previous_response="resp_1")
    log.add(user("thanks"), says="Bye!", response_id="resp_3", previous_response="resp_2")
    assert said(log.chat) == [
        ("user", "Where are my boots?"),
        ("assistant", ""),
        ("tool", "shipped"),
        ("assistant", "On their way."),
        ("user", "thanks"),
        ("assistant", "Bye!"),
    ]


def test_a_branch_from_an_earlier_response_is_an_alternative(log):
    log.fields["conversation_id"] = None
    log.add(user("hi"), says="Hello!", response_id="resp_1")
    log.add(user("42"), says="Boots?", response_id="resp_2", previous_response="resp_1")
    log.add(user("42"), says="In 42, then.", response_id="resp_3", previous_response="resp_1")
    chat = log.chat
    assert said(chat) == as_said([("hi", "Hello!"), ("42", "In 42, then.")])
    assert other_texts(chat) == {1: ("Boots?",)}


def test_what_is_added_to_a_conversation_that_the_server_holds_follows_what_was_there(log):
    for asked, reply in AGAIN:
        log.add(KIND, user(asked), says=reply, is_added=True)
    assert said(log.chat) == as_said(AGAIN)


# Edits, regenerations and attempts


def test_a_reply_asked_for_anew_at_the_end_is_an_alternative(log):
    answer(log, 0)
    answer(log, 1)
    log.add(KIND, *history(SHOES[:1]), user(SHOES[1][0]), says="In 42 we have red ones only.")
    chat = log.chat
    assert said(chat) == [*as_said(SHOES[:2])[:-1], ("assistant", "In 42 we have red ones only.")]
    assert other_texts(chat) == {1: (SHOES[1][1],)}


@pytest.mark.parametrize("size", [4, 20])
def test_the_reply_that_the_chat_goes_on_from_is_in_it_whichever_was_last(log, size):
    for number, (asked, reply) in enumerate(LONG):
        sent = [*history(LONG[:number]), user(asked)][-size:]
        others = ["Let me see.", "Of course."] if number == 2 else []
        for text in (others[0], reply, others[1]) if others else (reply,):
            log.add(KIND, *sent, says=text)
    chat = log.chat
    assert said(chat) == as_said(LONG)
    assert {turn: set(texts) for turn, texts in other_texts(chat).items()} == {2: {"Let me see.", "Of course."}}


def test_a_chat_goes_on_from_the_message_that_was_edited(log):
    for number in range(3):
        answer(log, number)
    edited = [SHOES[0], ("43, rather", "We have them in 43."), ("send them", "Done."), ("bye", "Bye!")]
    for number in range(1, 4):
        answer(log, number, exchanges=edited)
    chat = log.chat
    assert said(chat) == as_said(edited)
    assert set(chat.alternatives) <= {0}, "another message of the person's is no alternative of the assistant's"


def test_a_message_edited_at_the_end_is_what_the_person_said(log):
    for number in range(3):
        answer(log, number)
    edited = [*SHOES[:2], ("no, wait", "Take your time.")]
    answer(log, 2, exchanges=edited)
    answer(log, 3, exchanges=[*edited, ("ok, send them", "Done.")])
    assert said(log.chat) == as_said([*edited, ("ok, send them", "Done.")])


@pytest.mark.parametrize("begun", [[SHOES[2]], [SHOES[0], SHOES[2]]])
def test_a_message_edited_into_what_came_after_it_is_gone_even_if_it_was_said_before(log, begun):
    """What is sent then looks like a window onto what was abandoned, or like its beginning and its end."""
    left, edited = [*begun, *SHOES[2:]], [*begun, SHOES[3]]
    for number in range(len(left)):
        answer(log, number, exchanges=left)
    answer(log, len(edited) - 1, exchanges=edited)
    assert said(log.chat) == as_said(edited)


@pytest.mark.parametrize("status", ["failed", "cancelled", "partial"])
def test_an_attempt_that_came_to_nothing_never_replaces_the_answer(log, status):
    answer(log, 0)
    sent = (KIND, *history(SHOES[:1]), user(SHOES[1][0]))
    replies = [] if status == "failed" else ["We have"]
    log.add(*sent, says=replies, status=status)
    log.add(*sent, says=SHOES[1][1])
    log.add(*sent, says=replies, status=status)
    chat = log.chat
    assert said(chat) == as_said(SHOES[:2])
    assert chat.alternatives == {}
    assert chat.partial_turns == frozenset()


def test_a_reply_that_was_broken_off_and_gone_on_from_was_seen(log):
    broken = [(SHOES[0][0], "I am sorry! Whi"), *SHOES[1:]]
    answer(log, 0, exchanges=broken, status="partial")
    for number in range(1, len(broken)):
        answer(log, number, exchanges=broken)
    chat = log.chat
    assert said(chat) == as_said(broken)
    assert chat.partial_turns == {0}


# Workers and clocks, ids and none


CLOCKS = {
    "equal": lambda number: 5.0,
    "none": lambda number: 0.0,
    "of two workers": lambda number: 1_000.0 + 10 * number + 90 * (number % 2),
    "jumping back": lambda number: 5_000.0 + 10 * number - (3_600 if number > 1 else 0),
}


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
@pytest.mark.parametrize("size", [3, 5, 20])
@pytest.mark.parametrize("id", ["shoes", None])
def test_histories_that_overlap_say_the_order_where_clocks_do_not(log, clock, size, id):
    for number, (asked, reply) in enumerate(LONG):
        sent = [*history(LONG[:number]), user(asked)][-size:]
        log.add(KIND, *sent, says=reply, started=0.0, ended=clock(number), conversation_id=id)
    log.calls = [log.calls[place] for place in (1, 0, 3, 2, 5, 4)]
    if id is None and size < 20:
        chats = log.read()
        assert len(chats) == 1 or sum(log.notes.values())
        assert {pair for chat in chats for pair in said(chat)} == set(as_said(LONG))
        assert sum(len(said(chat)) for chat in chats) == 2 * len(LONG)
    else:
        assert said(log.chat) == as_said(LONG)


def test_a_chat_that_is_resumed_after_days_is_one(log):
    for number, (asked, reply) in enumerate(LONG):
        at = 1_750_000_000.0 + number * 5 * DAY
        sent = [*history(LONG[:number]), user(asked)][-3:]
        log.add(system(f"Today is day {number}."), *sent, says=reply, ended=at, model=f"model-{number // 3}")
    assert said(log.chat) == as_said(LONG)


@pytest.mark.parametrize("id", ["shoes", None])
def test_a_system_prompt_that_changes_makes_no_other_chat(log, id):
    log.fields["conversation_id"] = id
    for number in range(len(LONG)):
        answer(log, number, exchanges=LONG, prompt=system(f"Be kind. It is 10:0{number}."))
    assert said(log.chat) == as_said(LONG)


def test_a_title_that_quotes_a_chat_without_an_id_is_no_chat_of_its_own(log):
    log.fields["conversation_id"] = None
    for number in range(len(SHOES)):
        answer(log, number)
    log.add(user(QUOTING["Open WebUI's title"].format(chat=transcript(SHOES))), says="👟 Boots Too Small")
    assert said(log.chat) == as_said(SHOES)


def test_two_threads_with_one_id_are_not_mixed(log):
    socks = [("Do you have socks?", "In all colours."), ("in red?", "In red, too."), ("ok", "Anything else?")]
    for number in range(len(SHOES)):
        answer(log, number)
        if number < len(socks):
            answer(log, number, exchanges=socks)
    chats = log.read()
    assert all(said(chat) in (as_said(SHOES), as_said(socks)) for chat in chats)
    assert as_said(SHOES) in [said(chat) for chat in chats]
    assert len(chats) == 2 or log.describe().left_out == len(socks)


@pytest.mark.parametrize("size", [3, 20])
def test_an_id_that_changes_in_mid_chat_loses_nothing(log, size):
    for number, (asked, reply) in enumerate(LONG):
        sent = [*history(LONG[:number]), user(asked)][-size:]
        log.add(KIND, *sent, says=reply, conversation_id="shoes" if number < 3 else "boots")
    chats = {chat.id: said(chat) for chat in log.read()}
    whole = as_said(LONG)
    assert all(chat == whole[start : start + len(chat)] for chat in chats.values() for start in [whole.index(chat[0])])
    assert {pair for chat in chats.values() for pair in chat} == set(whole)


def test_a_run_that_is_recorded_again_says_nothing_twice(log):
    for asked, reply in AGAIN:
        log.add(user(asked), says=reply, is_added=True)
    log.calls += [replace(each, ended=each.ended + 1) for each in log.calls]
    assert said(log.chat) == as_said(AGAIN)


def test_what_no_reading_holds_is_counted(log):
    for number in range(len(SHOES)):
        answer(log, number)
    socks = [("Do you have socks?", "In all colours."), ("in red?", "In red, too.")]
    for number in range(len(socks)):
        answer(log, number, exchanges=socks)
    chats = log.read()
    assert as_said(SHOES) in [said(chat) for chat in chats]
    assert len(chats) > 1 or (log.describe().left_out == len(socks) and sum(log.notes.values()))


# What a message alone, a window, or a repeated text does not tell by itself
@pytest.mark.parametrize("status", ["ok", "partial"])
def test_a_check_that_quotes_a_few_words_is_not_the_chat_of_an_app_that_sends_the_last_message_alone(log, status):
    log.add(user(SELF_CHECK.format(said="yes")), says="No.")
    log.add(user("yes"), says="Done.", status=status)
    assert said(log.chat) == [("user", "yes"), ("assistant", "Done.")]


@pytest.mark.parametrize("title", QUOTING.values(), ids=QUOTING)
def test_another_answer_to_the_first_question_is_no_second_exchange_where_all_else_is_about_it(log, title):
    log.add(user("yes"), says="Let me see.")
    log.add(user("yes"), says="Done.")
    log.add(user(title.format(chat=transcript([("yes", "Done.")]))), says="Shoe order")
    assert said(log.chat) == [("user", "yes"), ("assistant", "Done.")]


@pytest.mark.parametrize("prompt", [[], [system("You are a memory. Store facts.")]])
def test_what_is_asked_about_an_answer_that_broke_off_is_no_other_wording_of_the_question(log, prompt):
    log.add(KIND, user("yes"), says="Shipping is fr", status="partial")
    log.add(*prompt, user("Input:\nuser: yes\nassistant: Shipping is fr"), says='{"facts": []}')
    assert said(log.chat) == [("user", "yes"), ("assistant", "Shipping is fr")]


def test_an_answer_to_a_window_behind_the_question_is_not_taken_for_a_later_one_of_the_same_words(log):
    begun = [user("yes"), calling(("a", "look_up", "1042")), tool("a", "shipped"), assistant("Sure.")]
    log.add(KIND, begun[0], says=begun[1])
    log.add(KIND, *begun[1:3], says=begun[3])
    log.add(KIND, *begun, user("ok"), says="It will be there soon.")
    log.add(KIND, assistant("It will be there soon."), user("yes"), says="Sure.")
    answers = [text for role, text in said(log.chat) if role == "assistant" and text]
    assert answers == ["Sure.", "It will be there soon.", "Sure."]


def test_a_turn_with_the_tools_of_the_first_goes_on_from_the_call_whose_results_it_holds(log):
    def turn(n):
        made = calling((f"a{n}", "look_up", "boots"), (f"b{n}", "look_up", "laces"))
        return [user("no"), made, tool(f"a{n}", "none found"), tool(f"b{n}", "none found")]

    log.add(KIND, *turn(1)[:1], says=turn(1)[1])
    log.add(KIND, *turn(1), says="Anything else?")
    log.add(KIND, *turn(1)[2:], assistant("Anything else?"), *turn(2)[:1], says=turn(2)[1])
    log.add(KIND, *turn(2), says="Done.")
    assert [text for role, text in said(log.chat) if role == "assistant" and text] == ["Anything else?", "Done."]


def test_a_window_of_a_chat_whose_first_message_holds_the_next_is_a_window(log):
    log.add(KIND, user("yes please"), says="Done.")
    log.add(KIND, user("yes please"), assistant("Done."), user("yes"), says="Done.")
    log.add(KIND, user("yes"), assistant("Done."), user("yes"), says="Sure.")
    chat = [("yes please", "Done."), ("yes", "Done."), ("yes", "Sure.")]
    assert said(log.chat) == as_said(chat)


def test_the_first_window_of_a_chat_in_which_one_question_is_asked_anew_holds_the_latest_answer(log):
    asked, replies = user("Is it here yet?"), ["It was shipped on Monday.", "Is there anything else?", "Tomorrow."]
    log.add(asked, says=replies[0])
    log.add(asked, assistant(replies[0]), asked, says=replies[1])
    log.add(asked, assistant(replies[1]), asked, says=replies[2])
    assert said(log.chat) == as_said([("Is it here yet?", reply) for reply in replies])


def test_the_first_prompt_with_a_summary_in_unknown_words_goes_on_from_an_answer_that_was_cut(log):
    log.add(*history(SHOES[:1]), user(SHOES[1][0]), says=SHOES[1][1])
    known = system("What you know of the customer so far: she bought boots, and they are too small.")
    log.add(known, assistant(SHOES[1][1][:-1]), user(SHOES[2][0]), says=SHOES[2][1])
    assert [text for role, text in said(log.chat) if role == "user"] == [asked for asked, _ in SHOES[:3]]


def test_the_last_exchange_under_a_first_summary_is_in_the_chat(log):
    answer(log, 0, prompt=KIND)
    answer(log, 1, prompt=KIND)
    answer(log, 2, prompt=KIND)
    log.add(system("Known so far: boots, size 42."), assistant(SHOES[2][1]), user(SHOES[3][0]), says=SHOES[3][1])
    assert said(log.chat) == as_said(SHOES)


def test_a_chat_goes_on_from_the_answer_in_its_history_though_an_attempt_broke_off_behind_it(log):
    """Without clocks, what was tried before the answer, and another reply to the question, may be read after it."""
    chat = [*SHOES[:2], ("yes please (3)", "Done. (3)"), ("thanks (4)", "Bye! (4)")]

    def add(number, says, **fields):
        filled = TEMPLATE.format(context="Shipping is free.", question=chat[number][0])
        log.add(*history(chat[:number]), user(filled), says=says, started=0.0, ended=0.0, **fields)

    for number in range(3):
        add(number, chat[number][1])
    add(2, "Don", status="partial")
    add(3, chat[3][1])
    add(2, "Let me see.")
    found = log.chat
    [*told, asked, answered] = said(found)
    assert told == as_said(chat[:3])
    assert chat[3][0] in asked[1]
    assert answered == ("assistant", chat[3][1])
    assert other_texts(found) == {2: ("Let me see.",)}


def test_the_first_question_out_of_its_template_and_its_answer_reworked_are_no_branch_behind_a_greeting(log):
    """A clock that jumps back lets an attempt that broke off before the answer be read as the last call."""
    hello = assistant("Hello! How can I help?")
    chat = [SHOES[0], ("yes please", "Done. You will have them on Friday.")]

    def add(number, says, **fields):
        filled = TEMPLATE.format(context="Shipping is free.", question=chat[number][0])
        kept = [(asked, reply[:-1]) for asked, reply in chat[:number]]
        log.add(KIND, hello, *history(kept), user(filled), says=says, started=0.0, **fields)

    add(0, "I am", status="partial", ended=2_000.0)
    add(0, chat[0][1], ended=2_010.0)
    add(1, chat[1][1], ended=1_000.0)
    assert said(log.chat)[-1] == ("assistant", chat[1][1])
    assert not log.notes


def test_a_question_that_ended_two_branches_is_the_persons_where_the_app_says_that_it_was_answered(log):
    asked = ("How much is shipping?", "Free from 50 euros on.")
    left, kept = [*SHOES[:1], asked], [*SHOES[:1], ("43, rather", "We have them in 43."), asked]
    for chat in (left, kept):
        for number, (text, reply) in enumerate(chat):
            sent = (*history(chat[:number]), user(text))
            log.add(KIND, *sent, says=reply, shown=(*sent, assistant(reply)))
    assert said(log.chat) == as_said(kept)
    assert log.describe().side_calls == 0


@pytest.mark.parametrize("edited", [1, 2])
@pytest.mark.parametrize("looked_up", [0, 9])
def test_a_question_that_is_asked_again_after_an_edit_abandoned_it_is_still_the_last_of_the_chat(
    log, edited, looked_up
):
    """Also where the calls of a sub-agent outnumber those of the chat."""
    last = ("Can I still change the size?", "Yes, until Friday.")
    for number in range(3):
        if number == edited:
            answer(log, number, exchanges=[*SHOES[:number], last])
        answer(log, number)
    for number in range(looked_up):
        log.add(system("Look up what is asked."), user(f"boots {number}"), says=f"3 results for boots {number}")
    answer(log, 3, exchanges=[*SHOES[:3], last])
    assert said(log.chat) == as_said([*SHOES[:3], last])
    assert log.describe().side_calls == looked_up


def test_a_question_that_ended_two_branches_is_asked_in_both(log):
    last = ("Can I still change the size?", "Yes, until Friday.")
    left = [SHOES[0], ("43, rather", "We have them in 43."), last]
    for chat in (left, [*SHOES[:2], last]):
        for number in range(len(chat)):
            answer(log, number, exchanges=chat)
    assert said(log.chat) == as_said([*SHOES[:2], last])


def test_what_an_app_asks_after_each_answer_in_unknown_words_is_not_the_persons(log):
    for number in range(3):
        answer(log, number)
        log.add(*history(SHOES[: number + 1]), user("Welche drei Fragen passen dazu?"), says="Gibt es sie in Blau?")
    assert said(log.chat) == as_said(SHOES[:3])
