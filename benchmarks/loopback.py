"""An OpenAI-compatible chat endpoint on 127.0.0.1, in a process of its own so that its CPU is not the client's.

    python benchmarks/loopback.py [--port 8000] [--median 0.3] [--sigma 0.5] [--seed 0] [--rate 50 [--burst 10]]
        [--prefill 0.025 [--remembers 400000]]

Latency is lognormal. With `--rate`, requests beyond a token bucket get 429. Replies are made from a hash of the request
and of how often it was seen. Each carries, as `~123ms`, the longest chain of latencies that led to it: whatever a
request quotes had to be waited for. A request with `"stream": true` gets its reply piece by piece. With `--prefill`,
prompts are read one at a time, but not again what they have in common with an earlier one that is remembered, as vLLM's
prefix cache does, in blocks. `GET /stats` counts everything. `launch.py` starts one from a benchmark.
"""

import argparse
import asyncio
import hashlib
import json
import math
import random
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any

from replies import chunks, completion

BLOCK = 64
"""Characters, about 16 tokens."""
STREAMED = re.compile(rb'"stream": ?true')
BETWEEN = 0.001
"""Seconds between the pieces of a stream."""
REFUSAL = b'{"error":{"message":"Rate limit reached for requests","type":"requests","code":"rate_limit_exceeded"}}'


class Endpoint:
    """What all connections share: the latency, the bucket, the counts."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.draw = random.Random(options.seed)
        self.burst = options.burst or max(1.0, options.rate / 5)
        self.tokens, self.filled = self.burst, time.monotonic()
        self.seen: Counter[bytes] = Counter()
        self.first = self.last = 0.0
        self.in_flight = self.peak = self.chain = 0
        self.counts: Counter[str] = Counter(calls=0, refused=0)
        self.blocks: OrderedDict[bytes, None] = OrderedDict()
        self.reading_until = 0.0

    def admit(self) -> bool:
        now = time.monotonic()
        self.first = self.first or now
        if not self.options.rate:
            return True
        self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.options.rate)
        self.filled = now
        admitted = self.tokens >= 1
        self.tokens -= admitted
        return admitted

    def reply(self, body: bytes) -> tuple[bytes, float]:
        latency = self.draw.lognormvariate(math.log(self.options.median), self.options.sigma)
        digest = hashlib.blake2b(body, digest_size=28).digest()
        self.seen[digest] += 1  # the same request again is another draw
        digest = hashlib.blake2b(digest + self.seen[digest].to_bytes(4), digest_size=28).digest()
        milliseconds = round(latency * 1000)
        reply, chain, prompt_tokens, completion_tokens = completion(body, digest, milliseconds)
        self.in_flight += 1
        self.chain = max(self.chain, chain)
        self.peak = max(self.peak, self.in_flight)
        counts = self.counts
        counts["calls"] += 1
        counts["latency_ms"] += milliseconds
        counts["prompt_tokens"] += prompt_tokens
        counts["completion_tokens"] += completion_tokens
        return reply, latency

    def prefill(self, body: bytes) -> float:
        """Seconds until the prompt is read, behind those that came before it."""
        if not self.options.prefill:
            return 0.0
        text = "\0".join(message["role"] + message["content"] for message in json.loads(body)["messages"])
        digest, new = b"", 0
        for start in range(0, len(text), BLOCK):
            digest = hashlib.blake2b(digest + text[start : start + BLOCK].encode(), digest_size=8).digest()
            new += digest not in self.blocks
            self.blocks[digest] = None
            self.blocks.move_to_end(digest)
        while len(self.blocks) * BLOCK > self.options.remembers:
            self.blocks.popitem(last=False)
        self.counts["characters"] += len(text)
        self.counts["characters read"] += new * BLOCK
        now = time.monotonic()
        self.reading_until = max(now, self.reading_until) + new * BLOCK / 1000 * self.options.prefill
        return self.reading_until - now

    def stats(self) -> dict[str, float]:
        seconds, span = self.counts["latency_ms"] / 1000, self.last - self.first
        return {
            **self.counts,
            "latency_s": seconds,
            "longest_chain_s": self.chain / 1000,
            "span_s": span,
            "in_flight_mean": seconds / span if span else 0.0,
            "in_flight_peak": self.peak,
            "cpu_s": time.process_time(),
        }


class Connection(asyncio.Protocol):
    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"content-length: *(\d+)", self.buffer[:end].lower())
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                return
            request, self.buffer = self.buffer[:total], self.buffer[total:]
            self.answer(request[:end], request[end + 4 :])

    def answer(self, head: bytes, body: bytes) -> None:
        endpoint = self.endpoint
        if head.startswith(b"GET"):
            self.send(b"200 OK", json.dumps(endpoint.stats()).encode())
        elif endpoint.admit():
            reply, latency = endpoint.reply(body)
            finish = self.stream if STREAMED.search(body) else self.finish
            asyncio.get_running_loop().call_later(latency + endpoint.prefill(body), finish, reply)
        else:
            endpoint.counts["refused"] += 1
            # The header has whole seconds (RFC 9110, 10.2.3).
            wait = b"Retry-After: %d\r\n" % math.ceil(1 / endpoint.options.rate)
            self.send(b"429 Too Many Requests", REFUSAL, wait if endpoint.options.retry_after else b"")

    def finish(self, reply: bytes) -> None:
        self.endpoint.in_flight -= 1
        self.endpoint.last = time.monotonic()
        self.send(b"200 OK", reply)

    def stream(self, reply: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.transport.write(head)
        self.stream_on(iter(chunks(reply)))

    def stream_on(self, events: Iterator[bytes]) -> None:
        event = next(events, b"")
        self.transport.write(b"%x\r\n%s\r\n" % (len(event), event))
        if event:
            asyncio.get_running_loop().call_later(BETWEEN, self.stream_on, events)
        else:
            self.endpoint.in_flight -= 1
            self.endpoint.last = time.monotonic()

    def send(self, status: bytes, body: bytes, headers: bytes = b"") -> None:
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, headers, len(body)) + body)


async def serve(options: argparse.Namespace) -> None:
    endpoint = Endpoint(options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(endpoint), "127.0.0.1", options.port, backlog=1024)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--median", type=float, default=0.3, help="latency, seconds")
    parser.add_argument("--sigma", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: no limit")
    parser.add_argument("--burst", type=float, default=0.0, help="default: a fifth of a second's worth")
    parser.add_argument("--retry-after", action="store_true")
    parser.add_argument("--prefill", type=float, default=0.0, help="seconds to read 1,000 characters; 0: at once")
    parser.add_argument("--remembers", type=int, default=400_000, help="characters of prompts, the last used")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
