"""Counting tokens with a real tokenizer, the same for every model so that numbers compare: cl100k_base."""

from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

__all__ = ["count_tokens"]

PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)
"""Where cl100k_base splits a text before it looks for tokens, as tiktoken defines it."""


@lru_cache(maxsize=8192)
def count_tokens(text: str) -> int:
    """Tokens in `text`; markup that looks like a special token counts as the plain text it is."""
    return len(_encoding().encode_ordinary(text))


@cache
def _encoding() -> "Encoding":
    # `tiktoken.get_encoding` would download the table, and keep it in a folder that the environment names.
    import gzip
    from binascii import a2b_base64

    from tiktoken import Encoding

    table = gzip.decompress(Path(__file__).with_name("cl100k_base.txt.gz").read_bytes())
    ranks = {token: rank for rank, token in enumerate(map(a2b_base64, table.splitlines()))}
    return Encoding("cl100k_base", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
