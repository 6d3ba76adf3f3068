"""How near the final document is to the reference, in word n-grams."""

import re
import unicodedata
from dataclasses import dataclass
from importlib.util import find_spec

from collab_sdk.errors import MissingExtraError, UsageError
from collab_sdk.metrics.base import Evidence
from collab_sdk.types import Goal

WANTED = "the whole document in its last version, as the assistant wrote it, without remarks around it"
UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff"  # Thai, Lao; Tibetan; Burmese
    "\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\uaa00-\uaa5f\uaa80-\uaadf"  # Khmer; Tai Le, New Tai Lue, Tham, Cham, Viet
    "\u1b00-\u1b7f\ua980-\ua9df\ua000-\ua4cf"  # Balinese, Javanese, Yi
    "\u2e80-\u312f\u31a0-\u33ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uff9f"
    "\U00016fe0-\U00018d8f\U0001aff0-\U0001b2ff\U00020000-\U000323af"  # all of Chinese and Japanese, Tangut, Nushu
)
"""Scripts that put no space between words."""
JOINING = "\u1039\u17d2\u1a60\u1b44\ua9c0"
"""Signs that join the letter behind them to the one before."""
MARK = re.compile(rf"[{UNSPACED}]")
PUNCTUATION = re.compile(
    r"[\u0589\u05be\u05c0\u05c3\u0600-\u060f\u061b-\u061f\u066a-\u066d\u06d4\u0964\u0965\u1360-\u1368]"
)
"""Of other scripts than Latin; 13a knows ASCII's alone, and would take a full stop for a part of the last word."""


@dataclass(frozen=True, slots=True)
class Bleu:
    """sacrebleu's sentence BLEU of the final document against the goal's reference, over 100.

    sacrebleu's own defaults: words by the tokenizer 13a, smoothing "exp". In scripts without spaces between words each
    written syllable or character is a word, as sacrebleu's tokenizer "zh" has it for Chinese. Without a document, 0.
    """

    name: str = "bleu"

    def check(self, goal: Goal) -> None:
        if find_spec("sacrebleu") is None:
            raise MissingExtraError.of("BLEU needs sacrebleu", "evaluate")
        if not (goal.reference or "").strip():
            raise UsageError(
                'bleu needs a document to compare with: Goal(text=..., reference=...), or "reference" in the row.'
            )

    def artefact(self, goal: Goal) -> str:
        return WANTED

    def value(self, evidence: Evidence) -> float:
        from sacrebleu import sentence_bleu

        document, reference = segmented(evidence.artefact or ""), segmented(evidence.goal.reference or "")
        score = sentence_bleu(document, [reference]).score
        return min(float(score) / 100, 1.0)  # a perfect match is 100.00000000000004


def segmented(text: str) -> str:
    """The text with spaces between the characters of scripts that have none between words; other words stay whole.

    A character keeps its vowel signs and tone marks, and what a joining sign puts below it.
    """
    text = PUNCTUATION.sub(r" \g<0> ", unicodedata.normalize("NFC", text))
    if not MARK.search(text):
        return text
    pieces: list[str] = []
    for place, character in enumerate(text):
        if not MARK.match(character):
            separated = place and MARK.match(text[place - 1]) and not unicodedata.category(character).startswith("M")
            pieces.append(" " + character if separated else character)
        elif unicodedata.category(character).startswith("M") or (place and text[place - 1] in JOINING):
            pieces.append(character)
        else:
            pieces.append(" " + character)
    return "".join(pieces)
