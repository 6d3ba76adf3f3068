"""One stage of a training in which the model talks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft.helpers import disable_input_dtype_casting
from transformers import PrinterCallback

from collab_sdk.training import Play, TrainingOptions, TrainingProgress
from collab_trl.base import Base
from collab_trl.defaults import counts_replies, steps_of
from collab_trl.hf.chat_format import ChatFormat
from collab_trl.loading import load, lora
from collab_trl.online.histories import History
from collab_trl.online.online_methods import METHODS, OnlineMethod
from collab_trl.online.player import Player
from collab_trl.online.policy import Policy
from collab_trl.output.workplace import Workplace
from collab_trl.plan import Plan
from collab_trl.stages import ADAPTER, Reporter, Trained, TrainingRow, arguments, check_finite, on_disk, save, trained


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlineStage:
    """A method on histories, in a workplace. Implements AnyStage."""

    name: str
    learning_rate: float
    options: TrainingOptions
    play: Play
    plan: Plan
    base: Base
    histories: Sequence[History]
    chat_format: ChatFormat
    reply_tokens: int
    workplace: Workplace

    @property
    def folder(self) -> Path:
        return self.workplace.folder / self.name

    @property
    def method(self) -> OnlineMethod:
        return METHODS[self.name]

    @property
    def _whole_steps(self) -> bool:
        return not counts_replies(self.name)  # else TRL deals out groups of replies

    def run(self, adapter: Path | None, on_progress: Callable[[TrainingProgress], None]) -> Trained:
        """Train a fresh adapter; a stage that is done is not done again. Raises RunStoppedError, to be gone on with."""
        if (self.folder / ADAPTER).exists():
            return trained(self.folder, resumed=True)
        config = self._config()
        with config.main_process_first(local=False):  # which alone writes and clears away
            checkpoint = self.workplace.checkpoint(self.name)
            data = on_disk(self._rows(), self.folder / "histories")
        trainer = self._trainer(config, data, on_progress)
        with disable_input_dtype_casting(trainer.model, active=self.plan.bf16):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        check_finite(trainer.model)
        save(trainer, self.folder, kept=int(trainer.state.global_step))
        return trained(self.folder, resumed=checkpoint is not None)

    def _rows(self) -> list[TrainingRow]:
        """What the trainers deal out: places in `histories`, which know the rest."""
        return [
            {
                "prompt": [message.to_dict() for message in history.messages],
                "history": place,
                "length": history.tokens,
            }
            for place, history in enumerate(self.histories)
        ]

    def _config(self) -> Any:
        histories = len(self.histories) - self.plan.left_out
        replies = histories * (1 if self._whole_steps else self.play.rule.candidates)
        config = arguments(
            self.method.config,
            self.method.settings(self.options, self.play, self.reply_tokens),
            self.options,
            self.plan,
            folder=self.folder,
            learning_rate=self.learning_rate,
            steps=steps_of(self.options, replies, repeats=self.method.repeats),
            evaluate=False,
            whole_steps=self._whole_steps,
        )
        # Where a batch of replies is done with: one that was begun cannot be gone on with.
        config.save_steps = math.ceil(config.save_steps / self.method.repeats) * self.method.repeats
        return config

    def _trainer(self, config: Any, data: Any, on_progress: Callable[[TrainingProgress], None]) -> Any:
        pairs = {"candidates": self.play.rule.candidates, "at_once": self.plan.micro_batch}
        own = pairs if self._whole_steps else {}
        trainer = self.method.trainer(
            model=load(self.base, self.plan, in_4bit=self.options.load_in_4bit),
            args=config,
            train_dataset=data,
            processing_class=self.base.tokenizer,
            peft_config=lora(self.base, self.options),
            callbacks=[Reporter(self.name, on_progress)],
            **own,
        )
        trainer.remove_callback(PrinterCallback)  # it prints log lines to stdout
        model = trainer.accelerator.unwrap_model(trainer.model)
        policy = Policy(model, self.chat_format, reply_limit=self.reply_tokens)
        trainer.player = Player(policy, self.play.scorer, self.histories)
        return trainer
