"""The output folder while a training is at work in it: which run has it, and how far that run is."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from collab_sdk.errors import OutputError
from collab_sdk.files import reason
from collab_sdk.training import METRICS, Play, TrainingOptions
from collab_trl.base import Base
from collab_trl.hf.folders import content_hash, model_folder

WORK = "checkpoints"
RUN = "run.json"
FORMAT = 3
"""Of what is in the folder; raised where what another version has left there cannot be read or gone on with."""
WITHOUT_EFFECT = {
    "adapter",
    "output",
    "data",
    "report_to",
    "merge",
    "push_to_hub",
    "per_device_batch_size",
    "gradient_checkpointing",
    "skip_bad",
    "rounds",
    "play",
    "chats",
    "chat_template",
    "layout",
}
"""Options that change where or how fast a run works, and not what it learns; what the data say is hashed, and so are
the adapter and the chat template that comes of its options."""
CODE = ("trl", "peft", "transformers", "torch")
"""Packages whose version decides how a training goes on."""


class Workplace:
    """Raises OutputError if the folder cannot be written, or holds another run's work."""

    def __init__(self, output: Path, identity: Mapping[str, Any]) -> None:
        self.output = output
        self.folder = output / WORK
        self._identity = dict(identity)
        known = (read_json(output / METRICS) or {}).get("run")
        ours = self._identity
        if known is None and self._has_progress():
            known, ours = read_json(self.folder / RUN), self._identity | _code()
        if known is not None and known.get("format") != FORMAT:
            raise OutputError(
                f"{output} holds a training by another version of collab-sdk, which this one cannot go on with: give "
                "another -o DIR, or delete that one."
            )
        if known is not None and known != ours:
            changed = sorted(key for key in known.keys() | ours.keys() if known.get(key) != ours.get(key))
            raise OutputError(
                f"{output} holds another training (it differs in {', '.join(changed)}): give another -o DIR, or delete "
                "that one."
            )

    @property
    def finished(self) -> Mapping[str, Any] | None:
        """The metrics of the finished run; None if there is none."""
        metrics = read_json(self.output / METRICS)
        return metrics if metrics is not None and "run" in metrics else None

    def open(self) -> None:
        """Create the folder and sign it; one process does."""
        try:
            if not self._has_progress():  # of the same run or of one that never got anywhere
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / RUN, self._identity | _code())
        except OSError as error:
            raise OutputError(f"Cannot write {self.output}: {reason(error)}.") from None

    def _has_progress(self) -> bool:
        return any(any(self.folder.glob(pattern)) for pattern in ("*/checkpoint-*", "*/adapter"))

    def close(self, metrics: Mapping[str, Any]) -> None:
        """Say that the run is finished, and remove what only it needed."""
        write_json(self.output / METRICS, {**metrics, "run": self._identity})
        shutil.rmtree(self.folder, ignore_errors=True)

    def checkpoint(self, stage: str) -> Path | None:
        """The last checkpoint that was written to its end; what a kill left half written is removed."""
        found = sorted((self.folder / stage).glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
        for path in reversed(found):
            if read_json(path / "trainer_state.json") is not None:  # written last
                return path
            shutil.rmtree(path)
        return None


def identity(options: TrainingOptions, base: Base, rows: Sequence[Any]) -> dict[str, Any]:
    """What a run is: two with the same give the same adapter, so one may go on where the other stopped.

    `rows` are what it learns from, in messages and not in tokens, as some chat templates write today's date.
    """
    run = deciding(options) | {
        "format": FORMAT,
        "base": base.name,
        "files of the base": content_hash(model_folder(base.name)),
        "data": _digest(rows),
        "template": _digest(base.tokenizer.chat_template),
        **({"adapter": content_hash(options.adapter)} if options.adapter else {}),
        **({"play": _played(options.play)} if options.play else {}),
    }
    written: dict[str, Any] = json.loads(json.dumps(run, default=str))
    return written


def deciding(options: TrainingOptions) -> dict[str, Any]:
    """The options that decide what is learnt, by name."""
    settings = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in settings.items() if name not in WITHOUT_EFFECT}


def _played(play: Play) -> dict[str, Any]:
    """All that decides a reward, without the scorer's own bot, whose place the model in training takes."""
    made = play.scorer.made_with
    parts = {name: value for name, value in made.items() if name not in ("assistants", "models", "pairs", "evaluation")}
    return {
        **parts,
        "models": {role: model for role, model in made["models"].items() if role != "assistant"},
        "assistant": play.scorer.rollout.settings.sent(),
        "exchanges": play.exchanges,
        "rule": asdict(play.rule),
    }


def _code() -> dict[str, str]:
    """The versions of what trains: after an upgrade a finished training is still known, but none is gone on with."""
    return {f"version of {package}": version(package) for package in CODE}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Under its name only when complete."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")
    partial.replace(path)


def read_json(path: Path) -> Mapping[str, Any] | None:
    """A file of ours; None if it is not there, half written, or somebody else's."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, Mapping) else None
