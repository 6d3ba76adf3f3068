"""Specs of runs, made of a few names."""

from dataclasses import fields

from collab_sdk.cost import estimate_scoring
from collab_sdk.metrics import as_metrics, metric_specs
from collab_sdk.spec import ModelSpec, PairRule, RunSpec, UserSpec


def run_spec(assistant="offline", simulator="offline", judge="offline", metrics=None, **settings):
    """A RunSpec with these models. Settings of the pair rule may be given by their own names."""
    rule = {each.name: settings.pop(each.name) for each in fields(PairRule) if each.name in settings}
    return RunSpec(
        assistants=(ModelSpec(name=assistant),),
        simulators=(UserSpec(name=simulator),),
        judge=ModelSpec(name=judge),
        pairs=PairRule(**rule),
        **({} if metrics is None else {"metrics": metric_specs(as_metrics(metrics))}),
        **settings,
    )


def estimate(conversations, *, prices, candidates=1, **settings):
    """What scoring the conversations would cost; with several candidates, what an export would."""
    spec = run_spec(candidates=max(2, candidates), **settings)
    return estimate_scoring(conversations, spec, prices, with_pairs=candidates > 1)
