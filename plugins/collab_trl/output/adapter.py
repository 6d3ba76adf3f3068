"""What is left when a training is done: a folder to deploy."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collab_sdk.errors import CollabError
from collab_sdk.training import (
    PLAYING,
    TRAINED_AGAINST,
    HeldOut,
    Preflight,
    TrainingOptions,
    TrainingReport,
    Verdict,
)
from collab_sdk.version import __version__
from collab_trl.base import Base
from collab_trl.output.card import write_card
from collab_trl.output.own_replies import OwnReplies
from collab_trl.output.serving import serving_commands
from collab_trl.output.training_log import chosen_fall, draw_curves
from collab_trl.output.verdict import NOT_JUDGED, costs, verdict_of
from collab_trl.output.workplace import CODE, Workplace, deciding, write_json
from collab_trl.plan import is_main_process
from collab_trl.preference.held_out import estimates
from collab_trl.preference.tokens import Tokens
from collab_trl.pretrained import ADAPTER_CONFIG, ADAPTER_WEIGHTS

if TYPE_CHECKING:
    from collab_trl.stages import Trained


def finish(
    options: TrainingOptions,
    base: Base,
    preflight: Preflight,
    workplace: Workplace,
    stages: Mapping[str, "Trained"],
    *,
    reported: Sequence[Tokens],
    begun: Path | None,
    seconds: float,
    resumed: bool,
) -> TrainingReport:
    """Write the folder and say what is in it. Of several processes one writes.

    `reported` are held-out examples, and `begun` is the adapter that the result is compared with, if not the base.
    """
    output = options.output
    last = stages[options.method]
    held_out, warnings = last.held_out, [] if last.held_out else _warnings(last.history, options)
    if is_main_process():
        _save_adapter(last.adapter, output, base)
        if held_out is not None:
            held_out, problems = _with_own_replies(held_out, options, base, preflight, reported, begun)
            warnings += problems
    is_judged = held_out is not None or (options.eval_fraction != 0 and options.method not in PLAYING)
    verdict = verdict_of(held_out, role=options.role) if is_judged else NOT_JUDGED
    if held_out is not None:
        warnings += costs(held_out, role=options.role)
    layers = options.target_modules or base.targets
    metrics = {
        "base": base.name,
        "data": _data(options, preflight),
        "pairs": {name: share.to_dict() for name, share in preflight.pairs.items()},
        "notes": list(preflight.notes),
        "settings": _settings(options, preflight),
        "options": deciding(options),
        TRAINED_AGAINST: list(options.trained_against),
        "verdict": asdict(verdict),
        "held_out": held_out and held_out.to_dict(),
        "warnings": warnings,
        "steps": int(last.history[-1]["step"]),
        "kept_step": last.kept,
        "seconds": round(seconds, 1),
        "serve": serving_commands(base, output, rank=options.lora_r, targets=layers, role=options.role),
        "versions": {"collab-sdk": __version__} | {package: version(package) for package in CODE},
        "history": {name: list(stage.history) for name, stage in stages.items()},
    }
    if is_main_process():
        draw_curves({name: stage.history for name, stage in stages.items()}, output / "curves.png")
        write_card(metrics, output)
        workplace.close(metrics)
    return _report(options, base, metrics, resumed=resumed)


def _with_own_replies(
    held_out: HeldOut,
    options: TrainingOptions,
    base: Base,
    preflight: Preflight,
    reported: Sequence[Tokens],
    begun: Path | None,
) -> tuple[HeldOut, list[str]]:
    """The figures with those of what the models say themselves, or a word on why there are none."""
    if options.load_in_4bit and preflight.available and base.parameters * 2 > preflight.available:
        return held_out, ["Base and adapter were not asked for replies: in 16 bits the base does not fit into memory."]
    try:
        own = OwnReplies(base, options.output, reported, begun=begun, dtype=options.dtype, role=options.role)
    except CollabError as error:
        return held_out, [f"Base and adapter could not be asked for replies: {error}"]
    before, after, difference = estimates(own.statistics(), own.conversations)
    return replace(
        held_out,
        before={**held_out.before, **before},
        after={**held_out.after, **after},
        difference={**held_out.difference, **difference},
        real=estimates(own.real_statistics(), own.conversations)[0],
        replies=own.shown(),
    ), []


def known_report(options: TrainingOptions, base: Base, metrics: Mapping[str, Any]) -> TrainingReport:
    """The report of a training that was finished before."""
    return _report(options, base, metrics, resumed=True)


def _report(options: TrainingOptions, base: Base, metrics: Mapping[str, Any], *, resumed: bool) -> TrainingReport:
    return TrainingReport(
        bot=f"hf:{base.name}@{options.output}",
        output=options.output,
        steps=metrics["steps"],
        kept_step=metrics["kept_step"],
        seconds=metrics["seconds"],
        resumed=resumed,
        held_out=HeldOut.from_dict(metrics["held_out"]) if metrics["held_out"] else None,
        verdict=Verdict(**metrics["verdict"]),
        warnings=tuple(metrics["warnings"]),
        serve=metrics["serve"],
        role=options.role,
    )


def _data(options: TrainingOptions, preflight: Preflight) -> dict[str, Any]:
    source = options.data
    data = {
        "file": source.name,
        "examples": preflight.examples,
        "held out": preflight.held_out,
        "of these, not used to choose the checkpoint": preflight.reported,
        "conversations": preflight.conversations,
        **({"left out: the same as another row": preflight.repeated} if preflight.repeated else {}),
    }
    if source.is_file():
        data["sha256"] = hashlib.sha256(source.read_bytes()).hexdigest()
    data |= {name: f"{share:.0%}" for name, share in preflight.pairs.items()}
    for fault in preflight.faults:
        data[f"left out: {fault.problem}"] = len(fault.places)
    return data


def said_on_card(options: TrainingOptions, preflight: Preflight) -> list[str]:
    """What the card says that is known before the training."""
    tables = (_data(options, preflight), preflight.plan)
    return [*preflight.notes, *(f"{name}: {value}" for table in tables for name, value in table.items())]


def _settings(options: TrainingOptions, preflight: Preflight) -> dict[str, Any]:
    begun = {"began with": options.adapter.name} if options.adapter else {}
    return {**preflight.plan, **begun, "longest example allowed": preflight.max_length}


def _warnings(history: Sequence[Mapping[str, float]], options: TrainingOptions) -> list[str]:
    fall = chosen_fall(history, beta=options.beta) if options.beta else None
    return [fall] if fall else []


def _save_adapter(trained: Path, output: Path, base: Base) -> None:
    shutil.copyfile(trained / ADAPTER_WEIGHTS, output / ADAPTER_WEIGHTS)
    config = json.loads((trained / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base.name
    config["target_modules"] = sorted(config["target_modules"])  # a set, whose order changes from run to run
    write_json(output / ADAPTER_CONFIG, config)
    base.tokenizer.save_pretrained(str(output))
