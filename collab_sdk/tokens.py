"""Counting tokens with a real tokenizer, the same for every model so that numbers compare: cl100k_base."""

import importlib.util
import os
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

__all__ = ["count_tokens"]


@lru_cache(maxsize=8192)
def count_tokens(text: str) -> int:
    """Tokens in `text`; markup that looks like a special token counts as the plain text it is."""
    return len(_encoding().encode_ordinary(text))


@cache
def _encoding() -> "Encoding":
    # LiteLLM ships the vocabulary, so that nothing has to be downloaded; finding it does not import LiteLLM.
    spec = importlib.util.find_spec("litellm")
    if spec is not None and spec.origin is not None:
        shipped = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(shipped))
    import tiktoken

    return tiktoken.get_encoding("cl100k_base")
