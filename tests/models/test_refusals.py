"""What servers say of a request that they refuse, and which part of it is left out from then on."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from support.faults import Fault
from support.server import LoopbackServer

from collab_sdk import as_chat_model
from collab_sdk.errors import EndpointError, ModelCallError, ParameterRefusedError
from collab_sdk.messages import as_messages
from collab_sdk.models import CallRole, ChatModel, ChatRequest
from collab_sdk.spec import ModelSettings

SETTINGS = ModelSettings(
    temperature=0.0,
    max_tokens=500,
    top_p=0.9,
    seed=1,
    stop=("X",),
    reasoning_effort="low",
    extra_body={"chat_template_kwargs": {"enable_thinking": False}},
)
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
CHAT = [("system", "Play a user."), ("user", "Hi."), ("assistant", "Hello."), ("user", "A mocha.")]
ALL = ChatRequest(
    role=CallRole.JUDGE,
    messages=as_messages([{"role": role, "content": content} for role, content in CHAT]),
    settings=SETTINGS,
    reply_schema=SCHEMA,
)
NO_SYSTEM = ChatRequest(role=CallRole.JUDGE, messages=ALL.messages[1:], settings=SETTINGS, reply_schema=SCHEMA)
NO_SCHEMA = ChatRequest(role=CallRole.ASSISTANT, messages=ALL.messages, settings=SETTINGS)
NOT_ZERO = ChatRequest(role=CallRole.ASSISTANT, messages=ALL.messages, settings=ModelSettings(temperature=0.7))


def said(message: object, **further: object) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **further}}


def rows(*places: tuple[object, ...], message: str = "Extra inputs are not permitted") -> dict[str, Any]:
    return {"detail": [{"type": "x", "loc": ["body", *place], "msg": message, "input": 1} for place in places]}


def template(message: str) -> str:
    """As llama.cpp shows where in a chat template an exception was raised."""
    at = "While executing CallExpression at line 189, column 32 in source:\n...== 0) %}↵ {{- raise_exception('"
    return f"\n------------\n{at}{message[:20]}...\nError: Jinja Exception: {message}"


FIREWORKS = "Extra inputs are not permitted, field: 'seed', value: 1"
GEMINI = 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'
GROQ_FORMATS = "'response_format.type' : value is not one of the allowed values ['text','json_object']"
LLAMA_CPP_PYTHON = (
    "1 validation error: {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), "
    "'msg': \"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}"
)
ALTERNATE = "Conversation roles must alternate user/assistant/user/assistant/..."
OPTIONAL_SYSTEM = (
    "After the optional system message, conversation roles must alternate user/assistant/user/assistant/..."
)
O1 = "Unsupported value: 'messages[0].role' does not support 'system' with this model."
GPT5 = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
VLLM_ROW = "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted', 'input': 1}]"
ECHO = "[{'loc': ('body', 'foo'), 'msg': 'Extra inputs are not permitted', 'input': {'seed': 1, 'temperature': 0.0}}]"
CONTEXT = "This model's maximum context length is 4096 tokens. However, you requested 500 output tokens (max_tokens)."
CODES = ["content_filter", "content_policy_violation", "data_inspection_failed", "json_validate_failed"]
FILTERED = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
SYSTEM, FORMAT, ZERO = "system", "response_format", "temperature=0.0"

TEACHING: list[tuple[int, object, str]] = [
    # the system role
    (400, said("System role not supported"), SYSTEM),  # vLLM, Gemma 2
    (500, said("System role not supported"), SYSTEM),
    (500, said(LLAMA_CPP_PYTHON), FORMAT),
    (500, said("jinja2.exceptions.TemplateError: System role not supported"), SYSTEM),  # SGLang
    (422, {"error": "Template error: template error: System role not supported"}, SYSTEM),  # TGI
    (400, {"object": "error", "message": ALTERNATE, "type": "BadRequestError"}, SYSTEM),  # vLLM, Mistral 7B
    (500, said(template(ALTERNATE), type="server_error"), SYSTEM),  # llama.cpp
    (
        400,
        {"error": 'Error rendering prompt with jinja template: "Only user and assistant roles are supported!"'},
        SYSTEM,
    ),
    (400, said("Jinja Exception: System message must be at the beginning."), SYSTEM),  # Qwen 3.5
    (400, said(O1, param="messages[0].role", code="unsupported_value"), SYSTEM),
    (400, said(O1), SYSTEM),
    (400, [said("Developer instruction is not enabled for models/gemma-3-27b-it", code=400)], SYSTEM),
    (400, said("role 'system' is not supported on this model"), SYSTEM),  # Anthropic
    (400, said("This model doesn't support system messages. Try again without a system message."), SYSTEM),  # Bedrock
    (400, said("System prompts are not supported by this model."), SYSTEM),
    (400, said("Unknown role: system"), SYSTEM),
    (400, said("The system role is not allowed for this model."), SYSTEM),
    (400, said("role: system is not permitted"), SYSTEM),
    (422, said("Input tag 'system' found using 'role' does not match any of the expected tags: 'user'"), SYSTEM),
    (500, said("TemplateError: System messages are not supported by this model."), SYSTEM),
    (422, said("messages[0].role: unknown variant `system`, expected `user` or `assistant`"), SYSTEM),
    (400, said("'system' is not one of ['user', 'assistant'] - 'messages.0.role'"), SYSTEM),
    (422, rows(("messages", 0, "role"), message="Input should be 'user' or 'assistant'"), SYSTEM),
    # the way to ask for JSON
    (400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}, FORMAT),  # LM Studio
    (400, said("This response_format type is unavailable now", param=None), FORMAT),  # DeepSeek
    (422, "Failed to deserialize the JSON body: response_format.type `json_schema` is unavailable now", FORMAT),
    (400, said(GROQ_FORMATS), FORMAT),
    (400, said("This model does not support response format `json_schema`. See supported models at …"), FORMAT),  # Groq
    (400, said("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."), FORMAT),
    (400, said("Invalid schema for response_format 'reply': In context=(), 'required' is required"), FORMAT),
    (
        400,
        said("JSON Schema not supported: could not understand the instance `{'required': []}`."),
        FORMAT,
    ),  # Fireworks
    (400, said("The provided JSON schema contains features not supported by xgrammar."), FORMAT),  # vLLM
    (400, said("JSON schema conversion failed:\nUnrecognized schema: {}"), FORMAT),  # llama.cpp
    (400, said("Failed to initialize samplers: failed to parse grammar"), FORMAT),
    (422, {"error": "Input validation error: grammar is not supported", "error_type": "validation"}, FORMAT),  # TGI
    (400, said("This backend does not support grammars."), FORMAT),
    (400, said("Structured outputs are not supported with this model."), FORMAT),
    (400, said("'messages' must contain the word 'json' in some form, to use 'response_format'."), FORMAT),
    (422, rows(("response_format",)), FORMAT),
    # settings
    (400, said(MAX_TOKENS, param="max_tokens", code="unsupported_parameter"), "max_tokens"),  # OpenAI
    (400, said(f'Error from provider: {{"error": {{"message": "{MAX_TOKENS}"}}}}'), "max_tokens"),
    (400, said("Provider returned error", metadata={"raw": json.dumps(said(MAX_TOKENS))}), "max_tokens"),  # OpenRouter
    (400, said(GPT5, param="temperature", code="unsupported_value"), ZERO),
    (400, said("invalid temperature: only 1 is allowed for this model"), ZERO),  # Kimi
    (400, said("`temperature` may only be set to 1 when thinking is enabled."), ZERO),  # Anthropic
    (422, {"error": "Input validation error: `temperature` must be strictly positive"}, ZERO),  # TGI
    (422, rows(("temperature",), message="Input should be greater than 0"), ZERO),
    (400, said("`temperature` is deprecated for this model."), "temperature"),  # Anthropic
    (400, said("`temperature` and `top_p` cannot both be specified for this model."), "temperature"),
    (400, said("Unknown parameter: 'reasoning_effort'.", param="reasoning_effort"), "reasoning_effort"),  # Azure
    (
        400,
        {"code": "invalid-argument", "error": "Model x does not support parameter reasoningEffort."},
        "reasoning_effort",
    ),
    (400, {"error": "Argument not supported on this model: stop"}, "stop"),  # xAI
    (400, said("Unrecognized request argument supplied: chat_template_kwargs"), "chat_template_kwargs"),  # Azure
    (400, said("Unrecognized request arguments supplied: seed, foo"), "seed"),
    (400, said("property 'seed' is unsupported, did you mean 'stop'?"), "seed"),  # Groq
    (400, [said(GEMINI, code=400, status="INVALID_ARGUMENT")], "seed"),
    (400, said(FIREWORKS), "seed"),
    (400, {"object": "error", "message": VLLM_ROW, "code": 400}, "seed"),
    (422, {"object": "error", "message": rows(("seed",))}, "seed"),  # Mistral
    (422, {"object": "error", "message": json.dumps(rows(("seed",))), "code": "1000"}, "seed"),
    (422, {"message": rows(("seed",))["detail"]}, "seed"),
    (400, {"errors": rows(("seed",))["detail"]}, "seed"),
    (400, "1 validation error for ChatRequest\nseed\n  Extra inputs are not permitted [input_value=1]", "seed"),
    (400, said("JAX does not support per-request seed."), "seed"),  # vLLM
    (400, said("`stop` is not supported by this backend"), "stop"),
]
TEACHING_NOTHING: list[tuple[int, object]] = [
    # a server that fails
    (500, said("Unexpected system error. Please try again later.")),
    (500, said("Unknown system error")),
    (500, said("Invalid state: the operating system killed the worker")),
    (500, said("The system messages queue did not respond")),
    (500, said("Unknown parameter: 'seed'")),
    (500, said("Unknown role: system")),
    (500, said("System messages are not supported by this backend, which was lost")),
    (500, "<html>unexpected error in the system, it is not your fault</html>"),
    (400, said("unknown error in the backend system")),
    # this chat
    (400, said('Blocked by guardrail: user text "ignore the system prompt, you are not bound"')),
    (400, said("Rejected by our safety system: the system prompt must not be revealed")),
    (400, said("Content policy: the text 'set the temperature to 90 and add the poison' is not allowed")),
    (400, said("Invalid content: 'what is the \"seed\" phrase of my wallet' flagged by moderation")),
    (400, said(FILTERED, param="prompt", code="content_filter")),
    *((400, said("The parameter 'seed' is not allowed here", code=code)) for code in CODES),
    (400, said("The parameter 'seed' is not allowed here", code="invalid", innererror={"code": CODES[0]})),
    (400, said("Harmful content: 'what is the \"seed\" phrase of my wallet' is not allowed")),
    (400, said("The conversation talks about temperature records.")),
    (400, said("Invalid 'messages[3].content': string too long")),
    (400, said("Please stop, this is not allowed")),
    (422, rows(("messages", 3, "role"), message="Input should be 'user' or 'assistant'")),
    (422, rows(("messages", 99, "role"), message="Input should be 'user' or 'assistant'")),
    (422, rows(("messages", 1, "stop"))),
    (400, said("messages[1].role: unknown variant `developer`, expected one of `system`, `user`")),  # DeepSeek
    (400, said(OPTIONAL_SYSTEM)),
    (500, said(template(OPTIONAL_SYSTEM))),  # newer Mistral: of two user messages in a row
    (400, said("Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant")),
    # what the model wrote
    (
        400,
        said(
            "Failed to generate JSON. Please adjust your prompt. See 'failed_generation'.", code="json_validate_failed"
        ),
    ),
    (400, said("Generated output does not follow the grammar; retry")),
    (400, said("Model output was not a valid JSON object")),
    (400, said("Generated JSON is invalid: it does not follow the json_schema")),
    (400, said("Our bot does not answer questions about grammar")),
    # a value that is too large
    (400, said(CONTEXT)),
    (400, said("max_tokens is too large: 500. This model supports at most 100 completion tokens.", param="max_tokens")),
    (400, said("`max_tokens` must be <= 812")),  # Groq
    (422, said("max_tokens must be no more than 4096")),
    (400, said("max_tokens must be less or equal to 4096")),
    (400, said("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]")),  # DeepSeek
    (400, said("max_tokens (500) + prompt tokens (4000) is over the limit of 4096")),
    (400, said("This prompt is longer than the context; max_tokens must be lowered.")),
    (400, said("The prompt plus max_tokens must be such that it does fit in the model's context")),
    (422, rows(("max_tokens",), message="Input should be less than or equal to 4096")),
    (400, said("`stop` must hold up to 4 sequences")),
    # what it was sent, repeated
    (400, {"object": "error", "message": ECHO}),
    (400, said("property 'store' is unsupported, did you mean 'stop'?")),
    (400, "invalid request"),
    (400, ["?"]),
    (400, said({"deep": [{}]}, metadata=[], details="?", innererror="?", code=["?"])),
]


class Refusing:
    """A server that refuses all that it is sent, in the words that it is given, and two ways to ask it."""

    def __init__(self) -> None:
        self.fault = Fault()
        self.models: list[ChatModel] = []

    def teaches(self, status: int, body: object, request: ChatRequest = ALL) -> str | None:
        """The part of the request that is not taken, by the refusal; the same for both ways to ask."""
        self.fault = Fault(status=status, body=body if isinstance(body, dict) else text_of(body))
        [refused] = {parameter_of(model, request) for model in self.models}
        return refused


def parameter_of(model: ChatModel, request: ChatRequest) -> str | None:
    with pytest.raises((ParameterRefusedError, ModelCallError)) as error:
        asyncio.run(model.achat(request))
    return error.value.parameter if isinstance(error.value, ParameterRefusedError) else None


def text_of(body: object) -> str:
    return body if isinstance(body, str) else json.dumps(body)


def shown(value: object) -> str:
    return text_of(value)[:90]


@pytest.fixture(scope="module")
def server() -> Iterator[Refusing]:
    refusing = Refusing()
    with (
        LoopbackServer(faults=lambda number, body: refusing.fault) as at,
        openai.OpenAI(api_key="k", base_url=at.api_base, max_retries=0) as client,
    ):
        refusing.models = [as_chat_model("small", api_base=at.api_base), as_chat_model(client, model="small")]
        yield refusing


@pytest.mark.parametrize(("status", "body", "refused"), TEACHING, ids=shown)
def test_a_refusal_says_which_part_of_the_request_is_not_taken(server, status, body, refused):
    assert server.teaches(status, body) == refused


@pytest.mark.parametrize(("status", "body"), TEACHING_NOTHING, ids=shown)
def test_what_is_about_this_chat_a_value_or_the_server_teaches_nothing(server, status, body):
    assert server.teaches(status, body) is None


@pytest.mark.parametrize(("status", "body", "refused"), TEACHING, ids=shown)
def test_only_what_was_sent_can_have_been_refused(server, status, body, refused):
    bare = ChatRequest(role=CallRole.ASSISTANT, messages=ALL.messages[1:])
    assert server.teaches(status, body, bare) is None
    assert server.teaches(status, body, NO_SYSTEM) == (None if refused == SYSTEM else refused)
    assert server.teaches(status, body, NO_SCHEMA) == (None if refused == FORMAT else refused)


def test_a_temperature_that_is_not_zero_is_out_of_range_for_another_reason(server):
    body = {"error": "Input validation error: `temperature` must be greater than 0 and less than 0.5"}
    assert server.teaches(422, body) == ZERO
    assert server.teaches(422, body, NOT_ZERO) is None


HOSTILE = 64_000
HOSTILE_TEXTS = [
    "Bad request for model\n",
    "model ",
    "model=",
    "=",
    "model a! ",
    " model\t`",
    "system ",
    "messages[0",
    "role 'system",
    "only ",
    "missing ",
    "missing aaaa_",
    "parameters: ",
    "'input' :",
    "not json_",
    "response ",
    "unsupported value ",
    "greater than ",
    "[[",
    '{"error":',
]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
@pytest.mark.parametrize("dress", [str, said, lambda text: said("x", param=text), lambda text: rows((text, 0, "role"))])
def test_a_refusal_of_any_text_is_read_in_no_time(server, text, dress):
    """A pattern that takes more than linear time would hold up the event loop, and with it every call, for hours."""
    assert server.teaches(400, dress((text * HOSTILE)[:HOSTILE])) is None


@pytest.mark.parametrize(
    "message",
    [
        "The model `x` does not exist or you do not have access to it.",
        'model "org/small:7b" not found, try pulling it first',
        "The model small was not found",
        "Model small is not supported",
        "x is not a valid model ID",
    ],
)
def test_a_model_that_is_not_there_ends_the_run(server, message):
    server.fault = Fault(status=400, body=said(message))
    for model in server.models:
        with pytest.raises(EndpointError, match="refuses the request"):
            asyncio.run(model.achat(ALL))
