"""What an evaluation was made with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from collab_sdk.evaluation.evaluator import Evaluator
from collab_sdk.metrics import code_of, metric_specs
from collab_sdk.models.base import ChatModel, settings_for, spec_of
from collab_sdk.models.resolve import ModelLike, as_chat_model
from collab_sdk.spec import ROLE_DEFAULTS, EvaluationSpec, ModelSpec, RunSpec, made_with
from collab_sdk.tasks import code_of_task


def provenance(evaluator: Evaluator, bots: Mapping[str, ModelLike], rows: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the conversations of these bots, by name, in these rows (`rows_provenance`), as JSON values.

    It says who plays, as they are asked, and not how they were named: the command line and Python say the same.
    """
    models = {name: as_chat_model(bot) for name, bot in bots.items()}
    simulator, judge, toolbox = evaluator.simulator, evaluator.judge, evaluator.toolbox
    simulated = toolbox.simulated
    player = None if simulated is None else simulated.model
    spec = RunSpec(
        assistants=tuple(_assistant(name, bot) for name, bot in models.items()),
        simulators=simulator.specs,
        personas=evaluator.personas or simulator.personas,
        judge=spec_of(judge.model, judge.settings),
        metrics=metric_specs(evaluator.reward.metrics),
        samples=evaluator.samples,
        tools=toolbox.names,
        tools_model=None if simulated is None else simulated.spec,
        calls_per_turn=evaluator.calls_per_turn,
        evaluation=EvaluationSpec(
            tasks=(evaluator.task_name,), exchanges=evaluator.exchanges, by_persona=bool(evaluator.personas)
        ),
    )
    known = {name: bot.fingerprint for name, bot in models.items()}
    known |= {"judge": judge.model.fingerprint, **({} if player is None else {"tools": player.fingerprint})}
    own = {name: code_of(metric) for name, (metric, _) in evaluator.reward.metrics.items()}
    own |= {evaluator.task.name: code_of_task(evaluator.task), **toolbox.codes}
    codes = {name: code for name, code in own.items() if code is not None}
    return {**made_with(spec, known | simulator.fingerprints, codes=codes), "rows": dict(rows)}


def _assistant(name: str, bot: ChatModel) -> ModelSpec:
    return replace(spec_of(bot, settings_for(bot, ROLE_DEFAULTS["assistant"])), name=name)
