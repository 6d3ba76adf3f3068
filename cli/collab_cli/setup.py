"""From options to the objects of a run."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from collab_cli.options import LOCAL, RunOptions
from collab_cli.terminal import note
from collab_sdk import ChatModel, Engine, MRScorer
from collab_sdk.cache import KeptCache, default_cache, open_cache
from collab_sdk.errors import UnknownNameError, UsageError
from collab_sdk.jobs import Cast, Models, ScoreJob
from collab_sdk.plugins import registered
from collab_sdk.runs import PLUGIN_GROUP, LocalRunner, Runner, RunnerOptions
from collab_sdk.scorer import DEFAULT_METRICS

NO_MODEL = (
    "No model is named: give --model and a name that LiteLLM knows, such as openai/gpt-4o-mini, "
    "or --model offline for rules in a model's place."
)


def score_job(options: RunOptions) -> ScoreJob:
    """Raises UsageError where a part has no model."""
    return ScoreJob(
        cast=_cast(options),
        metrics=tuple(options.metric or DEFAULT_METRICS.items()),
        token_rate=options.token_rate,
        window=options.window,
        samples=options.samples,
        goals_per_turn=options.goals_per_turn,
    )


def chosen_models(options: RunOptions) -> Models:
    """Raises UsageError where a part has no model."""
    return _cast(options).models()


def _cast(options: RunOptions) -> Cast:
    assistant = options.assistant or options.model
    simulator = options.simulator or options.model
    judge = options.judge or options.model or simulator
    if not (options.assistant or options.simulator or options.judge or options.model):
        raise UsageError(NO_MODEL)
    if not assistant:
        raise UsageError("The bot is not named: give --assistant, or --model for all parts.")
    if not simulator or not judge:
        raise UsageError("The bot has no user to talk to: give --simulator, or --model for all other parts.")
    return Cast(assistant=assistant, simulator=simulator, judge=judge, api_base=options.api_base)


@contextmanager
def open_scorer(options: RunOptions) -> Iterator[MRScorer]:
    """The scorer of a run, its cache closed afterwards. Raises UsageError for what cannot work, before any call."""
    job = score_job(options)
    models = job.cast.models()
    parts = {"bot": models.assistant, "user": models.simulator, "judge": models.judge}
    with open_engine(options, parts) as engine:
        yield job.scorer(engine)


@contextmanager
def open_runner(options: RunOptions, engine: Engine) -> Iterator[Runner]:
    """Where the work is done. Raises CollabError if that is not to be had."""
    if options.engine == LOCAL:
        yield LocalRunner(engine)
        return
    plugins = registered(PLUGIN_GROUP)
    if options.engine not in plugins:
        raise UnknownNameError.of("engine", options.engine, [LOCAL, *plugins])
    asked = RunnerOptions(
        cache=str(options.cache or default_cache(os.environ)),
        address=options.ray_address,
        workers=options.ray_workers,
        dashboard=options.ray_dashboard,
    )
    with plugins[options.engine].load()(engine, asked) as runner:
        yield runner


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
