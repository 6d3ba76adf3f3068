"""Apps that call several chains by themselves for one conversation: one answers, the others prepare it or follow it."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from support.langchain_apps import chat_model, graph_of, kept_and_config, says, shown
from support.server import LoopbackServer

Chain = Any
QUESTIONS = ["do you have tea?", "and with milk, please?", "what does it cost?"]

PREPARE = {
    "a rewritten question": "Rephrase the question.\nHistory: {history}\nQuestion: {question}",
    "a guard": "Is this safe to answer? {question}",
    "a router": "Which department is this for? {question}",
}
FOLLOW = {
    "further questions": "Suggest three more questions.\nQuestion: {question}\nAnswer: {answer}",
    "a verdict": "Is this answer good?\n{question}\n{answer}",
    "a title": "A title for this: {history}",
    "a summary": "Sum up: {history}",
}


def brain(body: Any) -> str:
    prompt = " ".join(row["content"] for row in body["messages"])
    answers = {"Rephrase": "a standalone question", "safe": "SAFE", "department": "billing", "Suggest": "1. Why?"}
    answers |= {"title": "On tea", "Sum up": "They want tea.", "good": "5 of 5"}
    asked = body["messages"][-1]["content"][-len("what does it cost?") :]
    return next((said for word, said in answers.items() if word in prompt), f"the answer to {asked}")


def template(text: str) -> Callable[[Any], Chain]:
    return lambda model: ChatPromptTemplate.from_template(text) | model | StrOutputParser()


ANSWER = {
    "a template": template("Use the menu.\nSo far: {history}\nQuestion: {question}"),
    "no history": lambda model: (
        ChatPromptTemplate.from_messages([("system", "Use the menu."), ("human", "{question}")])
        | model
        | StrOutputParser()
    ),
    "messages": lambda model: (
        ChatPromptTemplate.from_messages([("system", "x"), MessagesPlaceholder("past"), ("human", "{question}")])
        | model
        | StrOutputParser()
    ),
}


def talk(model: Any, config: Any, answer: str, *, before: str | None = None, after: str | None = None) -> list[str]:
    """What the person saw."""
    saw: list[str] = []
    past: list[tuple[str, str]] = []
    chain = ANSWER[answer](model)
    for question in QUESTIONS:
        history = "\n".join(saw)
        if before:
            template(before)(model).invoke({"history": history, "question": question}, config)
        said = chain.invoke({"history": history, "past": past, "question": question}, config)
        past += [("user", question), ("assistant", said)]
        saw += [f"user: {question}", f"assistant: {said}"]
        if after:
            given = {"history": "\n".join(saw), "question": question, "answer": said}
            used = {key: value for key, value in given.items() if f"{{{key}}}" in after}
            template(after)(model).invoke(used, config)
    return saw


@pytest.mark.parametrize("answer", ANSWER)
@pytest.mark.parametrize(("before", "after"), [(text, None) for text in PREPARE] + [(None, text) for text in FOLLOW])
def test_the_chain_that_answers_is_the_chat_and_the_others_are_beside_it(answer, before, after):
    kept, _, config = kept_and_config()
    with LoopbackServer(brain) as server:
        saw = talk(chat_model(server), config, answer, before=PREPARE.get(before or ""), after=FOLLOW.get(after or ""))
    exchanges = [shown(call)[:1] + shown(call)[-1:] for call in kept.answers if call.shown]
    untold = [call.replies[0]["content"] for call in kept.answers if not call.shown]
    assert len(kept.answers) == len(kept.beside) == 3
    assert [line for pair in exchanges for line in pair] == saw[: 2 * len(exchanges)]
    assert [f"assistant: {text}" for text in untold] == saw[2 * len(exchanges) + 1 :: 2]


def test_a_question_that_was_rewritten_for_the_answering_chain_is_shown_as_the_person_typed_it():
    kept, _, config = kept_and_config()
    with LoopbackServer(brain) as server:
        model = chat_model(server)
        asked = template(PREPARE["a rewritten question"])(model).invoke({"history": "", "question": "tea?"}, config)
        template("Use the menu. {question}")(model).invoke({"question": asked}, config)
    assert [shown(call) for call in kept.answers] == [
        ["user: tea?", "assistant: the answer to tandalone question"],
    ]
    assert kept.beside == ["a standalone question"]


def test_a_title_of_the_first_question_is_beside_the_answer_that_was_given_before():
    kept, _, config = kept_and_config()
    with LoopbackServer(brain) as server:
        model = chat_model(server)
        answer = ANSWER["messages"](model)
        said = answer.invoke({"history": "", "past": [], "question": "tea?"}, config)
        template("Title for: {text}")(model).invoke({"text": "tea?"}, config)
    assert [call.replies[0]["content"] for call in kept.answers] == [said]
    assert len(kept.beside) == 1


def test_what_a_chain_says_of_a_graphs_chat_is_beside_it():
    kept, _, config = kept_and_config()
    bot = graph_of(("bot", answering), checkpointer=InMemorySaver())
    for text in ("tea?", "milk?"):
        bot.invoke({"messages": [("user", text)]}, config)
    (ChatPromptTemplate.from_template("Name this: {topic}") | says("Drinks")).invoke({"topic": "drinks"}, config)
    assert len(kept.answers) == 2
    assert kept.beside == ["Drinks"]


def answering(state: MessagesState) -> Any:
    return {"messages": [says("yes").invoke(state["messages"])]}


def test_chains_that_take_turns_in_answering_are_one_chat():
    kept, _, config = kept_and_config()
    with LoopbackServer(brain) as server:
        for number, question in enumerate(QUESTIONS):
            text = "Sell something. {question}" if number % 2 else "Help with this. {question}"
            template(text)(chat_model(server)).invoke({"question": question}, config)
        template("Help with this. {question}")(chat_model(server)).invoke({"question": QUESTIONS[-1]}, config)
    assert [shown(call)[0] for call in kept.answers] == [f"user: {text}" for text in [*QUESTIONS, QUESTIONS[-1]]]
    assert kept.beside == []
