"""What a LangChain app notices of being recorded: nothing."""

import copy
from typing import Any

import pytest
from collab_langchain import CollabCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from support.langchain_apps import PROMPT, KeptCalls, app_server, chat_model, kept_and_config

HELLO = {"input": "hello", "history": []}


def exits(text: str) -> str:
    raise SystemExit(3)


class BrokenStore(KeptCalls):
    def record(self, calls: Any) -> None:
        raise OSError("no space left on device")


@pytest.mark.parametrize("sync", [True, False])
def test_a_broken_store_or_redactor_is_counted_and_not_noticed(sync):
    broken = CollabCallbackHandler(BrokenStore(), sync=sync)
    kept = KeptCalls()
    redacting = CollabCallbackHandler(kept, sync=sync, redact=exits)
    with app_server() as server:
        for _ in range(3):
            app = PROMPT | chat_model(server)
            assert app.invoke(HELLO, {"callbacks": [broken, redacting]}).content == "1 hello!"
    redacting.flush(10)
    assert redacting.stats().redaction_failures > 0
    assert {call.replies[0]["content"] for call in kept.calls} == {"[redaction failed]"}
    broken.close()
    assert broken.stats().failed == 3


def test_what_langchain_hands_over_may_be_anything():
    kept, handler, config = kept_and_config()
    handler.on_chat_model_start(None, [], run_id=1)
    handler.on_chat_model_start(None, [["no message"]], run_id=2)
    handler.on_llm_end("no result", run_id=3)
    handler.on_chain_start()
    handler.on_chain_end(object(), run_id=4, inputs={})
    assert handler.stats().failed == 1
    assert sum(handler.stats().unrecorded.values()) == 2
    with app_server() as server:
        chat_model(server).invoke("hello", config)
    assert kept.only.status == "ok"


def test_what_the_app_changes_after_the_call_began_or_ended_is_not_recorded():
    kept, handler, _ = kept_and_config()
    image = {"type": "image_url", "image_url": {"url": "http://localhost/a.png"}}
    call = {"name": "look_up", "args": {"orders": [7]}, "id": "1"}
    asked, answer = HumanMessage([image]), AIMessage("", tool_calls=[call])
    began = copy.deepcopy((asked, answer))
    handler.on_chat_model_start(None, [[asked, answer]], run_id=1)
    assert (asked, answer) == began
    image["image_url"]["url"] = asked.content = "changed"
    answer.tool_calls[0]["args"]["orders"].append("changed")
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]), run_id=1)
    handler.on_llm_end("again", run_id=1)
    assert kept.only.messages[0]["content"] == [{**image, "image_url": {"url": "http://localhost/a.png"}}]
    assert kept.only.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"orders": [7]}'
    answer.content = "changed"
    assert kept.only.replies[0]["content"] == ""
