"""TRL's trainers, fed with the tokens that were checked before, in batches of about one length.

This module imports TRL, which takes seconds: it is imported when training starts.
"""

from typing import Any

from datasets import Dataset
from trl import DPOTrainer, KTOTrainer, SFTTrainer

from collab_trl.batches import LengthGroupedSampler


class _Tokenized:
    """Takes a data set as it is: tokenized, with nothing cut or dropped."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class _Grouped(_Tokenized):
    """Draws examples of about one length together."""

    args: Any
    state: Any

    def _get_train_sampler(self, train_dataset: Dataset) -> LengthGroupedSampler:
        return LengthGroupedSampler(
            train_dataset["length"],
            # A whole step's examples: the order then does not hang on how many are computed at once, and processes,
            # which take batches in turn, get equal shares.
            batch=self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size,
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )


class PairTrainer(_Grouped, DPOTrainer):  # type: ignore[misc]
    """DPO."""


class CompletionTrainer(_Grouped, SFTTrainer):  # type: ignore[misc]
    """SFT whose loss counts completions only."""


class JudgedTrainer(_Tokenized, KTOTrainer):  # type: ignore[misc]
    """KTO, in the order of the data set, as its KL term sets each reply against its neighbour's prompt."""
