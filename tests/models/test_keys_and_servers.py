"""Which server a call goes to, with which key and settings, and what is said when one is refused."""

import json
import subprocess
import sys

import pytest
from support.brain import role_of
from support.cli import collab, write_chats
from support.faults import always, counted, redirect, refusal
from support.server import LoopbackServer

from collab_sdk import (
    ChatRequest,
    Conversation,
    Engine,
    MRScorer,
    PreferenceExporter,
    Rollout,
    Simulator,
    as_chat_model,
)
from collab_sdk.cache import open_cache
from collab_sdk.cache.record import call_identity
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import EndpointError, UsageError
from collab_sdk.messages import as_messages
from collab_sdk.models import CallRole, InstructedModel, settings_for, spec_of
from collab_sdk.models.litellm import KEY_VARIABLES
from collab_sdk.spec import ModelSettings, ModelSpec, Price
from collab_sdk.testing import FakeChatModel

SECRET = "sk-secret-of-openai"
SLOW = pytest.mark.slow
"""Imports LiteLLM."""
REFUSED = always(refusal(401, "Missing or wrong virtual key", kind="auth_error"))
VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HOSTED_VLLM_API_KEY", "HOSTED_VLLM_API_BASE", "ANTHROPIC_API_KEY")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def logs(tmp_path):
    return write_chats(tmp_path / "chats.jsonl", 1)


def hello(**settings):
    messages = as_messages([{"role": "user", "content": "hello"}])
    return ChatRequest(role=CallRole.ASSISTANT, messages=messages, settings=ModelSettings(**settings))


def roles_at(server):
    return {role_of(request.body) for request in server.requests}


def keys_at(server):
    return {request.headers.get("authorization") for request in server.requests}


def sent_to(server, name):
    return {request.body.get(name) for request in server.requests}


def only_line(result):
    """The one line that says what is wrong."""
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line


def test_three_roles_at_three_servers_get_their_own_calls_keys_and_settings(logs, tmp_path, monkeypatch):
    for role in ("BOT", "USER", "JUDGE"):
        monkeypatch.setenv(f"{role}_KEY", f"key-of-{role.lower()}-1234")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", "key-of-nobody-1234")
    config = tmp_path / "collab.toml"
    with LoopbackServer() as bot, LoopbackServer() as user, LoopbackServer() as judge:
        config.write_text(
            f"""
            [assistant]
            name = "bot-1"
            api-base = "{bot.api_base}"
            api-key-env = "BOT_KEY"
            temperature = 0.3
            extra_body = {{top_k = 7}}
            [simulator]
            name = "user-1"
            api-base = "{user.api_base}"
            api-key-env = "USER_KEY"
            temperature = "default"
            max_tokens = 300
            [judge]
            name = "openai/judge-1"
            api-base = "{judge.api_base}"
            api-key-env = "JUDGE_KEY"
            seed = 5
            extra_headers = {{x-tenant = "sales"}}
            """
        )
        result = collab("score", logs, "--config", config, "-o", tmp_path / "scores.jsonl")
    assert result.exit_code == 0, result.output
    assert roles_at(bot) == {CallRole.ASSISTANT}
    assert roles_at(user) == {CallRole.SIMULATOR}
    assert roles_at(judge) == {CallRole.JUDGE}
    for server, role, name in ((bot, "bot", "bot-1"), (user, "user", "user-1"), (judge, "judge", "judge-1")):
        assert keys_at(server) == {f"Bearer key-of-{role}-1234"}
        assert sent_to(server, "model") == {name}
    assert sent_to(bot, "temperature") == {0.3}
    assert sent_to(bot, "top_k") == {7}
    assert all("temperature" not in request.body for request in user.requests)
    assert sent_to(user, "max_tokens") == {300}
    assert sent_to(judge, "temperature") == {0.0}
    assert sent_to(judge, "seed") == {5}
    assert {request.headers.get("x-tenant") for request in judge.requests} == {"sales"}
    assert not any("x-tenant" in request.headers for request in (*bot.requests, *user.requests))
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"-1234" not in file.read_bytes()


def test_a_judge_at_its_provider_does_not_go_to_the_bots_server_and_neither_does_its_key(logs, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with LoopbackServer() as bot, LoopbackServer() as openai:
        monkeypatch.setenv("OPENAI_BASE_URL", openai.api_base)
        result = collab(
            *("score", logs, "-a", "hosted_vllm/Qwen/Qwen3-8B", "--simulator", "offline"),
            *("--judge", "openai/gpt-4o-mini", "--api-base", bot.api_base),
        )
    assert result.exit_code == 0, result.output
    assert roles_at(bot) == {CallRole.ASSISTANT}
    assert keys_at(bot) == {None}
    assert sent_to(bot, "model") == {"Qwen/Qwen3-8B"}
    assert roles_at(openai) == {CallRole.JUDGE}
    assert keys_at(openai) == {f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("model", "variable", "header", "said"),
    [
        ("gpt-4o-mini", "OPENAI_API_KEY", None, "Its key is read from HOSTED_VLLM_API_KEY, which is not set"),
        ("openai/gpt-4o-mini", "OPENAI_API_KEY", None, "OPENAI_API_KEY, which is set, is read for the provider's own"),
        ("openai/gpt-4o-mini", "SOME_KEY", None, "OPENAI_API_KEY, which is not set, is read for the provider's own"),
        ("gpt-4o-mini", "HOSTED_VLLM_API_KEY", "Bearer sk-company", "HOSTED_VLLM_API_KEY, which is set."),
        ("hosted_vllm/gpt-4o-mini", "HOSTED_VLLM_API_KEY", "Bearer sk-company", "HOSTED_VLLM_API_KEY, which is set."),
    ],
)
def test_a_key_that_is_refused_is_told_by_the_variable_that_was_looked_at(
    logs, monkeypatch, model, variable, header, said
):
    monkeypatch.setenv(variable, "sk-company")
    with LoopbackServer(faults=REFUSED) as gateway:
        result = collab("score", logs, "--model", model, "--api-base", gateway.api_base)
    assert keys_at(gateway) == {header}
    assert result.exit_code == 1
    line = only_line(result)
    assert said in line
    assert "--api-key-env" in line
    assert "sk-company" not in result.output


def test_a_key_in_a_variable_of_ones_own_is_sent_and_named_when_it_is_refused(logs, monkeypatch):
    monkeypatch.setenv("GATEWAY", "not-like-a-key")
    with LoopbackServer(faults=REFUSED) as gateway:
        result = collab("score", logs, "--model", "m", "--api-base", gateway.api_base, "--api-key-env", "GATEWAY")
    assert keys_at(gateway) == {"Bearer not-like-a-key"}
    assert "Its key is read from GATEWAY, which is set." in only_line(result)


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("flag", ["--api-key-env", "--judge-api-key-env"])
def test_a_variable_without_a_key_ends_the_run_before_any_call(logs, monkeypatch, flag, value):
    monkeypatch.delenv("GATEWAY", raising=False)
    if value is not None:
        monkeypatch.setenv("GATEWAY", value)
    for model in ("m", "proactive:m"):
        with LoopbackServer() as gateway:
            result = collab("score", logs, "--model", model, "--api-base", gateway.api_base, flag, "GATEWAY")
        assert gateway.count == 0
        assert result.exit_code == 1
        assert result.stderr == (
            "Error: The environment variable GATEWAY, named by --api-key-env (api_key_env=), is not set: export it "
            "with the key of the server.\n"
        )


def test_a_providers_own_key_does_not_stand_in_for_one_that_is_missing(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    with pytest.raises(EndpointError, match="GATEWAY, named by"):
        run_sync(as_chat_model("anthropic/claude-sonnet-4-5", api_key_env="GATEWAY").achat(hello()))


def test_what_a_run_would_cost_is_told_without_a_key(logs):
    result = collab(
        "score", logs, "--model", "m", "--api-base", "http://127.0.0.1:1/v1", "--api-key-env", "X", "--dry-run"
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_address_in_openais_own_variable_gets_openais_key_however_it_is_given(monkeypatch, slash):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with LoopbackServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.api_base}{slash}")
        for base in (None, server.api_base, f"{server.api_base}/"):
            run_sync(as_chat_model("openai/m", api_base=base).achat(hello()))
    assert keys_at(server) == {f"Bearer {SECRET}"}


def test_an_address_without_v1_is_told_the_right_one(logs):
    with LoopbackServer() as server:
        root = server.api_base.removesuffix("/v1")
        result = collab("score", logs, "--model", "m", "--api-base", f"{root}/api")
    assert result.exit_code == 1
    assert f"Did you mean the address {root}/api/v1?" in only_line(result)
    assert server.count == 0


@pytest.mark.parametrize(
    "address", ["localhost:8000", "http://127.0.0.1:99999/v1", "http://127.0.0.1:port/v1", "http://"]
)
def test_what_is_no_address_ends_the_run_before_any_call(logs, address):
    result = collab("score", logs, "--model", "m", "--api-base", address)
    assert result.exit_code == 1
    assert (
        result.stderr == f"Error: {address!r} is not the address of a server: write it like http://localhost:8000/v1.\n"
    )


@pytest.mark.parametrize("end", ["/v1", ""])
def test_a_model_that_is_not_there_is_not_a_wrong_address(logs, end):
    missing = refusal(404, "The model `m` does not exist", code="model_not_found")
    with LoopbackServer(faults=always(missing)) as server:
        base = server.api_base.removesuffix("/v1") + end
        result = collab("score", logs, "--model", "m", "--api-base", base)
    assert "Did you mean" not in only_line(result)
    assert "does not exist" in only_line(result)


@pytest.mark.parametrize(
    "name", ["m", "openai/m", pytest.param("anthropic/claude-sonnet-4-5", marks=SLOW), "proactive:m"]
)
def test_a_key_from_python_is_sent_and_stands_nowhere(name, tmp_path, monkeypatch):
    key = "a-plain-word-as-key"
    with LoopbackServer(faults=REFUSED if name.startswith("anthropic") else None) as server:
        monkeypatch.setenv("COLLAB_CACHE_DIR", str(tmp_path / "cache"))
        model = as_chat_model(name, api_base=server.api_base, api_key=key)
        if name.startswith("anthropic"):
            with pytest.raises(EndpointError) as error:
                run_sync(model.achat(hello()))
            assert key not in str(error.value)
        else:
            run_sync(Engine(cache=None).call(model, hello()))
            assert keys_at(server) == {f"Bearer {key}"}
    shown = [repr(model), str(vars(model)), str(model.fingerprint), str(spec_of(model, ModelSettings()))]
    shown += [json.dumps(call_identity(model, hello()))]
    assert not [text for text in shown if key in text]


def test_a_header_of_ones_own_replaces_the_key(monkeypatch):
    monkeypatch.setenv("GATEWAY", "Basic abc")
    headers = {"authorization": "env:GATEWAY"}
    with LoopbackServer() as server:
        model = as_chat_model("m", api_base=server.api_base, api_key="a-plain-word-as-key", extra_headers=headers)
        run_sync(model.achat(hello(extra_headers=headers)))
    assert keys_at(server) == {"Basic abc"}


def test_a_key_from_python_is_in_no_file(tmp_path):
    key = "a-plain-word-as-key"
    messages = as_messages(json.loads(write_chats(tmp_path / "chats.jsonl", 1).read_text())["messages"])
    chats = [Conversation(id="1", messages=messages)]
    with LoopbackServer() as server, Engine(cache=open_cache(str(tmp_path / "cache"))) as engine:
        model = as_chat_model("m", api_base=server.api_base, api_key=key)
        scorer = MRScorer(Rollout(assistant=model, simulator=Simulator(model, engine=engine), samples=2, window=1))
        PreferenceExporter(scorer, candidates=2).export(chats, tmp_path / "prefs.jsonl")
        assert keys_at(server) == {f"Bearer {key}"}
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 4
    assert not [file for file in files if key.encode() in file.read_bytes()]


def findings(result):
    return [line.split(None, 2)[2] for line in result.stdout.splitlines() if line.split()[1] == "model"]


def test_the_doctor_says_which_variable_holds_the_key_whether_it_is_set_and_what_the_server_answers(monkeypatch):
    with LoopbackServer() as server:
        result = collab("doctor", "--model", "m", "--api-base", server.api_base)
        assert findings(result)[0] == (
            f"m is at {server.api_base}; its key is read from HOSTED_VLLM_API_KEY, which is not set, so no key is sent"
        )
        assert findings(result)[1].startswith("m answered in ")
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        result = collab("doctor", "--model", "proactive:openai/m", "--api-base", server.api_base)
        assert (
            f"proactive:openai/m is at {server.api_base}; OPENAI_API_KEY, which is set, is read" in findings(result)[0]
        )
        monkeypatch.setenv("OPENAI_BASE_URL", server.api_base)
        result = collab("doctor", "--model", "openai/m")
        assert findings(result)[0].endswith("its key is read from OPENAI_API_KEY, which is set")
        assert result.exit_code == 0
    with LoopbackServer(faults=REFUSED) as server:
        result = collab("doctor", "--model", "m", "--api-base", server.api_base, "--api-key-env", "GATEWAY")
        assert result.exit_code == 1
        assert "read from GATEWAY, which is not set" in findings(result)[0]
        monkeypatch.setenv("GATEWAY", "wrong-key-1234")
        result = collab("doctor", "--model", "m", "--api-base", server.api_base, "--api-key-env", "GATEWAY")
        assert "Missing or wrong virtual key" in findings(result)[1]
        assert "wrong-key-1234" not in result.output
        assert server.count == 1


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("together_ai/m", "TOGETHERAI_API_KEY"),
        ("groq/m", "GROQ_API_KEY"),
        pytest.param("gpt-4o-mini", "OPENAI_API_KEY", marks=SLOW),
        ("proactive:mistral/m", "MISTRAL_API_KEY"),
    ],
)
def test_the_variable_of_a_provider_that_litellm_speaks_to_is_known(model, variable, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    assert f"its key is read from {variable}, which is not set" in as_chat_model(model).api_key.state
    monkeypatch.setenv(variable, SECRET)
    assert as_chat_model(model).api_key.state == f"its key is read from {variable}, which is set"
    elsewhere = as_chat_model(model, api_base="http://127.0.0.1:1/v1").api_key.state
    assert "no key is sent" in elsewhere


@SLOW
def test_these_are_the_variables_that_litellm_reads():
    from litellm import validate_environment

    for provider in (
        "anthropic",
        "groq",
        "mistral",
        "openrouter",
        "together_ai",
        "huggingface",
        "bedrock",
        "perplexity",
    ):
        variable = KEY_VARIABLES.get(provider, f"{provider.upper()}_API_KEY")
        assert variable in validate_environment(f"{provider}/m")["missing_keys"]


@SLOW
@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_litellm_was_refused_for_is_told_alike(status, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", SECRET)
    with LoopbackServer(faults=always(refusal(status, "no"))) as server:
        model = as_chat_model("groq/m", api_base=server.api_base)
        with pytest.raises(EndpointError) as error:
            run_sync(model.achat(hello()))
    assert SECRET not in str(server.requests)
    if status == 401:
        assert "GROQ_API_KEY, which is set, is read for the provider's own address alone" in str(error.value)
        assert "--api-key-env" in str(error.value)


OWN = ["--api-base", "http://127.0.0.1:1/v1", "--max-usd", "1"]


@pytest.mark.parametrize(
    ("options", "name", "role"),
    [
        (["--model", "m"], "m", "assistant"),
        (["--model", "m", "--assistant-option", "price=1/2"], "m", "simulator"),
        (["--model", "offline", "--judge", "j"], "j", "judge"),
        (["--model", "offline", "-a", "proactive:m"], "proactive:m", "assistant"),
    ],
)
def test_a_budget_without_a_price_says_the_line_that_gives_it(logs, options, name, role):
    result = collab("score", logs, *options, *OWN)
    assert result.exit_code == 1
    assert only_line(result) == (
        f"Error: The price of {name} is unknown, so --max-usd cannot hold: give it, such as "
        f"--{role}-option price=0.15/0.60 (USD for a million tokens in/out), or use --max-calls."
    )


def test_a_price_that_is_given_makes_a_budget_hold(logs, tmp_path):
    with LoopbackServer() as server:
        given = ["--model", "offline", "--judge", "j", "--judge-api-base", server.api_base]
        priced = ["--judge-option", "price=0.15/0.60"]
        whole = collab("score", logs, *given, *priced, "--max-usd", 1, "-o", tmp_path / "a.jsonl")
        assert whole.exit_code == 0, whole.output
        usage = json.loads((tmp_path / "a.run.json").read_text())["usage"]["judge"]
        assert usage["usd"] == pytest.approx(usage["prompt_tokens"] * 0.15e-6 + usage["completion_tokens"] * 0.60e-6)
        calls = server.count
        stopped = collab("score", logs, *given, *priced, "--max-usd", 0, "--cache-dir", tmp_path / "other")
        assert stopped.exit_code == 4
        assert server.count == calls
        again = collab("score", logs, *given, "--judge-option", "price=9/9", "--max-usd", 0)
        assert again.exit_code == 0  # a price is no part of a key: every reply was in the cache
        assert server.count == calls


def test_a_function_has_no_price_and_is_not_advised_to_have_one(logs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "priced_bots.py").write_text("def bot(messages):\n    return 'hi'\n")
    given = ["--model", "offline", "-a", "py:priced_bots:bot"]
    assert "option price" not in only_line(collab("score", logs, *given, "--max-usd", 1))
    assert "takes no price" in only_line(collab("score", logs, *given, "--assistant-option", "price=1/2"))
    refused = collab("score", logs, *given, "--assistant-option", "temperature=0.2")
    assert refused.exit_code == 1
    assert only_line(refused) == "Error: py:priced_bots:bot does not take the setting temperature: it takes none."


def test_a_function_as_an_object_takes_no_settings():
    with pytest.raises(UsageError, match="does not take the setting temperature"):
        as_chat_model(lambda messages: "hi", temperature=0.2)


def test_a_model_of_ones_own_may_hold_its_key_as_it_likes():
    model = FakeChatModel(["hi"], name="own")
    model.api_key = "a-plain-word-as-key"
    assert spec_of(model, ModelSettings()) == ModelSpec(name="own", settings=ModelSettings(), price=model.price)


def test_prices_and_providers_are_looked_up_without_importing_litellm():
    script = (
        "import sys\nfrom collab_sdk import as_chat_model\n"
        "price = as_chat_model('openai/gpt-4o-mini').price\n"
        "assert (price.prompt, price.completion) == (0.15e-6, 0.6e-6), price\n"
        "assert as_chat_model('openai/gpt-4o-mini', api_base='http://127.0.0.1:1/v1').price is None\n"
        "assert as_chat_model('openai/no-such-model').price is None\n"
        "as_chat_model('google/gemma-2-9b-it', api_base='http://127.0.0.1:1/v1')\n"
        "as_chat_model('nvidia_nim/m')\n"
        "assert 'litellm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_price_from_python_is_used_and_is_no_part_of_the_key():
    price = Price(prompt=1e-6, completion=2e-6)
    plain, priced = (as_chat_model("m", api_base="http://127.0.0.1:1/v1", price=each) for each in (None, price))
    assert priced.price == price
    assert plain.fingerprint == priced.fingerprint
    assert as_chat_model(ModelSpec(name="openai/gpt-4o-mini", price=price)).price == price


def test_a_value_of_default_is_not_sent():
    with LoopbackServer() as server:
        result = collab(
            "doctor", "--model", "m", "--api-base", server.api_base, "--model-option", "temperature=default"
        )
        assert result.exit_code == 0, result.output
    assert [set(request.body) for request in server.requests] == [{"model", "messages"}]


def test_replicas_share_the_calls_of_a_role_and_its_key(logs, monkeypatch):
    monkeypatch.setenv("SHARED_KEY", "key-of-both-1234")
    with LoopbackServer(latency=lambda: 0.02) as one, LoopbackServer(latency=lambda: 0.02) as two:
        result = collab(
            *("score", logs, "--model", "offline", "-a", "m", "--samples", 6, "--concurrency", 1),
            *("--assistant-api-base", one.api_base, "--assistant-api-base", two.api_base),
            *("--assistant-api-key-env", "SHARED_KEY"),
        )
    assert result.exit_code == 0, result.output
    assert one.count and two.count
    assert keys_at(one) == keys_at(two) == {"Bearer key-of-both-1234"}


def test_the_whole_spec_is_in_the_runs_file(logs, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "key-of-judge-1234")
    with LoopbackServer() as one, LoopbackServer() as two:
        given = ["--model", "offline", "--judge", "j", "--judge-api-key-env", "JUDGE_KEY"]
        given += ["--judge-api-base", one.api_base, "--judge-api-base", two.api_base]
        given += ["--judge-option", "price=1/2", "--max-usd", 9, "--max-calls", 900, "--concurrency", 3]
        given += ["--timeout", 30, "--ray-workers", 2, "--samples", 2]
        scored = collab("score", logs, *given, "-o", tmp_path / "scores.jsonl")
        exported = collab("export-prefs", logs, *given, "--candidates", 2, "-o", tmp_path / "prefs.jsonl")
    assert (scored.exit_code, exported.exit_code) == (0, 0), scored.output + exported.output
    for name in ("scores.run.json", "prefs.run.json"):
        spec = json.loads((tmp_path / name).read_text())["spec"]
        assert spec["judge"]["api_base"] == [one.api_base, two.api_base]
        assert spec["judge"]["api_key_env"] == "JUDGE_KEY"
        assert spec["judge"]["price"] == {"prompt": 1e-6, "completion": 2e-6}
        assert spec["judge"]["settings"] == {"temperature": 0.0}
        assert spec["limits"] | {"max_usd": 9, "max_calls": 900, "concurrency": 3, "timeout": 30} == spec["limits"]
        assert spec["runner"]["workers"] == 2
        assert spec["pairs"]["candidates"] == (2 if name.startswith("prefs") else 3)


def test_two_roles_with_one_model_at_one_server_keep_their_own_keys(logs, monkeypatch):
    monkeypatch.setenv("KEY_OF_BOT", "bot-key-0001")
    monkeypatch.setenv("KEY_OF_JUDGE", "judge-key-0002")
    with LoopbackServer() as server, LoopbackServer() as other:
        bot = ("-a", "m", "--assistant-api-base", server.api_base, "--assistant-api-key-env", "KEY_OF_BOT")
        judge = ("--judge", "m", "--judge-api-base", server.api_base, "--judge-api-key-env", "KEY_OF_JUDGE")
        result = collab("score", logs, *bot, "--assistant-api-base", other.api_base, "--simulator", "offline", *judge)
        assert result.exit_code == 0, result.stderr
        key_of = {"assistant": "Bearer bot-key-0001", "judge": "Bearer judge-key-0002"}
        seen = {(role_of(each.body), each.headers["authorization"]) for each in (*server.requests, *other.requests)}
        assert seen == set(key_of.items())
        assert roles_at(other) <= {"assistant"}


def test_a_redirect_takes_nothing_along(monkeypatch):
    monkeypatch.setenv("GATEWAY_TOKEN", "gateway-token-0003")
    with LoopbackServer() as elsewhere, LoopbackServer(faults=always(redirect(elsewhere.api_base))) as server:
        model = as_chat_model(
            "m", api_base=server.api_base, extra_headers={"X-Gateway-Token": "env:GATEWAY_TOKEN"}, temperature=0.0
        )
        with pytest.raises(EndpointError, match="It redirects"):
            run_sync(Engine().call(model, hello()))
        assert elsewhere.count == 0
        assert server.count == 1


@pytest.mark.parametrize("name", ["sk-proj-abcdefghijkl1234", "", "hf_abcdefghijklmnopqrst", "A B"])
def test_a_key_given_as_a_variables_name_is_refused_and_not_repeated(logs, name):
    result = collab("score", logs, "--model", "m", "--api-base", "http://127.0.0.1:9/v1", "--api-key-env", name)
    assert "name of an environment variable" in only_line(result)
    assert not name or name not in result.output
    with pytest.raises(UsageError, match="name of an environment variable"):
        ModelSettings(extra_headers={"Authorization": f"env:{name}"})


def test_a_stop_of_one_text_is_one_stop():
    assert as_chat_model("m", api_base="http://127.0.0.1:9/v1", stop="END").overrides == {"stop": ("END",)}


def test_settings_of_a_second_use_leave_the_first_alone():
    model = as_chat_model("m", api_base="http://127.0.0.1:9/v1")
    hot, cold = as_chat_model(model, temperature=0.9), as_chat_model(model, temperature=0.0)
    assert (hot.overrides, cold.overrides) == ({"temperature": 0.9}, {"temperature": 0.0})
    assert not model.overrides


@pytest.mark.parametrize("count", [-(10**9), 10**400, True, "7"])
def test_a_count_of_tokens_that_is_none_is_not_believed(count):
    with LoopbackServer(faults=always(counted(count))) as server:
        model = as_chat_model("m", api_base=server.api_base, price=Price(prompt=1.0, completion=1.0))
        reply = run_sync(Engine().call(model, hello()))
        assert reply.prompt_tokens is None
        assert reply.usd is None


@pytest.mark.parametrize(
    "bases", ["http://localhost:8000/v1", ["http://localhost:8000/v1", "http://localhost:8001/v1"]]
)
@pytest.mark.parametrize("name", ["m", "proactive:m"])
def test_settings_are_added_to_a_model_whatever_it_is_made_of(name, bases):
    made = as_chat_model(name, api_base=bases, temperature=0.5, max_tokens=9)
    changed = as_chat_model(made, temperature=0.1)
    assert settings_for(changed, ModelSettings()) == ModelSettings(temperature=0.1, max_tokens=9)
    assert settings_for(made, ModelSettings()) == ModelSettings(temperature=0.5, max_tokens=9)
    assert changed.fingerprint == made.fingerprint


def test_an_instructed_bot_takes_no_other_settings_than_the_bot():
    bot = InstructedModel(as_chat_model(lambda messages: "hi", name="bot"), "Ask.", name="asking bot")
    with pytest.raises(UsageError, match="asking bot does not take the setting temperature: it takes none"):
        as_chat_model(bot, temperature=0.5)
