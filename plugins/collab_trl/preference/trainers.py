"""TRL's trainers, such that a step is the same however many of its examples are computed at once.

This module imports TRL, which takes seconds: it is imported when training starts.
"""

from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.nn.functional import softplus
from trl import DPOTrainer, KTOTrainer, SFTTrainer

from collab_trl.length_grouping import LengthGroupedSampler
from collab_trl.log_probabilities import evaluating
from collab_trl.preference.held_out import IS_GOOD, LOSS, REWARD, means
from collab_trl.preference.looks import Looks
from collab_trl.preference.prefix_sharing import PROMPT_LENGTHS
from collab_trl.whole_steps import WholeSteps

SFT_TERM = "sft"
"""The term of DPO's loss that is a mean over tokens, and not over pairs."""
IGNORED = -100
"""The label of what is not in the loss."""
MODEL_INPUTS = {"input_ids", "attention_mask", PROMPT_LENGTHS}


class _Tokenized(WholeSteps):
    """Tokens were checked before, so it takes a data set as it is: tokenized, with nothing cut or dropped.

    What is held out is looked at example by example: means of batches would hang on how many are computed at once.
    """

    state: Any
    model: Any
    control: Any
    callback_handler: Any
    eval_dataset: Any

    looks: Looks
    """What was seen of the held-out examples so far."""

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        values = self.values(self.eval_dataset)
        self.looks.add(self.state.global_step, values[LOSS], write=self.state.is_world_process_zero)
        metrics = {f"eval_{name}": value for name, value in means(values).items()}
        self.log(metrics)  # type: ignore[attr-defined]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def values(self, data: Dataset) -> dict[str, list[float]]:
        """What the model as it is makes of each example, in their order, by the trainer's names."""
        found: dict[str, list[float]] = {}
        for batch in self.get_eval_dataloader(data):  # type: ignore[attr-defined]
            inputs = self._prepare_inputs(batch)  # type: ignore[attr-defined]
            with (
                evaluating(self.model),
                torch.no_grad(),
                self.compute_loss_context_manager(),  # type: ignore[attr-defined]
            ):
                values = {name: value.float() for name, value in self._values(inputs).items()}
            for name, value in self.accelerator.gather_for_metrics(values).items():
                found.setdefault(name, []).extend(value.tolist())
        return found

    def _values(self, inputs: Any) -> dict[str, Tensor]:
        """Of the examples of a batch, [examples] each."""
        raise NotImplementedError

    def _log_probabilities(self, inputs: Any) -> Tensor:
        """Of the learnt tokens of each sequence together."""
        own = {name: value for name, value in inputs.items() if name in MODEL_INPUTS}
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, IGNORED)
        total: Tensor = self.model(**own, labels=labels, fused_lm_head=True, use_cache=False).log_probs.sum(1)
        return total

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class _LengthGrouped(_Tokenized):
    """Draws examples of about one length together."""

    def _get_train_sampler(self, train_dataset: Dataset) -> LengthGroupedSampler:
        return LengthGroupedSampler(
            train_dataset["length"],
            batch=self.args.train_batch_size,  # of the whole step, so that the order depends on nothing else
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )


class PairTrainer(_LengthGrouped, DPOTrainer):  # type: ignore[misc]
    """DPO, each term of its loss over the whole step: the mean of its pairs, and for `sft` of its chosen tokens.

    aot and aot_unpaired remain TRL's: they sort the pairs that are computed at once.
    """

    loss_types: list[str]
    loss_weights: list[float]

    def sums(self, inputs: Any) -> Tensor:
        mask = inputs["completion_mask"]
        pairs = len(mask) // 2
        return torch.stack([torch.tensor(pairs, device=mask.device), mask[:pairs].sum()])

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Tensor | None = None
    ) -> Any:
        weights = self.loss_weights
        if num_items_in_batch is not None:
            parts = zip(self.sums(inputs), num_items_in_batch, strict=True)
            of_pairs, of_tokens = (self.share(part, whole) for part, whole in parts)
            self.loss_weights = [
                weight * (of_tokens if name == SFT_TERM else of_pairs)
                for name, weight in zip(self.loss_types, weights, strict=True)
            ]
        try:
            return super().compute_loss(model, inputs, return_outputs)
        finally:
            self.loss_weights = weights

    def _values(self, inputs: Any) -> dict[str, Tensor]:
        chosen, rejected = self._log_probabilities(inputs).chunk(2)
        before = inputs.get("ref_chosen_logps"), inputs.get("ref_rejected_logps")
        if None in before:
            before = self.compute_ref_log_probs(self.model, inputs)
        rewards = self.beta * (chosen - before[0]), self.beta * (rejected - before[1])
        return {
            LOSS: softplus(rewards[1] - rewards[0]),
            "rewards/chosen": rewards[0],
            "rewards/rejected": rewards[1],
            "rewards/margins": rewards[0] - rewards[1],
            "rewards/accuracies": rewards[0] > rewards[1],
            "logps/chosen": chosen,
            "logps/rejected": rejected,
        }


class CompletionTrainer(_LengthGrouped, SFTTrainer):  # type: ignore[misc]
    """SFT whose loss counts completions only; TRL takes the mean over the tokens of the whole step."""

    def sums(self, inputs: Any) -> Tensor:
        tokens: Tensor = (inputs["labels"][:, 1:] != IGNORED).sum()
        return tokens

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Tensor | None = None
    ) -> Any:
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch) * self._counts

    def _values(self, inputs: Any) -> dict[str, Tensor]:
        """Loss in nats a token and the share of tokens that are the likeliest, of each reply."""
        output = self.model(**inputs, fused_lm_head=True, use_cache=False)
        tokens = output.label_mask.sum(1).clamp(min=1)
        loss = -output.log_probs.sum(1) / tokens
        return {LOSS: loss, "loss": loss, "mean_token_accuracy": output.is_top1.sum(1) / tokens}


class JudgedTrainer(_Tokenized, KTOTrainer):  # type: ignore[misc]
    """KTO, in the order of the data set, with the KL divergence of the whole step; it needs the reference's ahead."""

    _divergence: Tensor | None = None
    """The step's KL divergence while the loss of a part of it is computed."""

    def sums(self, inputs: Any) -> Tensor:
        inputs = self._prepare_inputs(inputs)
        # A resumed run gets its random numbers back only behind this: with dropout it would draw others here.
        with evaluating(self.model), self.compute_loss_context_manager():
            gained = self._compute_kl_logps(self.model_wrapped, inputs) - inputs["ref_KL_logps"]
        return torch.stack([torch.tensor(float(len(gained)), device=gained.device), gained.float().sum()])

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Tensor | None = None
    ) -> Any:
        if num_items_in_batch is None:
            return super().compute_loss(model, inputs, return_outputs)
        replies, gained = num_items_in_batch
        self._divergence = gained / replies
        # TRL subtracts the reference's from the policy's, which `_compute_kl_logps` gives here as their difference.
        inputs = {**inputs, "ref_KL_logps": torch.zeros_like(inputs["ref_KL_logps"])}
        try:
            loss = super().compute_loss(model, inputs)
        finally:
            self._divergence = None
        return loss * self.share(torch.tensor(len(inputs["label"])), replies.cpu())

    def _compute_kl_logps(self, model: Any, batch: Any) -> Any:
        if self._divergence is None:
            return super()._compute_kl_logps(model, batch)
        return self._divergence.expand(len(batch["label"]))

    def _values(self, inputs: Any) -> dict[str, Tensor]:
        before = inputs.get("ref_logps")
        if before is None:
            before, _ = self.compute_ref_log_probs(self.model, inputs)
        reward = self.beta * (self._log_probabilities(inputs) - before)
        is_good = torch.as_tensor(inputs["label"], device=reward.device)
        return {LOSS: softplus(torch.where(is_good, -reward, reward)), REWARD: reward, IS_GOOD: is_good}
