"""The commands that serve what was trained, in the form that the servers' argument parsers take.

Checked against vLLM 0.33, SGLang 0.5.23, and llama.cpp's converters and server.
"""

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from collab_sdk.training import ASSISTANT, USER
from collab_trl.base import Base
from collab_trl.chat_template import TEMPLATE_FILE
from collab_trl.pretrained import read_tokenizer

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for --max-lora-rank."""
SGLANG_TARGETS = frozenset("q_proj k_proj v_proj o_proj gate_proj up_proj down_proj qkv_proj gate_up_proj".split())
"""The linear layers of a plain transformer that SGLang puts adapters on."""
FLOAT32 = "float32"
SERVERS = ("vLLM", "SGLang", "llama.cpp", "in process")


def serving_commands(
    base: Base, output: Path, *, rank: int, targets: Iterable[str], role: str = ASSISTANT
) -> dict[str, str]:
    """By server, a command a line. vLLM and SGLang are left out where they would not take the adapter."""
    own_template = base.tokenizer.chat_template != read_tokenizer(base.name).chat_template
    adapter = _Adapter(base=base.name, folder=output.resolve(), rank=rank, own_template=own_template, role=role)
    commands = (
        adapter.for_vllm() if rank <= VLLM_RANKS[-1] else "",
        adapter.for_sglang() if SGLANG_TARGETS.issuperset(targets) else "",
        adapter.for_llama_cpp(),
        adapter.in_process(),
    )
    return {server: command for server, command in zip(SERVERS, commands, strict=True) if command}


def merged_commands(folder: Path, *, dtype: str, role: str = ASSISTANT) -> dict[str, str]:
    """The same for a whole model, whose folder has its template.

    Left to themselves, servers load float32 in 16 bits, and lose what it was written for.
    """
    path = str(folder.resolve())
    vllm, bot = ["vllm", "serve", path], f"hf:{path}"
    if dtype == FLOAT32:
        vllm, bot = [*vllm, "--dtype", FLOAT32], f"{bot}?dtype={FLOAT32}"
    return {
        "vLLM, merged": shlex.join(vllm),
        "in process, merged": _in_process(bot, role),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Adapter:
    """Paths are absolute, as the server is rarely started from here."""

    base: str
    folder: Path
    rank: int
    own_template: bool
    """Whether it was trained with another template than the base's, by which servers would lay out chats."""
    role: str
    """Who was learnt: an assistant, or a user, who is given to --simulator."""

    @property
    def name(self) -> str:
        return self.folder.name

    def for_vllm(self) -> str:
        rank = next(allowed for allowed in VLLM_RANKS if allowed >= self.rank)
        lora = ["--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", self._named("name", "path")]
        command = ["vllm", "serve", self.base, *lora, *self._template("--chat-template")]
        return f"{shlex.join(command)}  # {self._called(self.name)}"

    def for_sglang(self) -> str:
        lora = ["--enable-lora", "--lora-paths", self._named("lora_name", "lora_path")]
        command = ["sglang", "serve", "--model-path", self.base, *lora, *self._template("--chat-template")]
        return f"{shlex.join(command)}  # {self._called(f'{self.base}:{self.name}')}"

    def for_llama_cpp(self) -> str:
        """From its folder. The converters take the base as a folder, and the GGUF holds the base's template."""
        is_local = Path(self.base).is_dir()
        folder = self.base if is_local else "base"
        convert = ["python", "convert_lora_to_gguf.py", str(self.folder), "--base", folder, "--outfile", "adapter.gguf"]
        steps = [
            [] if is_local else ["hf", "download", self.base, "--local-dir", folder],
            ["python", "convert_hf_to_gguf.py", folder, "--outfile", "base.gguf"],
            convert,
            [*"llama-server -m base.gguf --lora adapter.gguf --jinja".split(), *self._template("--chat-template-file")],
        ]
        return "\n".join(shlex.join(step) for step in steps if step)

    def in_process(self) -> str:
        return _in_process(f"hf:{self.base}@{self.folder}", self.role)

    def _called(self, model: str) -> str:
        if self.role == USER:
            return f"--simulator {shlex.quote(f'plain:openai/{model}')} --simulator-api-base URL"
        return f"as model {model!r}"

    def _named(self, *keys: str) -> str:
        """NAME=PATH, or JSON under `keys` where there is a character that would end the name, or tell of several."""
        plain = f"{self.name}={self.folder}"
        if plain.count("=") == 1 and "," not in plain:
            return plain
        return json.dumps(dict(zip(keys, (self.name, str(self.folder)), strict=True)))

    def _template(self, flag: str) -> list[str]:
        return [flag, str(self.folder / TEMPLATE_FILE)] if self.own_template else []


def _in_process(model: str, role: str) -> str:
    """The commands that take it: a user is compared with real ones first, and then plays them."""
    if role == USER:
        user = ["--simulator", f"plain:{model}", "--model", "MODEL"]
        check = ["collab", "check-sim", "LOGS", *user, "--window", "0"]
        return "\n".join(
            map(shlex.join, (check, ["collab", "export-prefs", "LOGS", "-a", "BOT", *user, "-o", "PREFS"]))
        )
    return shlex.join(["collab", "score", "LOGS", "--assistant", model, "--simulator", "MODEL"])
