"""Users who speak in natural sentences: one set of phrasings to train with, and another, with words of its own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from collab_order_desk.wording import Phrasings
from collab_order_desk.world import Order

Synonyms = Mapping[str, Sequence[str]]
SYNONYMS: Synonyms = {
    "large": ("large", "large", "big"),
    "whole": ("whole milk", "whole milk", "full-fat milk"),
    "skim": ("skim milk", "skimmed milk"),
    "to go": ("to go", "to go", "to take away"),
    "here": ("for here", "for here", "to drink here"),
}
UNHEARD: Synonyms = {
    "medium": ("medium", "medium-sized"),
    "cappuccino": ("cappuccino", "cappucino"),
    "espresso": ("espresso", "expresso"),
    "hazelnut": ("hazelnut", "hazelnut flavour"),
    "caramel": ("caramel", "caramel flavour"),
    "whole": ("whole milk", "full cream milk"),
    "skim": ("skim milk", "no-fat milk", "nonfat milk"),
    "soy": ("soy milk", "soya milk"),
    "to go": ("to go", "as a takeaway", "to take with me"),
    "here": ("for here", "to have in here", "to stay"),
}
"""Words that no training conversation has, beside some that it has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """How the parts of an order are put."""

    synonyms: Synonyms
    after: Mapping[str, Sequence[str]]
    """Slot to sentences that name it once the rest was ordered."""

    def of(self, name: str, value: str, random: Random) -> str:
        usual = f"{value} milk" if name == "milk" else value
        word = random.choice(self.synonyms.get(value, (usual,)))
        return f"{word} syrup" if name == "syrup" and word == value and random.random() < 0.5 else word

    def phrased(self, said: Order, random: Random) -> Sequence[str]:
        """`a large latte with oat milk, to go`, some of it in sentences of their own."""
        later = [name for name in self.after if name in said and random.random() < 0.2]
        words = {name: self.of(name, value, random) for name, value in said.items()}
        noun = [words["size"]] if "size" in words else []
        extras = [words[name] for name in ("milk", "syrup") if name in said and name not in later]
        if "milk" in said and "milk" not in later and random.random() < 0.35:
            noun.append(extras.pop(0))
        noun.append(words.get("drink", random.choice(("coffee", "drink"))))
        article = "an" if noun[0][0] in "aeiou" else "a"
        main = " ".join([article, *noun, *(["with", " and ".join(extras)] if extras else [])])
        if "service" in said and "service" not in later:
            main += random.choice((", ", " ")) + words["service"]
        return [main, *(random.choice(self.after[name]).format(words[name]) for name in later)]

    def spoken(self, said: Order, random: Random) -> str:
        """`large, oat milk and honey`"""
        *first, last = [self.of(name, value, random) for name, value in said.items()] or [""]
        return f"{', '.join(first)} and {last}" if first else last


def _casual(text: str, random: Random) -> str:
    """As people type: capitals and full stops or not, now and then in a hurry."""
    style = random.random()
    if style < 0.08:
        return text.upper()
    if style < 0.3:
        return text.lower().rstrip(".").replace("please", random.choice(("please", "please", "pls", "plz")))
    return re.sub(r"(^|[.!?] )([a-z])", lambda match: match[1] + match[2].upper(), text)


def _phrasings(words: _Words, **sentences: Sequence[str]) -> Phrasings:
    return Phrasings(phrased=words.phrased, spoken=words.spoken, finish=_casual, **sentences)


NATURAL: Mapping[str, Phrasings] = {
    "natural": _phrasings(
        _Words(
            synonyms=SYNONYMS,
            after={
                "milk": ("With {}, please.", "Make it {}."),
                "syrup": ("And {} in it, please.", "Oh, and I'd like {} in that."),
                "service": ("It's {}.", "That's {}, thanks."),
            },
        ),
        requests=(
            "Hi! Could I grab {}, please?",
            "Can I get {}, please?",
            "I'd like {}, please.",
            "I'd love {}.",
            "Hello, I'll have {}.",
            "Good morning! {} for me, please.",
            "Hey, could you make me {}?",
            "Hi there, how are you? Can I order {}?",
            "{}, please.",
            "May I have {}? Thanks!",
            "It smells great in here. I'll take {}.",
        ),
        answers=("{}, please.", "{}.", "{}, thanks.", "Oh, {}, please.", "That would be {}.", "Let's say {}."),
        corrections=(
            "No, that's not right. It should be {}.",
            "Sorry, I meant {}.",
            "Not quite, {}, please.",
            "Hmm, not {wrong}. {}, please.",
            "That's wrong, I asked for something else: {}.",
        ),
        vague=("No, that's not what I wanted.", "That isn't quite right.", "Hmm, something is wrong there."),
        reminders=("I said {}.", "As I said, {}.", "{}, I told you that."),
        thanks=("Perfect, thank you!", "Great, thanks.", "Thanks a lot!"),
        acceptances=("Okay, thanks.", "Alright.", "Okay."),
        farewells=("Never mind, I'll go somewhere else.", "Forget it, this takes too long."),
        what=("Sorry, what?", "Pardon?", "What do you mean?"),
    ),
    "natural-unseen": _phrasings(
        _Words(
            synonyms=UNHEARD,
            after={
                "milk": ("Use {} for that.", "{} if you can."),
                "syrup": ("A shot of {} would be nice.", "Could you put some {} in?"),
                "service": ("I want it {}.", "Oh, before I forget: {}."),
            },
        ),
        requests=(
            "Any chance of {}?",
            "I'm after {}, if that's alright.",
            "What I really need now is {}.",
            "Mind fixing me {}?",
            "Long day... {} would save my life.",
            "Is it possible to order {}?",
            "So, I've been thinking, and {} it is!",
            "Yo, {}.",
            "Let me try {} today.",
            "My colleague recommended this place! {}, if you would be so kind.",
        ),
        answers=("Make that {}.", "Hmm, {}, I think.", "{} would be lovely.", "I guess {}.", "Let me see... {}!"),
        corrections=(
            "Oops, you misheard me: {}.",
            "Could you change that? {} rather than {wrong}.",
            "Wait, {} instead of {wrong}.",
            "I believe there's a mistake, it was {}.",
        ),
        vague=("That doesn't sound like my order.", "Hm, you mixed something up."),
        reminders=("You already know that: {}.", "I mentioned it before, {}."),
        thanks=("Lovely, cheers!", "That's the one. Bye!", "Awesome, have a nice day."),
        acceptances=("Fine.", "Sounds okay."),
        farewells=("You know what, leave it.", "I don't have time for this, goodbye."),
        what=("I didn't get that.", "Come again?"),
    ),
}
"""`natural` is what models are trained with; `natural-unseen` is kept for evaluation."""
