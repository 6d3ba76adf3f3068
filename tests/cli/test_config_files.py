"""Files of options: what may stand where in them, what wins over what, and what is refused, in one line."""

import json

import pytest
from support.cli import collab, write_chats
from support.options import COMMANDS, received

from collab_sdk.spec import MetricSpec


@pytest.fixture
def logs(tmp_path):
    return write_chats(tmp_path / "chats.jsonl", 1)


@pytest.fixture
def config(tmp_path):
    def write(text, name="collab.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def given(logs, monkeypatch):
    """What a command is called with."""

    def call(command, *arguments, env=None):
        path = tuple(command.split())
        needed = {"evaluate": ["--task", "order-desk"]}.get(command, [logs])
        return received(path, [*needed, *arguments], monkeypatch, env)

    return call


def spec_of(logs, monkeypatch, *arguments):
    """The RunSpec that `collab score` makes of its options."""
    made = []
    monkeypatch.setattr("collab_cli.score.dry_run", lambda logs, spec, work, problems: made.append(spec))
    result = collab("score", logs, "--dry-run", *arguments)
    assert result.exit_code == 0, result.output
    return made[0]


RECIPE = """
model = "openai/gpt-4o-mini"
max-usd = 5
window = 3

[judge]
name = "anthropic/claude-sonnet-4-5"
temperature = 0.1
price = "3/15"

[simulator]
api-base = "http://127.0.0.1:8001/v1"
api-key-env = "USER_KEY"
extra_body = {chat_template_kwargs = {enable_thinking = false}}

[metrics]
goal = 1
token_penalty = {weight = 2, rate = 1e-4}

[export-prefs]
window = 4
candidates = 5

[evaluate]
task = ["order-desk", "math-chat"]
assistant = ["a", "b"]

[evaluate.judge]
max-tokens = 300

[finetune]
base = "some/base"
lora-r = 8

[logs]
limit = 5

[logs.list]
json = true

[cache.prune]
older-than = 30
"""


def test_one_file_serves_a_whole_recipe(given, config, tmp_path, monkeypatch):
    path = config(RECIPE)
    score, export, evaluate = (given(name, "--config", path) for name in ("score", "export-prefs", "evaluate"))
    assert (score["window"], export["window"], export["candidates"]) == (3, 4, 5)
    assert score["model"] == "openai/gpt-4o-mini"
    assert score["max_usd"] == evaluate["max_usd"] == 5
    assert score["judge"] == "anthropic/claude-sonnet-4-5"
    assert score["judge_option"] == (("temperature", 0.1), ("price", "3/15"))
    assert evaluate["judge_option"] == (("temperature", 0.1), ("price", "3/15"), ("max-tokens", 300))
    assert score["simulator_api_base"] == ("http://127.0.0.1:8001/v1",)
    assert score["simulator_api_key_env"] == "USER_KEY"
    assert score["metric"] == (
        MetricSpec(name="goal"),
        MetricSpec(name="token_penalty", weight=2.0, options={"rate": 1e-4}),
    )
    assert evaluate["assistant"] == ("a", "b")
    store = tmp_path / "store.db"
    store.touch()
    listed = received(("logs", "list"), ["--store", store, "--config", path], monkeypatch)
    exported = received(("logs", "export"), [store, "--config", path], monkeypatch)
    assert (listed["limit"], listed["json"], exported["limit"]) == (5, True, 5)
    assert received(("cache", "prune"), ["--config", path], monkeypatch)["older_than"] == 30
    tuned = received(("finetune",), [store, "-o", tmp_path / "adapter", "--config", path], monkeypatch)
    assert (tuned["base"], tuned["lora_r"], tuned["window"]) == ("some/base", 8, 3)


def test_the_tasks_of_a_table_are_enough_for_a_command_that_needs_one(config, monkeypatch):
    found = received(("evaluate",), ["--config", config(RECIPE)], monkeypatch)
    assert found["task"] == ("order-desk", "math-chat")


def test_settings_of_a_flag_are_laid_over_those_of_the_file_one_by_one(logs, config, monkeypatch):
    path = config('model = "m"\napi-base = "http://h/v1"\n[judge]\ntemperature = 0.1\nmax_tokens = 9\nprice = "3/15"\n')
    judge = spec_of(logs, monkeypatch, "--config", path, "--judge-option", "temperature=0.7").judge
    assert (judge.settings.temperature, judge.settings.max_tokens) == (0.7, 9)
    assert judge.price.prompt == pytest.approx(3e-6)
    monkeypatch.setenv("COLLAB_JUDGE_OPTION", "temperature=0.4 seed=3")
    judge = spec_of(logs, monkeypatch, "--config", path).judge
    assert (judge.settings.temperature, judge.settings.seed, judge.settings.max_tokens) == (0.4, 3, 9)
    judge = spec_of(logs, monkeypatch, "--config", path, "--judge-option", "temperature=default").judge
    assert (judge.settings.temperature, judge.settings.max_tokens) == (None, 9)


def test_settings_may_stand_in_a_list_as_they_are_typed(logs, config, monkeypatch):
    path = config('model = "m"\njudge-option = ["temperature=0.1", "extra_body.top_k=5"]\n')
    for arguments in ([], ["--judge-option", "extra_body.min_p=0.1"]):
        settings = spec_of(logs, monkeypatch, "--config", path, *arguments).judge.settings
        assert settings.temperature == 0.1
        assert settings.extra_body == {"top_k": 5} | ({"min_p": 0.1} if arguments else {})


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (["extra_body.a.b=1", "extra_body.a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["extra_body=default", "extra_body.a=1"], {"a": 1}),
        (["extra_body.a=1", "extra_body.a.b=2"], {"a": {"b": 2}}),
        (['extra_body={"a": 1}', "extra_body.b=true"], {"a": 1, "b": True}),
    ],
)
def test_fields_of_the_body_are_named_one_by_one(logs, monkeypatch, options, body):
    flags = [part for option in options for part in ("--judge-option", option)]
    assert spec_of(logs, monkeypatch, "--model", "m", *flags).judge.settings.extra_body == body


def test_a_role_has_its_defaults_where_nothing_else_is_said(logs, monkeypatch):
    spec = spec_of(logs, monkeypatch, "--model", "m", "--model-option", "max_tokens=5", "--judge", "j")
    assert spec.assistant.settings.sent() == {"temperature": 0.8, "max_tokens": 5}
    assert spec.simulator.settings.sent() == {"temperature": 1.0, "max_tokens": 5}
    assert spec.judge.settings is None  # its own name, so not --model's settings


def test_an_address_is_for_the_roles_without_one_of_their_own(logs, monkeypatch):
    shared = ["--api-base", "http://bot/v1", "--api-key-env", "BOT_KEY"]

    def reached(*arguments):
        spec = spec_of(logs, monkeypatch, *shared, *arguments)
        return [(role.api_base, role.api_key_env) for role in (spec.assistant, spec.simulator, spec.judge)]

    at_bot, nowhere = (("http://bot/v1",), "BOT_KEY"), ((), None)
    assert reached("--model", "m") == [at_bot] * 3
    assert reached("--model", "openai/m") == [at_bot] * 3  # it is for --model, whatever that is
    assert reached("-a", "Qwen/Qwen3-8B", "--simulator", "hosted_vllm/u", "--judge", "j") == [at_bot] * 3
    assert reached("-a", "m", "--simulator", "openai/u", "--judge", "anthropic/j") == [at_bot, nowhere, nowhere]
    own = ["--judge", "openai/j", "--judge-api-base", "http://judge/v1"]
    assert reached("--model", "m", *own) == [at_bot, at_bot, (("http://judge/v1",), None)]
    assert reached("--model", "m", "--judge-api-base", "http://judge/v1", "--judge-api-key-env", "K")[2] == (
        ("http://judge/v1",),
        "K",
    )
    without_model = ["-a", "m", "--simulator", "u", "--judge-api-base", "http://judge/v1"]
    assert reached(*without_model) == [at_bot, at_bot, (("http://judge/v1",), None)]


BAD = [
    ("sampels = 2", "collab.toml: Unknown option 'sampels'. Did you mean 'samples'?"),
    ("candidates = 4\n[score]\ncandidates = 4", "'candidates' is not an option of score: it belongs at the top, or in"),
    ("[score]\nlora-r = 4", "'lora-r' is not an option of score: it belongs at the top, or in [finetune]."),
    ("[scores]\nsamples = 4", "collab.toml: Unknown table 'scores'. Did you mean 'score'?"),
    ("[score]\nsampels = 4", "collab.toml in [score]: Unknown option 'sampels'. Did you mean 'samples'?"),
    ("[judge]\ntemprature = 1", "collab.toml: [judge]: Unknown key 'temprature'. Did you mean 'temperature'?"),
    ("[judge]\nsamples = 1", "collab.toml: 'samples' does not belong in [judge]: it belongs at the top."),
    ('[judge]\ntemperature = "hot"', 'collab.toml: [judge]: temperature: expected a number, not "hot"'),
    ("[judge]\nmax_tokens = 2.5", "collab.toml: [judge]: max_tokens: expected a whole number, not 2.5"),
    ("[judge]\nprice = 3", "collab.toml: [judge]: price is 3; it must read IN/OUT"),
    ("[judge]\nname = 3", "collab.toml: 'judge.name' must be text, not 3"),
    ("[judge]\napi-base = {a = 1}", "collab.toml: 'judge.api-base' must be a list of values, not a table"),
    ('[judge.extra_headers]\nauthorization = "abc"', "extra_headers.authorization looks like a secret"),
    ("[evaluate.judge]\ntemprature = 1", "collab.toml: [judge]: Unknown key 'temprature'"),
    ("samples = {n = 1}", "collab.toml: 'samples' must be one value, not a table"),
    ("samples = [1]", "collab.toml: 'samples' must be one value, not a list"),
    ("temperature = 0.2", "collab.toml: 'temperature' is a setting of a model: it belongs in"),
    ("samples = true", "collab.toml: 'samples' must be a number, not true"),
    ("samples = 2.5", "collab.toml: 'samples': '2.5' is not a valid whole number"),
    ('samples = "many"', "collab.toml: 'samples': 'many' is not a valid whole number"),
    ("samples = 0", "collab.toml: 'samples': 0 is not in the range x>=1"),
    ("max-usd = -1", "collab.toml: 'max-usd': -1.0 is not in the range x>=0"),
    ("max-usd = nan", "collab.toml: 'max-usd': 'nan' is not a valid number"),
    ("fixed-samples = 1", "collab.toml: 'fixed-samples' must be true or false, not 1"),
    ("model = 3", "collab.toml: 'model' must be text, not 3"),
    ("model = 2026-01-01", "collab.toml: 'model' must be text, not 2026-01-01"),
    ("window = 1\nmax-usd = 1\nmax_usd = 2", "collab.toml: 'max-usd' is given twice, the second time as 'max_usd'"),
    ('metric = ["goal=1"]\n[metrics]\ngoal = 1', "collab.toml: 'metric' is given twice, the second time as 'metrics'"),
    ('metrics = ["goal"]', "collab.toml: 'metrics' must be a table of names and weights, not a list"),
    ('[metrics]\ngoal = "x"', "collab.toml: 'metrics.goal' must be a number, not x"),
    ("[metrics]\ngoal = nan", "collab.toml: [metrics]: The weight of goal is nan; it must be a finite number."),
    ('metric = ["goal=x"]', "collab.toml: 'metric': 'x' is not a valid number"),
    ('config = "other.toml"', "collab.toml: Unknown option 'config'"),
    ("samples = = 2", "collab.toml: not TOML: Invalid value (at line 1, column 11)"),
    ("samples = 2\nsamples = 3", "collab.toml: not TOML: Cannot overwrite a value"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[text for text, _ in BAD])
def test_bad_options_are_one_line_that_names_file_and_key(logs, config, text, said):
    result = collab("score", logs, "--model", "offline", "--config", config(text))
    assert result.exit_code in (1, 2)
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert said in line
    assert result.stderr.splitlines()[-1] == line
    assert not result.stdout


def test_the_top_may_hold_what_only_other_commands_take(logs, config):
    result = collab(
        "score", logs, "--dry-run", "--config", config('model = "offline"\nformat = "kto"\ntask = ["logs"]')
    )
    assert result.exit_code == 0, result.stderr


def test_a_file_is_checked_whole_whatever_command_reads_it(logs, config):
    result = collab("score", logs, "--model", "offline", "--config", config("[finetune]\npateince = 4"))
    assert result.exit_code == 1
    assert "collab.toml in [finetune]: Unknown option 'pateince'. Did you mean 'patience'?" in result.stderr


def test_what_another_command_reads_need_not_be_there(given, config):
    assert given("score", "--config", config('[finetune]\nevaluate = ["not-there.jsonl"]\n'))["window"] == 2


def test_a_yaml_file_holds_the_same(given, config):
    text = "model: m\njudge:\n  name: j\n  temperature: 0.1\nmetrics:\n  goal: 2\n"
    found = given("score", "--config", config(text, "collab.yaml"))
    assert (found["judge"], found["judge_option"]) == ("j", (("temperature", 0.1),))
    assert found["metric"] == (MetricSpec(name="goal", weight=2.0),)


def test_an_empty_variable_is_an_error_that_names_it(logs, monkeypatch):
    for path, command in COMMANDS.items():
        for option in command.params:
            if (variable := getattr(option, "envvar", None)) is None:
                continue
            with monkeypatch.context() as context:
                context.delenv("COLLAB_CACHE_DIR")
                context.setenv(variable, "")
                result = collab(*path)
                if variable in result.stderr:
                    assert f"Error: {variable} is set to nothing: give it a value, or unset it." in result.stderr
                    assert result.exit_code == 2
                else:  # another option that is needed is missing first
                    assert "Missing" in result.stderr


def test_the_flag_wins_and_help_says_so(logs):
    assert "Flags override environment variables, which override the file." in " ".join(
        collab("score", "--help").stdout.split()
    )


BOTS = ["offline:proactive", "offline"]


@pytest.mark.parametrize("way", ["flag", "environment", "file", "table", "list"])
def test_the_same_bots_are_evaluated_however_they_are_named(way, config, tmp_path, monkeypatch):
    arguments = []
    if way == "flag":
        arguments = ["--model", "offline", "-a", BOTS[0], "-a", BOTS[1], "-t", "order-desk"]
    elif way == "environment":
        for name, value in (("MODEL", "offline"), ("ASSISTANT", " ".join(BOTS)), ("TASK", "order-desk")):
            monkeypatch.setenv(f"COLLAB_{name}", value)
    elif way == "file":
        arguments = ["--config", config(f'model = "offline"\nassistant = {BOTS}\ntask = "order-desk"\n')]
    elif way == "table":
        arguments = ["--config", config(f'model = "offline"\n[evaluate]\nassistant = {BOTS}\ntask = ["order-desk"]\n')]
    else:
        arguments = ["--config", config(f'model = "offline"\ntask = ["order-desk"]\n[assistant]\nname = {BOTS}\n')]
    result = collab("evaluate", "--limit", 1, "-o", tmp_path / "a.json", *arguments)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "a.json").read_text())["bots"] == BOTS


def test_one_bot_in_a_file_is_the_bot(config, tmp_path):
    path = config('model = "offline"\nassistant = "offline:proactive"\ntask = ["order-desk"]\n')
    result = collab("evaluate", "--limit", 1, "-o", tmp_path / "a.json", "--config", path)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "a.json").read_text())["bots"] == ["offline:proactive"]


VARIANTS = """
window = 2

[judge]
name = "j"
temperature = 0.1

[metrics]
goal = 1
interactivity = 1

[finetune]
base = "some/base"
epochs = 1

[variant.short]
window = 1

[variant.short.judge]
max-tokens = 9

[variant.half.metrics]
goal = 0.5

[variant.sft.finetune]
method = "sft"
epochs = 3
"""


def test_a_variant_is_laid_over_the_file(given, config):
    path = config(VARIANTS)
    plain, short = given("score", "--config", path), given("score", "--config", path, "--variant", "short")
    assert (plain["window"], short["window"]) == (2, 1)
    assert short["judge"] == "j"
    assert short["judge_option"] == (("temperature", 0.1), ("max-tokens", 9))
    assert short["metric"] == plain["metric"]
    tuned = given("finetune", "-o", path.with_name("out"), "--variant", "sft", "--config", path)
    assert (tuned["method"], tuned["epochs"], tuned["base"]) == ("sft", 3.0, "some/base")


def test_several_variants_are_laid_over_each_other_and_flags_over_them_all(given, config):
    path = config(VARIANTS + "\n[variant.long]\nwindow = 3\n")
    both = given("score", "--config", path, "--variant", "half", "--variant", "short", "--variant", "long")
    assert (both["window"], both["metric"]) == (3, (MetricSpec(name="goal", weight=0.5),))
    assert given("score", "--config", path, "--variant", "long", "--window", 4)["window"] == 4
    assert given("score", env={"COLLAB_CONFIG": str(path), "COLLAB_VARIANT": "long short"})["window"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[variant.shrt]\nwindow = 1", "collab.toml: Unknown variant 'short'. Did you mean 'shrt'?"),
        ("[variant.other]\nwindwo = 1", "collab.toml, [variant.other]: Unknown option 'windwo'"),
        ("[variant.other.finetune]\nepoch = 1", "collab.toml, [variant.other] in [finetune]: Unknown option 'epoch'"),
        ("[variant.short.variant.more]\nwindow = 1", "collab.toml, [variant.short]: Unknown table 'variant'"),
        ("variant = 3", "collab.toml: 'variant' must be a table of tables, such as [variant.short], not 3"),
    ],
)
def test_bad_variants_are_one_line(logs, config, text, said):
    result = collab("score", logs, "--model", "offline", "--config", config(text), "--variant", "short")
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert said in line


@pytest.mark.parametrize("text", ["variant: {1: {window: 1}}", "variant: {a: {1: 2}}", "judge: {yes: 2}", "1: 2"])
def test_a_yaml_key_that_is_no_text_is_one_line(logs, tmp_path, text):
    path = tmp_path / "collab.yaml"
    path.write_text(text)
    result = collab("score", logs, "--model", "offline", "--config", path)
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert "is not text: put it in quotes" in line


def test_a_variant_without_a_file_is_refused(logs):
    result = collab("score", logs, "--model", "offline", "--variant", "short")
    assert result.exit_code == 2
    assert "--variant names a part of a file of options: give --config FILE." in result.stderr
