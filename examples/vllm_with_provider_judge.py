"""A bot on a vLLM server of your own; a provider's model plays its user and judges.

pip install collab-sdk
vllm serve Qwen/Qwen3-8B
export OPENAI_API_KEY=...
python examples/vllm_with_provider_judge.py http://localhost:8000/v1 Qwen/Qwen3-8B

The user and the judge know the goal, the bot does not. `max_calls` stops the run before it costs more than you want.
"""

import sys

from collab_sdk import Engine, Limits, ModelSettings, ModelSpec, MRScorer, Rollout

PROVIDER = "openai/gpt-4o-mini"
api_base, name = sys.argv[1:]

bot = ModelSpec(name=name, api_base=(api_base,), settings=ModelSettings(temperature=0.7, max_tokens=500))
engine = Engine(limits=Limits(max_calls=200))
rollout = Rollout(assistant=bot, simulator=PROVIDER, engine=engine)
scorer = MRScorer(rollout, judge=PROVIDER, engine=engine)

history = [{"role": "user", "content": "Can I get a coffee?"}]
replies = ["Here you are: a latte.", "Which coffee would you like, and is it for here or to go?"]
for score in scorer.rank(history, replies, goal="drink: mocha\nmilk: oat milk\norder type: to go"):
    mean = "none" if score.value is None else f"{score.value:.2f}"  # a future that failed is never a score
    print(f"MR {mean} from {score.n_ok} futures: {score.response[-1].content!r}")
