"""The commands that serve an adapter."""

import shlex
from pathlib import Path

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for --max-lora-rank."""


def serving_commands(*, base: str, output: Path, rank: int) -> dict[str, str]:
    """By server. Paths are absolute, as the server is rarely started from here."""
    adapter = output.resolve()
    vllm_rank = next((allowed for allowed in VLLM_RANKS if allowed >= rank), VLLM_RANKS[-1])
    return {
        "vLLM": f"vllm serve {shlex.quote(base)} --enable-lora --max-lora-rank {vllm_rank} "
        f"--lora-modules {shlex.quote(f'{adapter.name}={adapter}')}",
        "in process": shlex.join(["collab", "score", "LOGS", "--assistant", f"hf:{base}@{adapter}"]),
    }


def merged_command(folder: Path) -> dict[str, str]:
    return {"vLLM, merged": f"vllm serve {shlex.quote(str(folder.resolve()))}"}


def gguf_commands(*, base: str, output: Path) -> str:
    """llama.cpp's own converter does it; it wants the base as a folder, for its shape alone."""
    adapter = shlex.quote(str(output.resolve()))
    return (
        f"python convert_lora_to_gguf.py {adapter} --base {shlex.quote(base)} --outfile adapter.gguf\n"
        "llama-server -m base.gguf --lora adapter.gguf"
    )
