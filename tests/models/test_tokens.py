"""Tokens are counted with cl100k_base as OpenAI publishes it, from a table that comes with the package."""

import base64
import gzip
import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import collab_sdk.tokens
from collab_sdk.offline import sample_chats_path
from collab_sdk.tokens import PATTERN, count_tokens, english_tokens

SAME = {
    "English": "Optimism is more than a mood. It changes how people act when things go wrong.",
    "Russian": "Оптимизм — это больше, чем настроение. Он меняет поведение людей, когда дела идут плохо.",
    "Hindi": "आशावाद एक मनोदशा से बढ़कर है। यह बदल देता है कि चीजें गलत होने पर लोग कैसे व्यवहार करते हैं।",
    "Arabic": "التفاؤل أكثر من مجرد مزاج. إنه يغير كيف يتصرف الناس عندما تسوء الأمور.",
    "Thai": "การมองโลกในแง่ดีเป็นมากกว่าอารมณ์ มันเปลี่ยนวิธีที่ผู้คนปฏิบัติเมื่อสิ่งต่างๆ ผิดพลาด",
    "Korean": "낙관주의는 단순한 기분 이상의 것이다. 일이 잘못될 때 사람들이 어떻게 행동하는지를 바꾼다.",
    "Japanese": "楽観主義は単なる気分ではありません。うまくいかないときに人がどう行動するかを変えます。",
    "Chinese": "乐观不仅仅是一种心情。它会改变人们在遇到挫折时的行为方式。",
}


@pytest.mark.parametrize("language", SAME)
def test_the_same_sentence_costs_about_the_same_in_every_script(language):
    assert 0.7 <= english_tokens(SAME[language]) / count_tokens(SAME["English"]) <= 1.6


@pytest.mark.parametrize("text", ["", "Hello, world!", "def f(x):\n    return x ** 2\n", "1234567"])
def test_ascii_costs_its_tokens(text):
    assert english_tokens(text) == count_tokens(text)


CODE = "".join(f"def f{n}(x):\n{'    ' * (1 + n % 3)}return x\n\n\n" for n in range(10))


@pytest.mark.parametrize("text", [CODE, "a\n\n\n\n  b\t\tc", "| a   | b   |\n| --- | --- |\n"])
@pytest.mark.parametrize("word", ["é", "naïve", "—", "“quoted”", "字", "привет"])
def test_a_foreign_word_leaves_what_stands_beside_it_at_its_cost(text, word):
    assert english_tokens(f"{text} {word}") >= count_tokens(text)
    for place in [n for n, character in enumerate(text) if character.isspace()]:
        assert english_tokens(f"{text[:place]} {word}{text[place:]}") >= count_tokens(text)


@pytest.mark.parametrize("text", ["\ud800", "👩\u200d💻🙂", "\u0301" * 10, "e\u0301", "\U0010ffff", "１２３"])
def test_any_text_has_a_cost(text):
    assert english_tokens(text) >= 0


TABLE = Path(collab_sdk.tokens.__file__).with_name("cl100k_base.txt.gz")
PUBLISHED = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
"""SHA-256 of OpenAI's file, as tiktoken checks it."""
RANDOM, SAMPLES = 95695, 2664
"""What `tiktoken.get_encoding("cl100k_base")` counts in the texts below."""


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("Hello, world!", 4),
        ("<|endoftext|>", 7),
        ("<|im_start|>user\n", 8),
        ("don't WON'T they'll", 6),
        ("  two  spaces\n\n\n", 5),
        ("1234567", 3),
        ("日本語のテキスト", 8),
        ("👩\u200d💻🙂", 9),
        ("Straße, naïve", 5),
        ("def f(x):\n    return x ** 2\n", 11),
        ("\ud800", 1),
        ("\x00\x01", 2),
        ("a" * 1000, 125),
        (" \t\r\n ", 3),
        ("Ünïcödé ǆ ſ", 12),
        ("ﷺ", 3),
    ],
)
def test_a_text_has_as_many_tokens_as_ever(text, tokens):
    assert count_tokens(text) == tokens


def random_texts() -> Iterator[str]:
    draw = random.Random(0)  # of its methods, only `random` draws the same in every version of Python
    alphabets = [
        "abcdefghij ",
        "0123456789 .,",
        "äöüßéèñç ",
        "你好世界日本語 ",
        "🙂🎉👩\u200d💻é",
        " \n\t\r",
        "<|>endoftext",
    ]
    for _ in range(400):
        yield "".join(chr(int(draw.random() * 0x110000)) for _ in range(40))
        mixed = (alphabets[int(draw.random() * len(alphabets))] for _ in range(80))
        yield "".join(letters[int(draw.random() * len(letters))] for letters in mixed)


def test_a_text_of_one_long_word_is_estimated_in_time_by_its_length():
    assert english_tokens("x" * 300_000) > 10_000  # in quadratic time this takes half an hour


def test_many_texts_have_as_many_tokens_as_ever():
    assert sum(map(count_tokens, random_texts())) == RANDOM
    assert sum(map(count_tokens, sample_chats_path().read_text(encoding="utf-8").splitlines())) == SAMPLES


def test_the_table_is_the_published_one():
    tokens = gzip.decompress(TABLE.read_bytes()).splitlines()
    published = b"".join(b"%s %d\n" % (token, rank) for rank, token in enumerate(tokens))
    assert hashlib.sha256(published).hexdigest() == PUBLISHED


def test_texts_are_split_and_encoded_as_tiktoken_defines_it(monkeypatch):
    from tiktoken_ext import openai_public

    ranks = {base64.b64decode(token): rank for rank, token in enumerate(gzip.decompress(TABLE.read_bytes()).split())}
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda url, *, expected_hash: ranks)
    defined = openai_public.cl100k_base()
    assert defined["pat_str"] == PATTERN


def test_counting_needs_no_network_no_variable_and_no_folder(tmp_path):
    script = """
import os, socket
before = dict(os.environ)
def refuse(*_, **__): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from collab_sdk.tokens import count_tokens
assert count_tokens("Hello, world!") == 4
assert dict(os.environ) == before
"""
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", script], check=True, env=home, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
