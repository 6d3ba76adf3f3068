"""A small classifier of messages, whose scores are always of conversations that it was not fitted to."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from collab_sdk.errors import MissingExtraError
from collab_sdk.stats import Estimate

FOLDS = 5
MOST_FEATURES = 50_000
MOST_TEXTS = 20_000
"""To fit to; of more, so many drawn at random tell as much."""
MOST_CHARACTERS = 2_000
"""Of a text. A pasted document says little about who pasted it, and takes long to read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """A message of a conversation, and which of two kinds it is."""

    text: str
    label: bool
    conversation_id: str


def require_classifier() -> None:
    """Raise MissingExtraError where it cannot be fitted, before anything is paid for."""
    if find_spec("sklearn") is None:
        raise MissingExtraError.of("Telling simulated users from real ones needs scikit-learn", "evaluate")


def folds_of(conversations: Iterable[str]) -> dict[str, int]:
    """In which part of a cross-validation each conversation is."""
    return {name: place % FOLDS for place, name in enumerate(dict.fromkeys(conversations))}


def widened(share: Estimate) -> Estimate:
    """With the interval of a share that was found by cross-validation.

    Models fitted to much the same texts err alike, so that the variance is more than the texts alone would have.
    Source: Nadeau and Bengio 2003.
    """
    if share.low is None or share.high is None:
        return share
    factor = (1 + FOLDS / (FOLDS - 1)) ** 0.5
    low, high = (share.mean + (end - share.mean) * factor for end in (share.low, share.high))
    return replace(share, low=max(0.0, low), high=min(1.0, high))


def held_out_scores(train: Sequence[Labelled], test: Sequence[Labelled]) -> list[float] | None:
    """Log odds that a text of `test` is of the kind labelled True, by logistic regression on TF-IDF.

    Cross-validation grouped by conversation: a text is scored by a model fitted to other conversations of `train`.
    Features are runs of one to four characters within words, in their case, so that spelling, punctuation and any
    script count. None where a fold would leave only one kind, or no conversation, to fit to.
    """
    fold_of = folds_of(each.conversation_id for each in train)
    scores: dict[int, float] = {}
    for fold in sorted({fold_of.get(each.conversation_id, 0) for each in test}):
        fitted = [each for each in train if fold_of[each.conversation_id] != fold]
        if len({each.label for each in fitted}) < 2:
            return None
        places = [place for place, each in enumerate(test) if fold_of.get(each.conversation_id, 0) == fold]
        scores |= zip(places, _scores(fitted, [test[place].text for place in places]), strict=True)
    return [scores[place] for place in range(len(test))] or None


def _scores(fitted: Sequence[Labelled], texts: Sequence[str]) -> list[float]:
    model = _model()
    if len(fitted) > MOST_TEXTS:
        fitted = random.Random(0).sample(fitted, MOST_TEXTS)  # noqa: S311 - no secret
    model.fit([each.text[:MOST_CHARACTERS] for each in fitted], [each.label for each in fitted])
    return [float(score) for score in model.decision_function([text[:MOST_CHARACTERS] for text in texts])]


def _model() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        TfidfVectorizer(
            analyzer="char_wb", ngram_range=(1, 4), lowercase=False, sublinear_tf=True, max_features=MOST_FEATURES
        ),
        # Assistants may have more messages than users; a kind's number is no reason to take a text for it.
        LogisticRegression(class_weight="balanced", max_iter=1000),
    )
