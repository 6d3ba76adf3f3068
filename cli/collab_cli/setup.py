"""From options to the objects of a run."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from collab_cli.options import RunOptions
from collab_cli.terminal import note
from collab_sdk import ChatModel, Engine, Metric, MRScorer, Rollout, Simulator, TokenPenalty, as_chat_model
from collab_sdk.chat.cache import KeptCache
from collab_sdk.chat.caches import default_cache, open_cache
from collab_sdk.errors import UsageError
from collab_sdk.scorer import DEFAULT_METRICS

NO_MODEL = (
    "No model is named: give --model and a name that LiteLLM knows, such as openai/gpt-4o-mini, "
    "or --model offline for rules in a model's place."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """Who plays which part."""

    assistant: ChatModel
    simulator: ChatModel
    judge: ChatModel


def chosen_models(options: RunOptions) -> Models:
    """Raises UsageError where a part has no model."""
    assistant = options.assistant or options.model
    simulator = options.simulator or options.model
    judge = options.judge or options.model or simulator
    if not (options.assistant or options.simulator or options.judge or options.model):
        raise UsageError(NO_MODEL)
    if not assistant:
        raise UsageError("The bot is not named: give --assistant, or --model for all parts.")
    if not simulator or not judge:
        raise UsageError("The bot has no user to talk to: give --simulator, or --model for all other parts.")
    model_of = {spec: as_chat_model(spec, api_base=options.api_base) for spec in (assistant, simulator, judge)}
    return Models(assistant=model_of[assistant], simulator=model_of[simulator], judge=model_of[judge])


def chosen_metrics(options: RunOptions) -> Mapping[Metric | str, float]:
    """Raises UsageError for a token rate without the metric it belongs to."""
    weights: dict[Metric | str, float] = dict(options.metric or DEFAULT_METRICS.items())
    if options.token_rate is not None:
        penalty = TokenPenalty(rate=options.token_rate)
        if penalty.name not in weights:
            raise UsageError(f"--token-rate belongs to {penalty.name}, which is not among the metrics.")
        weights[penalty] = weights.pop(penalty.name)
    return weights


@contextmanager
def open_scorer(options: RunOptions) -> Iterator[MRScorer]:
    """The scorer of a run, its cache closed afterwards. Raises UsageError for what cannot work, before any call."""
    models, metrics = chosen_models(options), chosen_metrics(options)
    parts = {"bot": models.assistant, "user": models.simulator, "judge": models.judge}
    with open_engine(options, parts) as engine:
        rollout = Rollout(
            assistant=models.assistant,
            simulator=Simulator(models.simulator, engine=engine),
            window=options.window,
            samples=options.samples,
        )
        yield MRScorer(rollout, metrics=metrics, judge=models.judge, goals_per_turn=options.goals_per_turn)


@contextmanager
def open_engine(options: RunOptions, parts: Mapping[str, ChatModel]) -> Iterator[Engine]:
    """The engine of a run, its cache closed afterwards. `parts` says who plays which part.

    Raises UsageError where the money cannot be limited as asked for.
    """
    if options.max_usd is not None:
        _check_prices(parts.values())
    _note_rules(parts)
    cache = open_chosen_cache(options.cache)
    try:
        yield Engine(
            cache=cache,
            concurrency=options.concurrency,
            requests_per_minute=options.requests_per_minute,
            tokens_per_minute=options.tokens_per_minute,
            max_calls=options.max_calls,
            max_usd=options.max_usd,
            timeout=options.timeout,
        )
    finally:
        cache.close()


def open_chosen_cache(chosen: str | None) -> KeptCache:
    """Raises CacheError if it cannot be used."""
    return open_cache(chosen or default_cache(os.environ))


def is_rules(model: ChatModel) -> bool:
    """Whether the model is the embedded stand-in, under whatever instructions."""
    return (model.fingerprint or {}).get("model") == "offline"


def _note_rules(parts: Mapping[str, ChatModel]) -> None:
    if played := [part for part, model in parts.items() if is_rules(model)]:
        who = f"{', '.join(played[:-1])} and {played[-1]} are rules" if played[1:] else f"the {played[0]} is rules"
        note(f"offline: {who}, not models; the numbers say nothing about a real chatbot.")


def _check_prices(models: Iterable[ChatModel]) -> None:
    for model in models:
        if model.price is None:
            raise UsageError(f"The price of {model.name} is unknown, so --max-usd cannot hold: use --max-calls.")
