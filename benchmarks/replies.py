"""What the loopback endpoint says: text from a hash, in the form that each prompt asks for."""

import json
import re
from collections.abc import Iterator

SYLLABLES = "ba be bi bo bu da de di do du la le li lo lu ra".split()
WORDS = [start + end for start in SYLLABLES for end in "ken mor nal pet".split()] * 4
"""One for each value of a byte."""
PIECE = re.compile(r"(?:\S+\s*){1,4}")
CHAIN = re.compile(rb"~(\d+)ms")
COMPLETION = (
    '{"id":"x","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
    '"message":{"role":"assistant","content":%s}}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}'
)
USER, PEER_USER = b"You play a human user", b"role-playing as a human USER"
JUDGE, PEER_JUDGE, PEER_PROACTIVE = b"You judge a conversation", b"from 0 to 1, as JSON", b"current_problem"


def completion(body: bytes, digest: bytes, latency_ms: int) -> tuple[bytes, int, int, int]:
    """A chat completion, its chain of latencies in ms, its prompt tokens and its own (a token is four bytes)."""
    chain = latency_ms + max(map(int, CHAIN.findall(body)), default=0)
    words = 10 if USER in body or PEER_USER in body else 28
    text = f"{' '.join(WORDS[byte] for byte in digest[:words])} ~{chain}ms"
    said = json.dumps(_in_form(body, text, digest[0] / 255))
    prompt, completion = len(body) // 4, len(said) // 4
    return (COMPLETION % (said, prompt, completion, prompt + completion)).encode(), chain, prompt, completion


def chunks(reply: bytes) -> Iterator[bytes]:
    """A completion as the events of a stream, a few words each."""
    whole = json.loads(reply)
    pieces = PIECE.findall(whole["choices"][0]["message"]["content"])
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces), {}]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        event = {"id": whole["id"], "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        yield b"data: %s\n\n" % json.dumps(event).encode()
    yield b"data: [DONE]\n\n"


def _in_form(body: bytes, text: str, mark: float) -> str:
    if USER in body:
        return json.dumps({"reason": "so far so good", "done": False, "message": text})
    if PEER_USER in body:
        return json.dumps({"current_answer": "some", "thought": "more is missing", "response": text})
    if JUDGE in body:
        return json.dumps({"interactivity": {"reason": text, "score": mark}})
    if PEER_JUDGE in body:
        return json.dumps({"thought": text, "interactivity": mark})
    if PEER_PROACTIVE in body:
        return json.dumps({"current_problem": "some", "thought": "ask", "response": text})
    return text
