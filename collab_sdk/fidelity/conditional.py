"""Whether a user's reply fits the conversation it is given in: real replies are told from replies to other messages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt, nan
from typing import Any

from collab_sdk.fidelity.checker import CheckedConversation
from collab_sdk.fidelity.classifier import MOST_CHARACTERS, MOST_FEATURES, folds_of, widened
from collab_sdk.fidelity.user_turns import ComparedTurn
from collab_sdk.stats import Estimate, estimate_auc
from collab_sdk.words import words

LEAST_CHATS, LEAST_REPLIES = 40, 60
"""Chats and replies of real users from which there is something to learn: benchmarks/conditional.py."""
MOST_REPLIES = 6_000
"""To fit to; of more, so many drawn at random tell as much."""
MOST_SHUFFLES, MOST_EXAMPLES = 10, 20_000
LEAST_TOPICS, MOST_TOPICS = 2, 16
REGULARISATION = 0.3
STYLE = 0.3
"""Weight of the manner of writing beside what is said."""
WORD_OR_QUESTION = r"\w+|[?？؟]"
LONG = 20
"""Words, from which a message is a long one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a user wrote, after what: the assistant's last message, and the user's own last one."""

    conversation_id: str
    asked: str
    own: str
    text: str


Replies = Sequence[tuple[Reply, Reply]]
"""Of the real and the simulated user, at the same places."""
Scores = Mapping[str, Sequence[float]]
"""By conversation."""


def written_replies(checked: Iterable[CheckedConversation]) -> list[tuple[Reply, Reply]]:
    """What both wrote at the same turn."""
    return [
        (_reply(turn, written[0]), _reply(turn, written[1]))
        for one in checked
        for turn in one.turns
        if (written := turn.written) is not None
    ]


def _reply(turn: ComparedTurn, text: str) -> Reply:
    own = turn.earlier[-1] if turn.earlier else ""
    return Reply(conversation_id=turn.conversation_id, asked=turn.history[-1].content, own=own, text=text)


def too_few(replies: Replies) -> Estimate:
    """No number, with a note that says how many it takes."""
    chats = len({real.conversation_id for real, _ in replies})
    note = f"too few: {len(replies)} replies in {chats} chats, where it takes {LEAST_REPLIES} in {LEAST_CHATS}"
    return Estimate(mean=nan, low=None, high=None, n=len(replies), note=note)


def conditional_scores(replies: Replies) -> tuple[Scores, Scores] | None:
    """How well the real users' replies fit, and the simulated users', by chat; None with too few."""
    real = [each for each, _ in replies]
    if len(replies) < LEAST_REPLIES or len({each.conversation_id for each in real}) < LEAST_CHATS:
        return None
    scores = fit_scores(real, [reply for pair in replies for reply in pair])
    return _by_chat(real, scores[::2]), _by_chat(real, scores[1::2])


def compared_fit(real: Scores, simulated: Scores) -> Estimate:
    """The chance that the real user's reply fits its place better than the simulated one's: 0.5 if it fits as well.

    Above 0.5 the simulated user does not listen. Below it they say what is likely at a place rather than what one
    person says there. The interval is widened as that of the two-sample test is.
    """
    found = estimate_auc(real, simulated)
    if found is None:
        raise ValueError("one of the two users wrote nothing")
    return widened(found)


def _by_chat(replies: Sequence[Reply], scores: Sequence[float]) -> Scores:
    grouped: dict[str, list[float]] = {}
    for reply, score in zip(replies, scores, strict=True):
        grouped.setdefault(reply.conversation_id, []).append(score)
    return grouped


def fit_scores(known: Sequence[Reply], tested: Sequence[Reply]) -> list[float]:
    """Log odds that a reply belongs where it stands, rather than to another message.

    Logistic regression, fitted to the `known` replies where they stand and to the same ones shuffled over the places,
    so that no reply and no place tells anything by itself. Each is scored by a model of other chats than its own.
    """
    from numpy import array, flatnonzero, zeros

    fold_of = folds_of(each.conversation_id for each in known)
    folds = array([fold_of[each.conversation_id] for each in known])
    places = array([fold_of.get(each.conversation_id, 0) for each in tested])
    scores = zeros(len(tested))
    for fold in sorted(set(places.tolist())):
        model = _Model([known[place] for place in flatnonzero(folds != fold).tolist()], seed=fold)
        chosen = flatnonzero(places == fold)
        scores[chosen] = model.score([tested[place] for place in chosen.tolist()])
    return [float(score) for score in scores]


class _Model:
    """Topics of what was asked and of what is said by latent semantic analysis, crossed, and the manner of writing."""

    def __init__(self, known: Sequence[Reply], *, seed: int) -> None:
        from numpy import concatenate, ones, vstack, zeros
        from numpy.random import RandomState
        from sklearn.linear_model import LogisticRegression

        random = RandomState(seed)
        if len(known) > MOST_REPLIES:
            known = [known[place] for place in random.permutation(len(known))[:MOST_REPLIES]]
        topics = min(max(isqrt(len(known)) // 2, LEAST_TOPICS), MOST_TOPICS)
        self._asked = _Topics([_cut(each.asked) for each in known], topics, token_pattern=WORD_OR_QUESTION)
        self._said = _Topics([_cut(each.text) for each in known], topics, analyzer="char_wb", ngram_range=(1, 4))
        manner = _manner([each.text for each in known])
        self._mean, self._spread = manner.mean(axis=0), manner.std(axis=0) + 0.1
        places, said = self._places(known), self._replies(known)
        shuffles = min(MOST_SHUFFLES, max(1, MOST_EXAMPLES // len(known)))
        mixed = [self._together(places, _rows(said, random.permutation(len(known)))) for _ in range(shuffles)]
        labels = concatenate([ones(len(known)), zeros(shuffles * len(known))])
        self._fitted = LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=500)
        self._fitted.fit(vstack([self._together(places, said), *mixed]), labels)

    def score(self, replies: Sequence[Reply]) -> Any:
        return self._fitted.decision_function(self._together(self._places(replies), self._replies(replies)))

    def _places(self, replies: Sequence[Reply]) -> tuple[Any, Any]:
        manner = (_manner([each.own for each in replies]) - self._mean) / self._spread
        return self._asked.rows([_cut(each.asked) for each in replies]), manner

    def _replies(self, replies: Sequence[Reply]) -> tuple[Any, Any]:
        manner = (_manner([each.text for each in replies]) - self._mean) / self._spread
        return self._said.rows([_cut(each.text) for each in replies]), manner

    def _together(self, places: tuple[Any, Any], replies: tuple[Any, Any]) -> Any:
        from numpy import einsum, hstack

        (asked, before), (said, now) = places, replies
        crossed = einsum("ni,nj->nij", asked, said).reshape(len(asked), -1)
        return hstack([crossed, asked, said, STYLE * before * now, STYLE * now])


def _rows(features: tuple[Any, Any], order: Any) -> tuple[Any, Any]:
    topics, manner = features
    return topics[order], manner[order]


def _cut(text: str) -> str:
    return text[:MOST_CHARACTERS]


class _Topics:
    """Texts as rows of unit length, by what they have in common with others; without anything in common, zeros."""

    def __init__(self, texts: Sequence[str], topics: int, **options: Any) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.utils.extmath import randomized_svd

        self._vectors = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=MOST_FEATURES, **options)
        self._topics = None
        try:
            rows = self._vectors.fit_transform(texts)
        except ValueError:  # no feature is in two of them
            self._vectors = None
            return
        if rows.shape[1] > topics:
            _, _, directions = randomized_svd(rows, topics, random_state=0)
            self._topics = directions.T

    def rows(self, texts: Sequence[str]) -> Any:
        from numpy import zeros
        from sklearn.preprocessing import normalize

        if self._vectors is None:
            return zeros((len(texts), 1))
        rows = self._vectors.transform(texts)
        return rows.toarray() if self._topics is None else normalize(rows @ self._topics)


def _manner(texts: Sequence[str]) -> Any:
    """How each is written: small letters, an end mark, a question, an apostrophe, length."""
    from numpy import array

    return array(
        [
            [
                text[:1].islower(),
                text[-1:] in (".", "!", "。", "！"),
                text[-1:] in ("?", "？", "؟"),
                "'" in text or "’" in text,
                min(len(words(text)), LONG) / LONG,
            ]
            for text in map(str.strip, texts)
        ],
        dtype=float,
    )
