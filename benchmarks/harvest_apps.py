"""Apps whose calls harvest.py times: each a function of what watches it, a Recorder, "no-op" or nothing."""

import json
from collections.abc import Callable
from typing import Any

from replies import completion

from collab_sdk.harvest import Recorder

Watch = Recorder | str | None
Call = Callable[[list[dict[str, str]]], Any]


def openai_app(watch: Watch) -> Call:
    """OpenAI's SDK on a transport that answers by itself."""
    import collab_openai
    import httpx
    from openai import OpenAI

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=ANSWER, headers={"Content-Type": "application/json"})

    client: Any = OpenAI(
        api_key="-", base_url="http://x/v1", http_client=httpx.Client(transport=httpx.MockTransport(answer))
    )
    if isinstance(watch, Recorder):
        client = collab_openai.wrap(client, watch)
    elif watch == "no-op":
        request = client.request
        client.request = lambda *args, **options: request(*args, **options)
    return lambda history: client.chat.completions.create(model="x", messages=history)


def langchain_app(watch: Watch) -> Call:
    """A chat model of LangChain's by itself."""
    model, config = _langchain_model(), _langchain_config(watch)
    return lambda history: model.invoke(history, config)


def langgraph_app(watch: Watch) -> Call:
    """A LangGraph graph of one node."""
    from langgraph.graph import START, MessagesState, StateGraph

    model, config = _langchain_model(), _langchain_config(watch)
    graph = StateGraph(MessagesState)
    graph.add_node("bot", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "bot")
    compiled: Any = graph.compile()
    return lambda history: compiled.invoke({"messages": history}, config)


def _langchain_model() -> Any:
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    return FakeListChatModel(responses=["Noted."])


def _langchain_config(watch: Watch) -> Any:
    from collab_langchain import CollabCallbackHandler
    from langchain_core.callbacks import BaseCallbackHandler

    if watch is None:
        return {}
    return {"callbacks": [CollabCallbackHandler(watch) if isinstance(watch, Recorder) else BaseCallbackHandler()]}


ANSWER, *_ = completion(json.dumps({"model": "x", "messages": []}).encode(), bytes(28), 0)
APPS: dict[str, Callable[[Watch], Call]] = {
    "openai": openai_app,
    "langchain": langchain_app,
    "langgraph": langgraph_app,
}
