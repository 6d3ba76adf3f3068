"""A model and its adapter as folders: where they are, whether they belong together, what identifies them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collab_sdk.errors import MissingExtraError, UsageError
from collab_sdk.secrets import one_line
from collab_trl.chat_template import LAYOUTS, OWN, PACKAGED, ChatTemplate
from collab_trl.precision import AUTO, DTYPES
from collab_trl.pretrained import ADAPTER_CONFIG, check_adapter

SCHEME = "hf:"
DTYPE, CHAT_TEMPLATE, LAYOUT = "dtype", "chat_template", "layout"
"""The options that a name may end with, as in `hf:PATH?dtype=float32&layout=no-thinking`; a layout may be repeated."""
PARTS = ("*.safetensors", "*config.json", "tokenizer*", "chat_template*", "special_tokens_map.json", "vocab.*", "*.txt")
"""The files of a folder that decide what a model answers; never pickled weights."""
WHOLE = 64 * 2**20
"""Bytes. A larger file, which is weights, is identified by samples: training moves every one of them."""
SAMPLES, SAMPLE_BYTES = 64, 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A model's or adapter's folder, and the hash of what is in it."""

    path: Path
    content: str

    @classmethod
    def of(cls, path: Path) -> "Folder":
        path = path.resolve()  # a model that is named in two ways is loaded once
        return cls(path=path, content=content_hash(path))


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalFiles:
    """The folders of `hf:PATH[@ADAPTER][?OPTIONS]`, the precision, one of DTYPES, and the chat template asked for."""

    base: Folder
    adapter: Folder | None = None
    dtype: str = AUTO
    chat_template: ChatTemplate = OWN

    @classmethod
    def named(cls, spec: str) -> "LocalFiles":
        """From `hf:PATH`, `hf:PATH@ADAPTER`, or `hf:ADAPTER`, whose base is then the one it was trained on.

        PATH is a folder, or a name on the Hugging Face hub. Raises UsageError if one is not there, is no model, or the
        adapter was trained on another base, and for an option or precision that does not exist.
        """
        path, dtype, template = _with_options(spec.removeprefix(SCHEME))
        if not path.strip():
            raise UsageError(f"{spec!r} names no model: write hf:PATH or hf:PATH@ADAPTER.")
        base_name, adapter_name = _split(path)
        base = model_folder(base_name)
        if adapter_name is not None:
            adapter = _adapter_folder(Path(adapter_name).expanduser())
            check_base(adapter, base, base_name)
        elif (base / ADAPTER_CONFIG).is_file():
            adapter = _adapter_folder(base)
            base = model_folder(trained_on(adapter))
        else:
            return cls(base=Folder.of(base), dtype=dtype, chat_template=template)
        return cls(base=Folder.of(base), adapter=Folder.of(adapter), dtype=dtype, chat_template=template)


def model_folder(name: str) -> Path:
    """The folder of a model: `name` itself, or what the hub has under that name. Raises UsageError if there is none."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _from_hub(name)
    if not any((folder / config).is_file() for config in ("config.json", ADAPTER_CONFIG)):
        raise UsageError(f"{name} is not a model: it has no config.json. Give the folder that save_pretrained() wrote.")
    return folder


def content_hash(folder: Path) -> str:
    """Of everything in a model's or adapter's folder that decides what it answers; other files, and its place, do not.

    Weights are read in samples, so this takes milliseconds, and yet a model that was trained again gets another hash.
    """
    digest = hashlib.sha256()
    for file in sorted({file for pattern in PARTS for file in folder.glob(pattern)}):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        for piece in _pieces(file):
            digest.update(piece)
    return digest.hexdigest()[:16]


def trained_on(adapter: Path) -> str:
    """The base that an adapter names as its own. Raises UsageError if it names none."""
    try:
        config: Any = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        base = config["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str) or not base:
        raise UsageError(f"{adapter} is not an adapter: it has no adapter_config.json that names a base model.")
    return base


def check_base(adapter: Path, base: Path, base_name: str) -> None:
    """Raises UsageError for an adapter that was trained on another base."""
    trained = trained_on(adapter)
    if trained == base_name or f"models--{trained.replace('/', '--')}" in base.parts:
        return
    folder = Path(trained).expanduser()
    if folder.is_dir() and (folder.samefile(base) or content_hash(folder) == content_hash(base)):
        return
    raise UsageError(
        f"The adapter {adapter} was trained on {trained}, not on {base_name}; on another base it answers nonsense. "
        "If it is the same model in another place, correct base_model_name_or_path in its adapter_config.json."
    )


def _with_options(path: str) -> tuple[str, str, ChatTemplate]:
    """The path without its options, the precision, and the chat template. A folder may have a `?` in its name."""
    bare, mark, asked = path.rpartition("?")
    if not mark or Path(path).expanduser().is_dir():
        return path, AUTO, OWN
    given: dict[str, list[str]] = {}
    for option in asked.split("&"):
        name, _, value = option.partition("=")
        given.setdefault(name, []).append(value)
    dtype, source = given.get(DTYPE, [AUTO])[-1], given.get(CHAT_TEMPLATE, [None])[-1]
    if not given.keys() <= {DTYPE, CHAT_TEMPLATE, LAYOUT} or dtype not in DTYPES or source == "":
        raise UsageError(
            f"{SCHEME}{path} ends with an unknown option: write ?{DTYPE}= and one of {', '.join(DTYPES)}, "
            f"{CHAT_TEMPLATE}= and a file or {PACKAGED}NAME, or {LAYOUT}= and one of {', '.join(LAYOUTS)}; with & in "
            "between."
        )
    return bare, dtype, ChatTemplate.named(source, given.get(LAYOUT, []))


def _split(path: str) -> tuple[str, str | None]:
    """PATH and ADAPTER. A folder may have an `@` in its name: the split that finds both folders is taken."""
    if "@" not in path or Path(path).expanduser().is_dir():
        return path, None
    places = [place for place, character in enumerate(path) if character == "@"]
    splits = [(path[:place], path[place + 1 :]) for place in reversed(places)]
    there = (split for split in splits if all(Path(part).expanduser().is_dir() for part in split))
    return next(there, splits[0])


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        raise MissingExtraError.of("Local models (hf:) need transformers", "train") from None
    try:
        return Path(snapshot_download(name, allow_patterns=[*PARTS, "*.json"]))
    except HFValidationError:
        raise UsageError(f"There is no folder {name}, and a model on the hub cannot have that name.") from None
    except Exception as error:  # of many types, not all of them its own
        reason = one_line(str(error), 160)
        raise UsageError(f"There is no folder {name}, and the Hugging Face hub does not give it: {reason}") from error


def _adapter_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"There is no adapter at {folder}.")
    trained_on(folder)
    check_adapter(folder)
    return folder


def _pieces(file: Path) -> Iterator[bytes]:
    size = file.stat().st_size
    with file.open("rb") as content:
        if size <= WHOLE:
            yield content.read()
            return
        for sample in range(SAMPLES):  # the first holds the names and shapes of the tensors
            content.seek(sample * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            yield content.read(SAMPLE_BYTES)
