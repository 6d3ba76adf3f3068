"""PPO, which TRL has dropped: the clipped objective with a learnt value of every token (arXiv 1707.06347).

This module imports TRL, which takes seconds: it is imported when training starts.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from collab_trl.online.trainers import GroupTrainer

EPOCHS = 4
"""Times that what was played is learnt from."""
GAMMA, LAMBDA = 1.0, 1.0
"""Of generalised advantage estimation (arXiv 1506.02438).

The reward comes with the last token, and until the value head predicts something, each token before it gets LAMBDA of
what the next one got: at 0.95 the first of 200 tokens gets 4e-5 of the reward. At 1 every token's advantage is the
reward less what was expected there, and what is to be expected is learnt without bias (arXiv 2503.01491, 2503.24290).
"""
VALUE_WEIGHT = 0.5
VALUE_FILE = "value_head.safetensors"


class ProximalTrainer(GroupTrainer):
    """Sampling, the clipped objective and the KL term are GRPO's; the advantage is each token's own.

    The value head is linear, on the policy's last hidden states, and sends no gradient into the policy.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        hidden = self.model.config.get_text_config().hidden_size
        self.value_head = torch.nn.Linear(hidden, 1, device=self.accelerator.device)
        torch.nn.init.zeros_(self.value_head.weight)
        torch.nn.init.zeros_(self.value_head.bias)
        self.model.add_module("value_head", self.value_head)  # so that it is trained with the rest

    def _calculate_rewards(self, *inputs: Any) -> Tensor:
        rewards: Tensor = super()._calculate_rewards(*inputs)  # [replies, functions]
        self._rewards: Tensor = rewards[:, 0]
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super()._generate_and_score_completions(inputs)
        spoken = _spoken(batch) * (~self._rewards.isnan())[:, None]  # what has no reward teaches nothing
        with torch.no_grad():
            values = self._values(batch)
        rewards = centred(self._rewards, group=self.num_generations).nan_to_num()
        advantages, returns = advantages_and_returns(rewards, values, spoken)
        batch["advantages"] = normalised(advantages, spoken)
        return batch | {"returns": returns, "values": values, "valued": spoken, "valued_tokens": spoken.sum()}

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        loss: Tensor = super()._compute_loss(model, inputs)
        value_loss = clipped_value_loss(
            self._values(inputs),
            before=inputs["values"],
            returns=inputs["returns"],
            mask=inputs["valued"],
            clip=self.args.epsilon,
        )
        # As TRL does with the rest: the mean over the tokens of the step, and not of how many are computed at once.
        steps = self.args.steps_per_generation / self.current_gradient_accumulation_steps
        value_loss = value_loss / inputs["valued_tokens"].clamp(min=1) * steps
        self._metrics["train"]["value_loss"].append(value_loss.item() * self.current_gradient_accumulation_steps)
        together: Tensor = loss + VALUE_WEIGHT * value_loss
        return together

    def _values(self, batch: dict[str, Any]) -> Tensor:
        """What is to be expected before each token of the completions, [replies, tokens]."""
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        backbone = self.accelerator.unwrap_model(self.model).get_base_model().base_model
        with torch.no_grad(), self.accelerator.autocast():  # which is on the forward of the whole, not on its parts
            hidden = backbone(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        before = hidden[:, -batch["completion_ids"].shape[1] - 1 : -1]
        values: Tensor = self.value_head(before.float()).squeeze(-1)
        return values

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        save_file(self.value_head.state_dict(), folder / VALUE_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self.value_head.load_state_dict(load_file(Path(resume_from_checkpoint) / VALUE_FILE))


def _spoken(batch: dict[str, Any]) -> Tensor:
    """1 at the policy's own tokens, [replies, tokens]."""
    mask: Tensor = batch["completion_mask"] * batch["tool_mask"]
    return mask


def centred(rewards: Tensor, *, group: int) -> Tensor:
    """Rewards less the mean of all replies to the same history; those that are missing stay so.

    How hard a history is takes a value head long to learn, and until then easy ones would be learnt from alone.
    """
    groups = rewards.view(-1, group)
    return (groups - groups.nanmean(dim=1, keepdim=True)).flatten()


def advantages_and_returns(rewards: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates, and what the values are to become; 0 where the mask is.

    rewards [replies] come with the last token of each; values and mask are [replies, tokens]. What others said in
    between takes no time: the policy's next token follows on its last.
    """
    advantages = torch.zeros_like(values)
    following = torch.zeros_like(rewards)  # the value after the token, then its advantage
    carried = torch.zeros_like(rewards)
    is_last = torch.ones_like(rewards, dtype=torch.bool)
    for token in reversed(range(values.shape[1])):
        is_own = mask[:, token].bool()
        delta = torch.where(is_last, rewards, GAMMA * following) - values[:, token]
        estimate = delta + GAMMA * LAMBDA * carried
        advantages[:, token] = torch.where(is_own, estimate, 0.0)
        carried = torch.where(is_own, estimate, carried)
        following = torch.where(is_own, values[:, token], following)
        is_last = is_last & ~is_own
    return advantages, (advantages + values) * mask


def normalised(advantages: Tensor, mask: Tensor) -> Tensor:
    """With mean 0 and standard deviation 1 over the tokens of the mask, 0 elsewhere."""
    count = mask.sum().clamp(min=1)
    mean = (advantages * mask).sum() / count
    deviation = (((advantages - mean) ** 2 * mask).sum() / count).sqrt()
    return (advantages - mean) / (deviation + 1e-8) * mask


def clipped_value_loss(values: Tensor, *, before: Tensor, returns: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Half the squared error, where a step beyond `clip` is no gain; the sum over the mask."""
    near = before + (values - before).clamp(-clip, clip)
    worst = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    return 0.5 * (worst * mask).sum()
