"""From preference pairs to a LoRA adapter, whether it is better than its base, and how to serve it.

pip install 'collab-sdk[train]'
collab export-prefs chats.jsonl --model openai/gpt-4o-mini -o prefs.jsonl
python examples/finetune_and_serve.py prefs.jsonl Qwen/Qwen2.5-1.5B-Instruct adapter

This is `collab finetune prefs.jsonl -m BASE -o adapter` in Python. The pairs are checked before a weight is loaded, and
a training that was killed goes on when you start it again.
"""

import asyncio
import sys
from pathlib import Path

from collab_sdk import ChatRequest, Message, as_chat_model
from collab_sdk.models import CallRole
from collab_sdk.plugins import load
from collab_sdk.training import TrainingOptions

prefs, base, adapter = sys.argv[1:]
options = TrainingOptions(data=Path(prefs), base=base, output=Path(adapter))
training = load("trainers", options.method)(options)
print(f"{training.preflight.examples} pairs to train on, {training.preflight.held_out} held out")
report = training.run(lambda progress: print(f"{progress.stage}: step {progress.step} of {progress.steps}"))
print(report.verdict.said)

# The adapter in this process, by a name that every `assistant=` and every --assistant takes.
question = ChatRequest(role=CallRole.ASSISTANT, messages=(Message(role="user", content="a latte please"),), sample="0")
print(f"{report.bot}: {asyncio.run(as_chat_model(report.bot).achat(question)).content}")
for server, commands in report.serve.items():
    print(f"# {server}\n{commands}")
