"""Whether simulated messages can be told from real ones, and users' from the assistant's."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from collab_sdk.fidelity.checker import CheckedConversation
from collab_sdk.fidelity.classifier import Labelled, held_out_scores, widened
from collab_sdk.stats import Estimate, estimate_auc, estimate_mean

Pair = tuple[str, str]
"""The real user's and the simulated user's message at one turn."""
Pairs = Sequence[tuple[str, Sequence[Pair]]]
"""By conversation."""


def written_pairs(checked: Iterable[CheckedConversation]) -> list[tuple[str, list[Pair]]]:
    """What both wrote at the same turn."""
    return [
        (one.conversation.id, [written for turn in one.turns if (written := turn.written) is not None])
        for one in checked
    ]


def two_sample_test(pairs: Pairs) -> tuple[Estimate, Estimate] | None:
    """AUC and accuracy of a classifier that tells simulated messages from real ones: 0.5 if it cannot.

    Each with a 95 % interval over conversations; None with too few to fit to. Source: Lopez-Paz and Oquab 2017,
    Revisiting Classifier Two-Sample Tests.
    """
    texts = [
        Labelled(text=text, label=label, conversation_id=name)
        for name, written in pairs
        for pair in written
        for label, text in zip((False, True), pair, strict=True)
    ]
    scores = held_out_scores(texts, texts)
    if scores is None:
        return None
    simulated, real, hits = (defaultdict[str, list[float]](list) for _ in range(3))
    for each, score in zip(texts, scores, strict=True):
        (simulated if each.label else real)[each.conversation_id].append(score)
        hits[each.conversation_id].append(0.5 if score == 0 else (score > 0) == each.label)
    auc, accuracy = estimate_auc(simulated, real), estimate_mean(list(hits.values()))
    return (widened(auc), widened(accuracy)) if auc and accuracy else None


def taken_for_assistant(checked: Sequence[CheckedConversation], pairs: Pairs) -> list[list[tuple[float, float]]] | None:
    """For each pair whether the real and the simulated message read like the assistant's, to a classifier of the logs.

    It was fitted to the users and assistants of other conversations. None with too few of them.
    """
    logged = [
        Labelled(text=message.content, label=message.role == "assistant", conversation_id=one.conversation.id)
        for one in checked
        for message in one.conversation.messages
        if message.role in ("user", "assistant") and message.content.strip()
    ]
    written = [
        Labelled(text=text, label=False, conversation_id=name)
        for name, several in pairs
        for pair in several
        for text in pair
    ]
    scores = held_out_scores(logged, written)
    if scores is None:
        return None
    taken = iter([float(score > 0) for score in scores])
    return [[(next(taken), next(taken)) for _ in several] for _, several in pairs]
