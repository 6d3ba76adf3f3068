"""The job of benchmarks/job.py as collabllm 0.0.8 does it. Run by benchmarks/peer.py in the peer's own environment.

    benchmarks/.peer-venv/bin/python benchmarks/peer_job.py API_BASE [--chats 16] [--at-once 8]

Run as its `scripts/engine/build_dataset.py` does, 8 chats at once by default, with threads enough for every sample and
the provider that costs LiteLLM least CPU. The judge is a metric of one call, which the peer leaves to its users to
write. Prints JSON like job.py.
"""

import argparse
import json
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import litellm
from collabllm.metric import BaseMetric, SingleTurnOrChatMetric
from collabllm.synthetic import generate_multiturn_dataset
from collabllm.utils.extract_json_reliable import extract_json

TOPICS = "a speech for my sister's wedding|a week in Lisbon with two children|a cover letter for a lab job".split("|")
JUDGE = """You judge how well an AI assistant works with a user.

The conversation:
{chat}

Judge the collaboration of the assistant, the conversation as a whole: 1 where it found out what it had to know with few
concrete questions, took up what the user said and wasted no effort; 0.5 where it answered and the user had to mend what
was missing; 0 where it ignored the user. Answer from 0 to 1, as JSON: {{"thought": "...", "interactivity": 0.0}}"""


@SingleTurnOrChatMetric.register_metric("interactivity")
class Interactivity(BaseMetric):
    def __init__(self, **llm_kwargs):
        self.llm_kwargs = {"temperature": 0.0, **llm_kwargs}

    def score(self, prompt, groundtruth, completion, messages=None, metadata=None):
        chat = "\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)
        asked = [{"role": "user", "content": JUDGE.format(chat=chat)}]
        said = litellm.completion(**self.llm_kwargs, messages=asked, num_retries=1).choices[0].message.content
        return float(extract_json(said)["interactivity"])


def generate(api_base: str, number: int) -> dict:
    model = {"model": "hosted_vllm/bench", "api_base": api_base}
    return generate_multiturn_dataset(
        task_desc="document editing",
        single_turn_prompt=f"{TOPICS[number % len(TOPICS)]}, about 400 words, warm, not formal, number {number}",
        single_turn_completion="a text",
        single_turn_metadata={},
        metric_names=["interactivity"],
        user_generation_kwargs=model,
        assistant_generation_kwargs={**model, "temperature": 0.8},
        reward_generation_kwargs=model,
        num_candidate_responses=3,
        max_total_turns=8,  # messages: 4 by the assistant
        max_new_turns=4,  # messages: a window of 2 exchanges
        num_samples=3,
        add_system_prompt_ratio=0,  # the default of its build_dataset.py
        max_workers=16,
        max_metric_workers=16,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("api_base")
    parser.add_argument("--chats", type=int, default=16)
    parser.add_argument("--at-once", type=int, default=8, help="its max_gen_workers")
    options = parser.parse_args()

    started, cpu = time.perf_counter(), time.process_time()
    done = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.at_once) as pool:
        for future in as_completed(pool.submit(generate, options.api_base, number) for number in range(options.chats)):
            done.append(future.result())
            Path(folder, "multiturn.json").write_text(json.dumps(done, indent=2))  # as its script does after every chat
    report = {
        "job_s": time.perf_counter() - started,
        "job_cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "lost": 0,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
