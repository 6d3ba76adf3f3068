"""Local models with tools: what the chat template shows them, and the calls that are read back from what they write."""

import json
import re
from pathlib import Path

import pytest
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.hf.written_calls import calls_in
from support.local import save_tiny_model
from support.tiny import CHATML, tiny_tokenizer

from collab_sdk import ChatReply, ChatRequest, Engine, ModelSettings, as_chat_model
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import ModelCallError
from collab_sdk.messages import Ending, Message
from collab_sdk.models import CallRole

pytestmark = pytest.mark.slow

PARAMETERS = {"type": "object", "properties": {"order": {"type": "integer"}, "note": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "look_up", "description": "x", "parameters": PARAMETERS}}]
ASKED = (Message(role="user", content="order 5?"),)
ARGUMENTS = {"order": 5, "note": "a 7"}


def call():
    arguments = json.dumps(ARGUMENTS)
    made = {"id": "call00000", "type": "function", "function": {"name": "look_up", "arguments": arguments}}
    return Message(role="assistant", content="", tool_calls=(made,))


RESULT = Message(role="tool", content="SHIPPED", name="look_up", tool_call_id="call00000")
MISTRAL = (
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "{% for m in messages %}{% if m.tool_calls %}[TOOL_CALLS][{% for c in m.tool_calls %}"
    "{% if not loop.first %}, {% endif %}{{ c.function | tojson }}{% endfor %}]</s>"
    "{% elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]"
    "{% elif m.role == 'user' %}[INST]{{ m.content }}[/INST]{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
)
KNOWN = [
    "qwen2_5",
    "qwen3",
    "qwen3_5_nothink",
    "llama3_1",
    "gptoss",
    "glm4moe",
    "gemma4",
    "lfm2_2_5",
    "diffusion_gemma",
]


def template(name: str) -> str:
    """One of the chat templates that TRL has with it."""
    if name == "mistral":
        return MISTRAL
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer(["order 5? look_up SHIPPED"])


def form_of(tokenizer, name: str) -> ChatFormat:
    tokenizer.chat_template = template(name)
    return ChatFormat(tokenizer, ends=[], folder=Path(name))


def as_text(tokenizer, form: ChatFormat, *messages: Message) -> str:
    return tokenizer.decode(form.prompt(messages, tools=TOOLS))


@pytest.mark.parametrize("name", [*KNOWN, "mistral"])
def test_a_call_is_read_back_from_what_the_template_makes_of_it(name, tokenizer):
    form = form_of(tokenizer, name)
    assert "look_up" in as_text(tokenizer, form, *ASKED)
    asked = [{"role": "user", "content": "order 5?"}]
    prompt = tokenizer.apply_chat_template(asked, tools=TOOLS, tokenize=False, add_generation_prompt=True)
    answered = [*asked, {"role": "assistant", "content": "", "tool_calls": [_read(call())]}]
    whole = tokenizer.apply_chat_template(answered, tools=TOOLS, tokenize=False)
    assert whole.startswith(prompt)
    written = re.sub(r"(<\|(im_end|eot_id|call)\|>|</s>)\s*$", "", whole[len(prompt) :])
    said, calls = calls_in(written, tokenizer.chat_template, TOOLS, own=None)
    assert [(each["function"]["name"], json.loads(each["function"]["arguments"])) for each in calls] == [
        ("look_up", ARGUMENTS)
    ]
    assert said.replace("<think>", "").replace("</think>", "").strip() == ""
    shown = as_text(tokenizer, form, *ASKED, call(), RESULT)
    assert "SHIPPED" in shown


def _read(message: Message) -> dict[str, object]:
    [made] = message.tool_calls
    return {**made, "function": {**made["function"], "arguments": ARGUMENTS}}


HALF = '<tool_call>\n{"name": "look_up", "arguments": {"order": 5'
A_AND_B = '<tool_call>{"name": "a", "arguments": {}}</tool_call>\n<tool_call>{"name": "b", "arguments": {}}</tool_call>'
WRITTEN = {
    "broken arguments": ("qwen3", HALF, [("look_up", '{"order": 5')]),
    "no arguments": ("qwen3", '<tool_call>{"name": "look_up"}</tool_call>', [("look_up", "{}")]),
    "no name": ("qwen3", '<tool_call>{"arguments": {"a": 1}}</tool_call>', [("", '{"a":1}')]),
    "no object": ("qwen3", "<tool_call>now</tool_call>", [("", "now")]),
    "a number as text": (
        "qwen3",
        '<tool_call>{"name": "look_up", "arguments": {"order": "5"}}</tool_call>',
        [("look_up", '{"order":"5"}')],
    ),
    "several": ("qwen2_5", A_AND_B, [("a", "{}"), ("b", "{}")]),
    "a list": (
        "mistral",
        '[TOOL_CALLS] [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": {}}]',
        [("a", '{"x":1}'), ("b", "{}")],
    ),
    "new Mistral": ("mistral", '[TOOL_CALLS]a[ARGS]{"x": 1}[TOOL_CALLS]b[ARGS]{}', [("a", '{"x": 1}'), ("b", "{}")]),
    "Llama with a tag": ("llama3_1", '<|python_tag|>{"name": "a", "parameters": {"x": 1}}', [("a", '{"x":1}')]),
    "Llama, several": (
        "llama3_1",
        '{"name": "a", "parameters": {}}; {"name": "b", "parameters": {}}',
        [("a", "{}"), ("b", "{}")],
    ),
    "Llama, broken": ("llama3_1", '{"name": "a", "parameters": {"x": }}', [("a", '{"x": }}')]),
    "gpt-oss as it writes": (
        "gptoss",
        '<|channel|>commentary to=functions.a <|constrain|>json<|message|>{"x": 1}<|call|>',
        [("a", '{"x": 1}')],
    ),
    "gpt-oss, broken": ("gptoss", '<|channel|>commentary to=functions.a json<|message|>{"x": ', [("a", '{"x":')]),
}


@pytest.mark.parametrize(("name", "text", "read"), WRITTEN.values(), ids=WRITTEN.keys())
def test_calls_are_read_as_the_model_wrote_them_broken_or_not(name, text, read):
    _, calls = calls_in(text, template(name), TOOLS, own=None)
    assert [(each["function"]["name"], each["function"]["arguments"]) for each in calls] == read
    assert len({each["id"] for each in calls}) == len(calls)


@pytest.mark.parametrize("name", ["qwen3", "llama3_1", "mistral", "gptoss", "qwen3_5_nothink", "phi3"])
def test_text_without_a_call_is_text(name):
    for text in ("It has shipped.", '{"order": 5}', "Write {} for none.", "<tool_response>x</tool_response>"):
        assert calls_in(text, template(name), TOOLS, own=None) == (text, ())


def test_text_beside_a_call_stays_and_thoughts_with_it():
    text = '<think>\nhm\n</think>\n\nLet me see.\n<tool_call>\n{"name": "look_up", "arguments": {}}\n</tool_call>'
    said, [made] = calls_in(text, template("qwen3"), TOOLS, own=None)
    assert said.split() == ["<think>", "hm", "</think>", "Let", "me", "see."]
    assert made["function"]["name"] == "look_up"


def test_a_tokenizer_may_say_itself_how_its_calls_are_read():
    own = {
        "start_anchor": "<a>",
        "fields": {
            "tool_calls": {
                "open": "<<",
                "close": ">>",
                "content": "json",
                "repeats": True,
                "transform": {"function": "{content}"},
            },
            "content": {"content": "text"},
        },
    }
    _, [made] = calls_in('Well. <<{"name": "a", "arguments": {"x": 1}}>>', "{{ messages }}", TOOLS, own=own)
    assert made["function"] == {"name": "a", "arguments": '{"x":1}'}


REFUSED = {
    "gemma3": "leaves out the tools",
    "phi3": "leaves out the tools",
    "lfm2": "leaves out tool calls and their results",
    "muse_glimmer": "marks calls of tools in a way that is not known here",
}


@pytest.mark.parametrize(("name", "problem"), REFUSED.items())
def test_a_template_that_ignores_tools_is_refused_in_a_line(name, problem, tokenizer):
    form = form_of(tokenizer, name)
    with pytest.raises(ModelCallError, match=f"{name} {problem}") as error:
        form.prompt(ASKED, tools=TOOLS)
    assert "\n" not in str(error.value)
    assert form.prompt(ASKED)


def test_a_template_that_leaves_out_calls_takes_no_chat_with_some(tokenizer):
    form = form_of(tokenizer, "phi3")
    with pytest.raises(ModelCallError, match="leaves out an earlier tool call and a tool's result"):
        form.prompt([*ASKED, call(), RESULT])


# A model that was taught to call.


@pytest.fixture(scope="module")
def calling_base(tmp_path_factory):
    """A tiny model that answers every request with one of a few calls, or a broken one."""
    import support.local

    folder = tmp_path_factory.mktemp("calling") / "base"
    patched = pytest.MonkeyPatch()
    patched.setattr(support.local, "REPLIES", REPLIES)
    patched.setattr(support.local, "STEPS", 250)
    try:
        save_tiny_model(folder, template=SHOWS_CALLS + CHATML, tools=TOOLS)
    finally:
        patched.undo()
    return folder


REPLIES = (
    '<tool_call>{"name": "look_up", "arguments": {"order": 5}}</tool_call>',
    '<tool_call>{"name": "look_up", "arguments": {"order": </tool_call>',
)
SHOWS_CALLS = (
    "{# <tool_call> #}{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}"
    "{% for m in messages %}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}"
)


def test_a_local_model_calls_tools(calling_base):
    model = as_chat_model(f"hf:{calling_base}?dtype=float32")
    replies: list[ChatReply] = []
    for sample in range(8):
        settings = ModelSettings(temperature=1.0, max_tokens=120)
        message = Message(role="user", content="a mocha please")
        request = ChatRequest(
            role=CallRole.ASSISTANT, messages=(message,), tools=tuple(TOOLS), settings=settings, sample=str(sample)
        )
        replies.append(run_sync(Engine().call(model, request)))
    made = {call["function"]["arguments"] for reply in replies for call in reply.tool_calls}
    assert '{"order":5}' in made
    assert '{"order":' in made
    assert {reply.finish_reason for reply in replies} == {"tool_calls"}
    assert {reply.content for reply in replies} == {""}
    cut = ChatRequest(
        role=CallRole.ASSISTANT, messages=(message,), tools=tuple(TOOLS), settings=ModelSettings(max_tokens=9)
    )
    assert run_sync(Engine().call(model, cut)).ended is Ending.CUT_OFF
    with pytest.raises(ModelCallError, match="cannot be held to call a tool"):
        held = ChatRequest(
            role=CallRole.ASSISTANT, messages=(message,), tools=tuple(TOOLS), tool_choice="required", settings=settings
        )
        run_sync(Engine().call(model, held))


def test_a_model_reads_results_in_the_order_of_their_calls(tokenizer):
    form = form_of(tokenizer, "qwen3")
    calls = tuple({"id": id, "type": "function", "function": {"name": "look_up", "arguments": "{}"}} for id in "ab")
    results = [Message(role="tool", content=f"result of {id}", tool_call_id=id) for id in "ba"]
    chat = [Message(role="user", content="?"), Message(role="assistant", content="", tool_calls=calls), *results]
    shown = tokenizer.decode(form.prompt(chat))
    assert 0 < shown.find("result of a") < shown.find("result of b")
