"""What a chat template leaves out is named and refused, or laid out otherwise, in training and in `hf:` alike."""

import json
import shutil
from itertools import groupby
from pathlib import Path

import pytest
from support.chat_templates import CALL, CASES, as_markdown, with_template
from support.cli import collab
from support.local import asked, replies
from support.paths import ROOT
from support.tiny import CHATML, packaged_templates
from support.training import ASKS, GUESSES, pair, prepared, request, trained, write_base, write_rows

from collab_sdk import as_chat_model
from collab_sdk.errors import EndpointError, InputError, ModelCallError, UnknownNameError, UsageError
from collab_sdk.messages import Message
from collab_sdk.models import ChatRequest, files_of
from collab_sdk.models.base import CallRole
from collab_sdk.training import TrainingOptions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]

NO_DEVELOPER = CHATML.replace("message in messages", "message in messages if message['role'] != 'developer'")
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system here') }}{% endif %}" + CHATML
ENDLESS = CHATML.replace("{{ message['content'] }}<|im_end|>", "{{ message['content'] }}")
HYBRID = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}<think>\n{{ message['reasoning_content'] or '' }}\n</think>\n\n{% endif %}"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
ALWAYS = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
POLITE = {"role": "developer", "content": "Stay polite."}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def templated(base: Path, folder: Path, template: str) -> Path:
    """The base with another chat template."""
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").write_text(template)
    return folder


def reply(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def with_developer(n: int = 24) -> list[dict]:
    rows = [pair(number) for number in range(n)]
    return [row | {"prompt": [POLITE, *row["prompt"]]} for row in rows]


def told(preflight) -> list[tuple[str, bool]]:
    """The prompt of the first example and its chosen side: texts, and whether they are learnt."""
    joined = [
        ("".join(text for text, _ in pieces), learnt)
        for learnt, pieces in groupby(preflight.rendered, key=lambda each: each[1])
    ]
    return joined[:2]


# All templates that TRL packages


def test_under_no_packaged_template_is_a_row_silently_wrong_and_the_page_has_the_table():
    page = (ROOT / "docs" / "finetune.md").read_text(encoding="utf-8")
    assert as_markdown() in page


@pytest.mark.parametrize("layout", ["developer-as-system", "system-in-first-user"])
@pytest.mark.parametrize("name", ["qwen3", "llama3_1", "gemma3", "glm4moe", "gptoss", "phi3", "nemotron_3_nano"])
def test_a_layout_changes_no_chat_but_those_it_is_for(name, layout):
    from collab_trl.chat_template import ChatTemplate

    plain, changed = (with_template(packaged_templates()[name]) for _ in range(2))
    ChatTemplate.named(layouts=[layout]).put_into(changed)
    assert changed.chat_template != plain.chat_template
    made = {**CALL, "function": {"name": "look_up", "arguments": {"parcel": "seven"}}}
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    calls = [{"role": "assistant", "content": "", "tool_calls": [made]}]
    for messages in (chat, chat[:1], [*chat, *calls]):
        for asks in (True, False):
            both = (
                tokenizer.apply_chat_template(
                    messages, tools=list(CASES["tools"].tools), tokenize=False, add_generation_prompt=asks
                )
                for tokenizer in (plain, changed)
            )
            assert len(set(both)) == 1


# A message that is left out


def test_a_developer_message_that_is_left_out_is_refused_with_its_lines_and_the_option(base, tmp_path):
    silent = templated(base, tmp_path / "silent", NO_DEVELOPER)
    rows = [*map(pair, range(20)), *with_developer(3)]
    rows[21]["prompt"].insert(1, {"role": "system", "content": "Be brief."})
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    result = collab("finetune", data, "-m", silent, "-o", tmp_path / "out", "--eval-fraction", "0", "--dry-run")
    assert (
        "Refused: 3 rows, the chat template leaves out the developer message: --layout developer-as-system lays it out "
        "as a system message, or give the template that will be served with --chat-template "
        "(prefs.jsonl:21, prefs.jsonl:22, prefs.jsonl:23)"
    ) in result.stderr.splitlines()


def test_hf_refuses_what_training_refuses_and_takes_the_same_layouts(tiny_base, tmp_path):
    silent = templated(tiny_base, tmp_path / "silent", NO_DEVELOPER)
    messages = tuple(
        Message(role=role, content=text) for role, text in (("developer", "Be polite."), ("user", "a mocha"))
    )
    asking = ChatRequest(role=CallRole.ASSISTANT, messages=messages)
    with pytest.raises(ModelCallError, match=r"leaves out the developer message.*\?layout=developer-as-system lays it"):
        replies(as_chat_model(f"hf:{silent}"), [asking])
    assert replies(as_chat_model(f"hf:{silent}?layout=developer-as-system"), [asking])[0].prompt_tokens > 10


def test_an_adapter_keeps_the_layout_that_it_was_trained_with(base, tmp_path):
    from transformers import AutoTokenizer

    silent = templated(base, tmp_path / "silent", NO_DEVELOPER)
    data = write_rows(tmp_path / "prefs.jsonl", with_developer())
    options = ["--layout", "developer-as-system", "--epochs", "0.5", "--learning-rate", "1e-3", "--dtype", "float32"]
    result = collab("finetune", data, "-m", silent, "-o", tmp_path / "out", *options)
    assert (tmp_path / "out" / "adapter_config.json").exists(), result.output
    assert "developer-as-system" in result.stdout
    chat = [POLITE, {"role": "user", "content": "a latte"}]
    shown = [
        AutoTokenizer.from_pretrained(folder).apply_chat_template(chat, tokenize=False)
        for folder in (tmp_path / "out", silent)
    ]
    assert ["Stay polite." in text for text in shown] == [True, False]
    asking = ChatRequest(
        role=CallRole.ASSISTANT, messages=tuple(Message(role=each["role"], content=each["content"]) for each in chat)
    )
    names = [f"hf:{silent}@{tmp_path / 'out'}", f"hf:{silent}?layout=developer-as-system", f"hf:{silent}"]
    adapted, laid_out, plain = (as_chat_model(name) for name in names)
    assert replies(adapted, [asking])[0].prompt_tokens == replies(laid_out, [asking])[0].prompt_tokens
    with pytest.raises(ModelCallError, match="leaves out the developer message"):
        replies(plain, [asking])


def test_evaluation_asks_the_base_as_it_asks_the_adapter(tmp_path):
    options = {"data": tmp_path, "base": "b", "output": tmp_path}
    assert TrainingOptions(**options).base_bot == "hf:b"
    laid_out = TrainingOptions(**options, chat_template="trl:qwen3", layout=("no-thinking", "developer-as-system"))
    assert laid_out.base_bot == "hf:b?chat_template=trl:qwen3&layout=no-thinking&layout=developer-as-system"


def test_a_system_message_goes_into_the_users_where_it_has_no_place(base, tmp_path):
    picky = templated(base, tmp_path / "picky", NO_SYSTEM)
    brief = {"role": "system", "content": "Be brief."}
    rows = [pair(number) | {"prompt": [brief, *pair(number)["prompt"]]} for number in range(3)]
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    with pytest.raises(InputError, match=r"refuses it: No system here \(--layout system-in-first-user puts it at the"):
        prepared(data, picky, tmp_path / "out", eval_fraction=0.0)
    found = prepared(data, picky, tmp_path / "out", eval_fraction=0.0, layout=("system-in-first-user",)).preflight
    assert found.rendered[0][0].startswith(f"<|im_start|>user\nBe brief.\n\n{request(0)}<|im_end|>")
    assert found.plan["layout"] == "system-in-first-user"


def test_a_template_that_cuts_a_message_at_a_word_in_it_is_refused(base, tmp_path):
    cutting = templated(
        base, tmp_path / "cutting", CHATML.replace("message['content']", "message['content'].split('|')[0]")
    )
    rows = [pair(number) for number in range(20)]
    rows[7] |= {"prompt": [{"role": "user", "content": "tea | coffee?"}]}
    [fault] = prepared(write_rows(tmp_path / "p.jsonl", rows), cutting, tmp_path / "out").preflight.faults
    assert fault.problem.startswith("the chat template leaves out part of a user message")
    assert fault.places == ("p.jsonl:8",)


def test_tools_of_which_only_the_names_are_shown_are_said_to_be(base, tmp_path):
    names = "{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}"
    calls = "{{ message['content'] }}{{ message.tool_calls | tojson if message.tool_calls }}"
    terse = templated(base, tmp_path / "terse", names + CHATML.replace("{{ message['content'] }}", calls))
    row = pair(0) | {"tools": list(CASES["tools"].tools)}
    found = prepared(write_rows(tmp_path / "p.jsonl", [row]), terse, tmp_path / "out", eval_fraction=0.0).preflight
    assert found.plan["tools"] == "shown without their descriptions and parameters"


# Tokens


@pytest.mark.parametrize("said", ["\n\nWhich one?", "\nWhich one?", " Which one?"])
def test_a_reply_that_begins_with_the_blanks_that_the_prompt_ends_with_is_learnt_as_it_is_written(tmp_path, said):
    folder = write_base(tmp_path / "base")
    tokenizer = merging_newlines(folder)
    row = pair(0) | {"chosen": reply(said)}
    found = prepared(write_rows(tmp_path / "p.jsonl", [row]), folder, tmp_path / "out", eval_fraction=0.0)
    assert told(found.preflight)[1] == (f"{said}<|im_end|>", True)
    prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
    written = tokenizer.encode(f"{said}<|im_end|>", add_special_tokens=False)
    assert found.preflight.completion_lengths[0] >= len(written)
    assert found.preflight.lengths[0] == len(prompt) + found.preflight.completion_lengths[0]


def merging_newlines(folder: Path):
    """Make two and three newlines one token, as the tokenizers of real models have them."""
    from transformers import AutoTokenizer

    file = folder / "tokenizer.json"
    known = json.loads(file.read_text())
    vocabulary, merges = known["model"]["vocab"], known["model"]["merges"]
    for n in (2, 3):
        vocabulary["Ċ" * n] = vocabulary.pop(list(vocabulary)[-n])
        merges.append(["Ċ" * (n - 1), "Ċ"])
    kept = [merge for merge in merges if all(part in vocabulary for part in (*merge, "".join(merge)))]
    known["model"]["merges"] = kept
    known["pre_tokenizer"] = {**known["pre_tokenizer"], "use_regex": False}
    file.write_text(json.dumps(known))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer.encode("\n\n\n")) == 1
    return tokenizer


def test_nothing_behind_the_end_of_a_turn_is_learnt(base, tmp_path):
    found = prepared(write_rows(tmp_path / "p.jsonl", [pair(0)]), base, tmp_path / "out", eval_fraction=0.0).preflight
    assert [piece for piece in found.rendered[1:] if piece[0]] == [
        (f"{ASKS}<|im_end|>", True),
        ("\n", False),
        (f"{GUESSES}<|im_end|>", True),
        ("\n", False),
    ]


# Ends of a reply


def test_the_end_of_a_turn_may_be_another_token_than_eos(base, tmp_path):
    gemma = templated(base, tmp_path / "gemma", CHATML)
    config = json.loads((gemma / "tokenizer_config.json").read_text())
    (gemma / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": "<pad>"}))
    found = prepared(write_rows(tmp_path / "p.jsonl", [pair(0)]), gemma, tmp_path / "out", eval_fraction=0.0).preflight
    assert told(found)[1] == (f"{ASKS}<|im_end|>", True)
    assert not [note for note in found.notes if "stop" in note]


def test_replies_that_nothing_ends_are_refused_in_one_line_and_learnt_with_eos_behind_them(base, tmp_path):
    endless = templated(base, tmp_path / "endless", ENDLESS)
    data = write_rows(tmp_path / "p.jsonl", [pair(number) for number in range(6)])
    with pytest.raises(
        InputError,
        match=r"nothing ends the reply.*--layout end-with-eos.*\(6 rows: p.jsonl:1, .*\.\.\.\)",
    ):
        prepared(data, endless, tmp_path / "out", eval_fraction=0.0)
    found = prepared(data, endless, tmp_path / "out", eval_fraction=0.0, layout=("end-with-eos",)).preflight
    assert told(found)[1][0].startswith(f"{ASKS}\n<|im_end|>")


def test_a_reply_that_holds_a_token_at_which_the_model_stops_is_refused(base, tmp_path):
    stopping = shutil.copytree(base, tmp_path / "stopping")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    ends = [tokenizer.eos_token_id, *tokenizer.encode("\n", add_special_tokens=False)]
    (stopping / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    rows = [pair(number) for number in range(3)]
    rows[1]["chosen"] = reply("Sure.\nWhich size would you like?")
    found = prepared(write_rows(tmp_path / "p.jsonl", rows), stopping, tmp_path / "out", eval_fraction=0.0).preflight
    [fault] = found.faults
    assert fault.problem.startswith("the reply holds a token at which the model stops")
    assert fault.places == ("p.jsonl:2",)


# Thoughts


def test_an_empty_thought_is_not_learnt_and_what_is_learnt_is_said(base, tmp_path):
    hybrid = templated(base, tmp_path / "hybrid", HYBRID)
    data = write_rows(tmp_path / "p.jsonl", [pair(0)])
    left, off = (
        prepared(data, hybrid, tmp_path / "out", eval_fraction=0.0, layout=layout).preflight
        for layout in ((), ("no-thinking",))
    )
    for found in (left, off):
        before, learnt = told(found)
        assert before[0].endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
        assert learnt == (f"{ASKS}<|im_end|>", True)
    assert left.rendered[0][0].endswith("<|im_start|>assistant\n")
    assert off.rendered[0][0].endswith("</think>\n\n")
    assert left.plan["thinking"].startswith("left to the model: the empty thought")
    assert off.plan["thinking"].startswith("off: the prompt ends with an empty thought")
    assert off.plan["layout"] == "no-thinking"


def test_a_template_that_always_thinks_is_refused_with_the_way_out(base, tmp_path):
    thinking = templated(base, tmp_path / "thinking", ALWAYS)
    data = write_rows(tmp_path / "p.jsonl", [pair(0)])
    with pytest.raises(InputError, match=r"begins each reply with a thought \(<think>\).*--layout no-thinking"):
        prepared(data, thinking, tmp_path / "out", eval_fraction=0.0)
    found = prepared(data, thinking, tmp_path / "out", eval_fraction=0.0, layout=("no-thinking",)).preflight
    assert found.rendered[0][0].endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert told(found)[1] == (f"{ASKS}<|im_end|>", True)


# Other templates


def test_a_template_of_trl_or_of_a_file_takes_the_place_of_the_bases_own(base, tmp_path):
    data = write_rows(tmp_path / "p.jsonl", [pair(0)])
    own = tmp_path / "own.jinja"
    own.write_text(CHATML.replace("assistant\n", "assistant:\n").replace("role'] }}\n", "role'] }}:\n"))
    for source, asks in (("trl:qwen3_instruct_2507_training", "assistant\n"), (str(own), "assistant:\n")):
        found = prepared(data, base, tmp_path / "out", eval_fraction=0.0, chat_template=source).preflight
        assert found.rendered[0][0].endswith(f"<|im_start|>{asks}")
        assert found.plan["chat template"] == Path(source).name, "a card is for others, who have no such folder"


BAD = {
    "no such layout": ({"layout": ("developers",)}, UnknownNameError, "developer-as-system"),
    "both": ({"layout": ("thinking", "no-thinking")}, UsageError, "exclude each other"),
    "no switch": ({"layout": ("no-thinking",)}, UsageError, "changes nothing: the chat template has no switch"),
    "an end already": ({"layout": ("end-with-eos",)}, UsageError, "changes nothing: the chat template already ends"),
    "no file": ({"chat_template": "nowhere.jinja"}, UsageError, "The chat template nowhere.jinja cannot be read"),
    "no template of TRL's": ({"chat_template": "trl:qwen3_trainig"}, UnknownNameError, "qwen3_training"),
}


@pytest.mark.parametrize(("options", "error", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_asked_for_is_refused_in_one_line(base, tmp_path, options, error, said):
    data = write_rows(tmp_path / "p.jsonl", [pair(0)])
    with pytest.raises(error, match=said) as caught:
        prepared(data, base, tmp_path / "out", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("template", ["{{ nothing.of.that }}", "{% for %}", "{{ 1 / 0 }}"])
def test_a_template_that_fails_ends_the_training_in_one_line(base, tmp_path, template):
    failing = templated(base, tmp_path / "failing", template)
    with pytest.raises(EndpointError, match="does not work") as caught:
        prepared(write_rows(tmp_path / "p.jsonl", [pair(0)]), failing, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_an_empty_template_is_not_taken_for_the_models_own(base, tmp_path):
    (tmp_path / "empty.jinja").write_text("\n")
    with pytest.raises(UsageError, match=r"The chat template .*empty\.jinja is empty"):
        data = write_rows(tmp_path / "p.jsonl", [pair(0)])
        prepared(data, base, tmp_path / "out", chat_template=str(tmp_path / "empty.jinja"))


def test_the_template_that_was_given_is_not_overwritten(base, tmp_path):
    (tmp_path / "out").mkdir()
    given = tmp_path / "out" / "chat_template.jinja"
    given.write_text(CHATML)
    with pytest.raises(UsageError, match="--chat-template is in -o"):
        trained(write_rows(tmp_path / "p.jsonl", [pair(0)]), base, tmp_path / "out", chat_template=str(given))
    assert given.read_text() == CHATML


# Names of local models


def test_the_template_of_a_name_decides_which_replies_are_found(tiny_base, tmp_path):
    own = tmp_path / "own.jinja"
    own.write_text(CHATML)
    plain, filed, laid_out = (
        as_chat_model(f"hf:{tiny_base}{options}")
        for options in ("", f"?chat_template={own}", f"?layout=developer-as-system&dtype=float32&chat_template={own}")
    )
    assert len({json.dumps(model.fingerprint) for model in (plain, filed, laid_out)}) == 3
    assert files_of(filed.name) == [tiny_base, own]
    before = filed.fingerprint
    own.write_text(CHATML + "{# another #}")
    assert as_chat_model(filed.name).fingerprint != before


def test_requests_with_other_templates_are_answered_side_by_side(tiny_base, tmp_path):
    own = tmp_path / "own.jinja"
    own.write_text("In short:\n" + CHATML)
    names = [f"hf:{tiny_base}?dtype=float32", f"hf:{tiny_base}?dtype=float32&chat_template={own}"]
    counts = [replies(as_chat_model(name), [asked(max_tokens=4)])[0].prompt_tokens for name in names]
    assert counts[0] < counts[1]


def test_an_adapter_with_a_template_alone_is_asked_with_it(tiny_base, tiny_adapter, tmp_path):
    adapter = shutil.copytree(tiny_adapter, tmp_path / "adapter")
    (adapter / "chat_template.jinja").write_text("In short:\n" + CHATML)
    plain, own = (
        replies(as_chat_model(f"hf:{tiny_base}@{folder}"), [asked(max_tokens=4)])[0].prompt_tokens
        for folder in (tiny_adapter, adapter)
    )
    assert plain < own


@pytest.mark.parametrize("option", ["layout=", "layout=developers", "chat_template=", "chat_template=nowhere.jinja"])
def test_an_unknown_template_in_a_name_is_refused(option, tiny_base):
    with pytest.raises(UsageError):
        as_chat_model(f"hf:{tiny_base}?{option}")


TRIMS = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content CHANGE }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CODE = "  def f():\n      return 1"


def preflight_with(base, tmp_path, text):
    (tmp_path / "t.jinja").write_text(text)
    rows = [pair(number, chosen=[{"role": "assistant", "content": CODE}]) for number in range(12)]
    return prepared(
        write_rows(tmp_path / "prefs.jsonl", rows), base, tmp_path / "out", chat_template=str(tmp_path / "t.jinja")
    ).preflight


def test_blanks_around_a_reply_that_the_template_takes_out_are_noted(base, tmp_path):
    preflight = preflight_with(base, tmp_path, TRIMS.replace("CHANGE", "| trim"))
    assert any("blanks at the beginning or end of the replies of 12 rows" in note for note in preflight.notes)
    assert not any("blanks" in note for note in preflight_with(base, tmp_path, TRIMS.replace("CHANGE", "")).notes)


def test_blanks_within_a_reply_that_the_template_changes_are_refused(base, tmp_path):
    with pytest.raises(InputError, match="the chat template changes blanks within the reply"):
        preflight_with(base, tmp_path, TRIMS.replace("CHANGE", ".split() | join(' ')"))


def test_what_a_template_adds_of_its_own_is_said_and_a_date_above_all(base, tmp_path):
    added = "{{ '<|im_start|>system\nYou are Bo. ' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}"
    plan = preflight_with(base, tmp_path, added + TRIMS.replace("CHANGE", "")).plan
    assert plan["added"].startswith("You are Bo. ")
    assert "today's" in plan["date"]
    assert preflight_with(base, tmp_path, TRIMS.replace("CHANGE", "")).plan.keys().isdisjoint({"added", "date"})
