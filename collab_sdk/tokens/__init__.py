"""Counting tokens with a real tokenizer, the same for every model so that numbers compare: cl100k_base."""

import re
import unicodedata
from bisect import bisect
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

__all__ = ["count_tokens", "english_tokens"]

PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)
"""Where cl100k_base splits a text before it looks for tokens, as tiktoken defines it."""

FOREIGN = re.compile(r" ?(?<![A-Za-z])[A-Za-z]*+[^\x00-\x7f](?:[A-Za-z]|[^\x00-\x7f])*")
"""A word that is not in ASCII, with what is written around it and the space before it, which belongs to its token."""
ALPHABET = 0.24
SCRIPTS = (
    *((0x0590, 0.3), (0x0900, ALPHABET), (0x0B80, 0.15), (0x0C00, ALPHABET), (0x1000, 0.15)),  # Hebrew, Arabic; Tamil
    *((0x10A0, ALPHABET), (0x1200, 0.4), (0x13A0, ALPHABET), (0x1780, 0.15), (0x1800, ALPHABET)),  # Burmese, Amharic
    *((0x2E80, 0.85), (0x3040, 0.25), (0x3100, 0.85), (0xA000, ALPHABET), (0xAC00, 0.5), (0xD7B0, ALPHABET)),  # CJK
    *((0xF900, 0.85), (0xFB00, 0.3), (0xFF00, 0.25), (0x10000, ALPHABET), (0x20000, 0.85)),
)
"""Where a script begins, and how many tokens its letter is worth: English tokens per letter of the Universal
Declaration of Human Rights, article 1 (`benchmarks/token_costs.py`)."""
STARTS = [start for start, _ in SCRIPTS]


@lru_cache(maxsize=8192)
def english_tokens(text: str) -> int:
    """About as many tokens as the text would have in English, so that people in all languages are told as much for one.

    ASCII is counted as it is, beside other words too. Letters of other scripts are weighed: cl100k_base cuts Hindi into
    five times as many tokens as English that says the same, and Burmese into fifteen times as many.
    """
    if text.isascii():
        return count_tokens(text)
    worth = 0.0

    def weigh(word: re.Match[str]) -> str:
        nonlocal worth
        letters = [each for each in word[0] if unicodedata.category(each)[0] in "LM"]
        worth += sum(SCRIPTS[place - 1][1] if (place := bisect(STARTS, ord(each))) else ALPHABET for each in letters)
        kinds = [(each, unicodedata.category(each)[0]) for each in word[0]]
        rest = "".join("," if kind == "P" else each for each, kind in kinds if kind not in "LM")
        return rest if rest.strip(" ") else ""

    rest = count_tokens(FOREIGN.sub(weigh, text))
    return rest + round(worth)


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
