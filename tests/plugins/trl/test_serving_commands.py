"""The commands that serve an adapter: read as the servers' own parsers read them."""

import argparse
import json
import shlex
from pathlib import Path

import pytest
from support.training import write_base

pytestmark = pytest.mark.slow
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
PLAIN = ("q_proj", "down_proj")


def adapters(item, names):
    """As vLLM and SGLang take one: NAME=PATH, but JSON where it is some."""
    if item.startswith("{"):
        row = json.loads(item)
        return tuple(row[name] for name in names)
    assert "," not in item, "vLLM takes whatever has a comma for JSON"
    return tuple(item.split("=", 1))


def parsed(command, *flags, **options):
    """A command as a shell and argparse take it, without the program's name and subcommand."""
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    parser.add_argument("words", nargs="*")
    for flag in flags:
        parser.add_argument(flag, **options.get(flag, {}))
    return parser.parse_args(shlex.split(command, comments=True))


def vllm(command):
    rank = {"type": int, "choices": RANKS}
    switch = {"action": "store_true"}
    options = {"--max-lora-rank": rank, "--enable-lora": switch}
    return parsed(command, "--max-lora-rank", "--enable-lora", "--lora-modules", "--chat-template", **options)


def sglang(command):
    return parsed(
        command,
        "--model-path",
        "--enable-lora",
        "--lora-paths",
        "--chat-template",
        **{"--enable-lora": {"action": "store_true"}},
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("a base") / "with blanks")


def commands(base, output, *, rank=32, targets=PLAIN, template=None):
    from collab_trl.base import read_base
    from collab_trl.output.serving import serving_commands

    read = read_base(str(base))
    if template is not None:
        read.tokenizer.chat_template = template
    return serving_commands(read, output, rank=rank, targets=targets)


@pytest.mark.parametrize(("rank", "taken"), [(1, 1), (2, 8), (8, 8), (9, 16), (100, 128), (300, 320), (321, 512)])
def test_vllm_gets_the_least_rank_of_those_it_takes(base, tmp_path, rank, taken):
    assert vllm(commands(base, tmp_path / "out", rank=rank)["vLLM"]).max_lora_rank == taken


def test_servers_that_would_not_take_the_adapter_are_left_out(base, tmp_path):
    assert set(commands(base, tmp_path / "out", rank=513)) == {"SGLang", "llama.cpp", "in process"}
    assert set(commands(base, tmp_path / "out", targets=("c_attn",))) == {"vLLM", "llama.cpp", "in process"}


@pytest.mark.parametrize("name", ["out", "an adapter", "a=b", "one, two", "it's"])
def test_any_name_of_a_folder_comes_through(base, tmp_path, name):
    served = commands(base, tmp_path / name)
    of_vllm, of_sglang = vllm(served["vLLM"]), sglang(served["SGLang"])
    assert of_vllm.words == ["vllm", "serve", str(base)]
    assert adapters(of_vllm.lora_modules, ("name", "path")) == (name, str(tmp_path / name))
    assert of_vllm.enable_lora
    assert of_sglang.model_path == str(base)
    assert adapters(of_sglang.lora_paths, ("lora_name", "lora_path")) == (name, str(tmp_path / name))
    assert shlex.split(served["in process"])[4] == f"hf:{base}@{tmp_path / name}"


def test_a_template_of_its_own_is_given_to_every_server(base, tmp_path):
    plain, own = commands(base, tmp_path / "out"), commands(base, tmp_path / "out", template="{{ messages }}")
    assert not any("--chat-template" in command for command in plain.values()), "the servers read the base's"
    template = str(tmp_path / "out" / "chat_template.jinja")
    assert vllm(own["vLLM"]).chat_template == template
    assert sglang(own["SGLang"]).chat_template == template
    assert own["llama.cpp"].endswith(f"--jinja --chat-template-file {template}")


def test_the_recipe_for_llama_cpp_makes_what_its_server_is_given(base, tmp_path):
    convert, convert_adapter, serve = map(shlex.split, commands(base, tmp_path / "out")["llama.cpp"].splitlines())
    assert convert == ["python", "convert_hf_to_gguf.py", str(base), "--outfile", "base.gguf"]
    adapter = [str(tmp_path / "out"), "--base", str(base), "--outfile", "adapter.gguf"]
    assert convert_adapter == ["python", "convert_lora_to_gguf.py", *adapter]
    assert serve == ["llama-server", "-m", "base.gguf", "--lora", "adapter.gguf", "--jinja"]


def test_a_base_on_the_hub_is_downloaded_for_llama_cpp(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from dataclasses import replace

    from collab_trl.base import read_base
    from collab_trl.output import serving

    monkeypatch.setattr(serving, "read_tokenizer", lambda name: read_base(str(base)).tokenizer)
    on_hub = replace(read_base(str(base)), name="someone/a-base")
    served = serving.serving_commands(on_hub, tmp_path / "out", rank=8, targets=PLAIN)["llama.cpp"].splitlines()
    assert served[0] == "hf download someone/a-base --local-dir base"
    assert served[1] == "python convert_hf_to_gguf.py base --outfile base.gguf"
    assert "--base base " in served[2]
