"""TRL's online trainers, with the multiturn-aware reward, futures played by the current policy.

This module imports TRL, which takes seconds: it is imported when training starts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler
from trl import GRPOTrainer, RLOOTrainer
from trl.experimental.online_dpo import OnlineDPOTrainer

from collab_sdk.models import ChatReply
from collab_trl.hf.generation import left_padded
from collab_trl.length_grouping import LengthGroupedSampler
from collab_trl.online.player import Player, as_one_sequence
from collab_trl.whole_steps import WholeSteps


class _Playing:
    """What the trainers share. `player` is set before training starts."""

    player: Player
    state: Any
    accelerator: Any

    @property
    def draw(self) -> str:
        return f"step-{self.state.global_step}/{self.accelerator.process_index}"

    def log(self, logs: Mapping[str, float], *others: Any, **settings: Any) -> None:
        """With the player's statistics of the same steps."""
        super().log({**logs, **self.player.statistics()}, *others, **settings)  # type: ignore[misc]


class _ReplyGroups(_Playing):
    """Those whose batches hold several replies to each history."""

    args: Any

    def _get_train_sampler(self, dataset: Any = None) -> "ByEpoch":
        sampler = super()._get_train_sampler(dataset)  # type: ignore[misc]
        return ByEpoch(sampler, seed=self.args.seed, epoch=lambda: int(self.state.epoch or 0))


class ByEpoch(Sampler[int]):
    """TRL's sampler in an order that depends on seed and epoch alone, and not on how often it was gone through."""

    def __init__(self, sampler: Any, *, seed: int, epoch: Callable[[], int]) -> None:
        self._sampler = sampler
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[int]:
        self._sampler.generator.manual_seed(self._seed + self._epoch())
        return iter(self._sampler)


class GroupTrainer(_ReplyGroups, GRPOTrainer):  # type: ignore[misc]
    """GRPO on whole conversations: a reply and the first of its futures are one sequence, the user's part masked."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(rollout_func=_played, reward_funcs=[multiturn_reward], **settings)
        self.places: list[int] = []

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.places = [row["history"] for row in inputs]  # TRL's roll-out function is told the prompts only
        scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return scored


def _played(prompts: Sequence[Any], trainer: GroupTrainer) -> dict[str, Any]:
    episodes = trainer.player.play(trainer.places, draw=trainer.draw)
    prompt_ids, completion_ids, masks = zip(*(as_one_sequence(each.turns) for each in episodes), strict=True)
    return {
        "prompt_ids": list(prompt_ids),
        "completion_ids": list(completion_ids),
        "env_mask": list(masks),
        "logprobs": None,  # the trainer computes its own
        "mr": [each.reward for each in episodes],
    }


def multiturn_reward(prompts: Sequence[Any], completions: Sequence[Any], mr: list[float | None], **_: Any) -> Any:
    return mr


class LeaveOneOutTrainer(_ReplyGroups, RLOOTrainer):  # type: ignore[misc]
    """RLOO on replies that TRL draws."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(reward_funcs=[self.multiturn_reward], **settings)

    def _generate_single_turn(self, *prompts: Any) -> Any:
        # Generating goes past the forward of the whole, which accelerate has put under autocast.
        with self.accelerator.autocast():
            return super()._generate_single_turn(*prompts)

    def multiturn_reward(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        history: Sequence[int],
        **_: Any,
    ) -> list[float | None]:
        replies = [
            ChatReply(
                content=completion[0]["content"],
                finish_reason="stop" if ids and ids[-1] in self.eos_token_ids else "length",
            )
            for completion, ids in zip(completions, completion_ids, strict=True)
        ]
        return self.player.score(history, replies, list(map(len, completion_ids)), draw=self.draw)


class OnlinePairTrainer(WholeSteps, _Playing, OnlineDPOTrainer):  # type: ignore[misc]
    """Online DPO on the best and the worst of several replies to each prompt."""

    def __init__(self, *, candidates: int, **settings: Any) -> None:
        super().__init__(reward_funcs=[self.multiturn_reward], **settings)
        self._candidates = candidates
        self._places: list[int] = []
        self._rewards: list[float] = []
        self._lengths: list[int] = []

    def _get_train_sampler(self, train_dataset: Any) -> LengthGroupedSampler:
        """An order that does not hang on where a run was stopped."""
        return LengthGroupedSampler(
            train_dataset["length"],
            batch=self.args.train_batch_size,
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )

    def sums(self, inputs: dict[str, Any]) -> Tensor:
        return torch.tensor(len(inputs["history"]))

    @property
    def logged(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = self.stats
        return found

    def part_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Tensor) -> Tensor:
        self._places = inputs["history"]  # what generates is told the prompts only
        share = self.share(self.sums(inputs), num_items_in_batch.cpu())
        own = self.accelerator.gradient_accumulation_steps
        self.accelerator.gradient_accumulation_steps = 1 / share if share else float("inf")  # what it divides a loss by
        try:
            loss = super().part_step(model, inputs, num_items_in_batch)
        finally:
            self.accelerator.gradient_accumulation_steps = own
        return loss * share

    def _generate(self, model: Any, prompts: Any, images: Any = None) -> tuple[Any, ...]:
        """Prompts and replies, all best before all worst.

        A prompt without a better and a worse reply gets one twice: its two log-probabilities are the same, so that
        nothing is learnt from it.
        """
        pairs = self.player.best_and_worst(self._places, candidates=self._candidates, draw=self.draw)
        sides = [best for best, _ in pairs] + [worst for _, worst in pairs]
        self._rewards = [side.reward or 0.0 for side in sides]  # without one it is twice the same
        self._lengths += [len(side.turns[0].reply) for side in sides]
        device = self.accelerator.device
        prompt_ids, prompt_mask = (
            tensor.to(device) for tensor in left_padded([side.turns[0].prompt for side in sides])
        )
        replies, reply_mask = _right_padded([side.turns[0].reply for side in sides], self._tokenizer.pad_token_id)
        return prompt_ids, prompt_mask, replies.to(device), reply_mask.to(device), None

    def multiturn_reward(self, **_: Any) -> list[float]:
        return self._rewards

    def _forward(self, model: Any, *inputs: Any, **settings: Any) -> Tensor:
        """Log-probabilities [rows, tokens], nothing where a reply is padded: TRL's KL counts all of them."""
        completion_mask = inputs[3]
        logprobs: Tensor = super()._forward(model, *inputs, **settings) * completion_mask
        return logprobs

    def log(self, logs: Mapping[str, float], *others: Any, **settings: Any) -> None:
        """With the KL divergence in nats a token, as the other trainers have it."""
        per_reply, lengths = logs.get("objective/kl"), self._lengths
        if per_reply is not None and lengths:
            logs, self._lengths = {**logs, "kl": per_reply / fmean(lengths)}, []
        super().log(logs, *others, **settings)


def _right_padded(replies: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask, [rows, longest]."""
    longest = max(map(len, replies))
    ids = torch.full((len(replies), longest), pad)
    mask = torch.zeros(len(replies), longest, dtype=torch.long)
    for row, reply in enumerate(replies):
        ids[row, : len(reply)] = torch.tensor(reply)
        mask[row, : len(reply)] = 1
    return ids, mask
