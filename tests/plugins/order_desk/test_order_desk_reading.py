"""Replies at the order desk are read by their meaning, and nothing is credited that was not said."""

from itertools import combinations

import pytest
from collab_order_desk.baristas import NATURAL
from collab_order_desk.lexicon import mentions, plain
from collab_order_desk.natural import SYNONYMS, UNHEARD
from collab_order_desk.phrasings import PHRASINGS
from collab_order_desk.speech import read_reply, write_order, write_question
from collab_order_desk.wording import part
from collab_order_desk.world import NAMES, SLOT_OF, SLOTS, named_in, orders
from hypothesis import given, settings
from hypothesis import strategies as st

WANTED = {"drink": "latte", "size": "large", "milk": "oat", "syrup": "honey", "service": "to go"}
every_order = st.fixed_dictionaries({slot.name: st.sampled_from(slot.values) for slot in SLOTS})
every_question = st.sets(st.sampled_from(NAMES), min_size=1)

ORDERS = (
    "Sure, that's one large latte with oat milk and honey syrup, to take away.",
    "Great! So that's a large oat milk latte with honey, to go. Coming right up!",
    "So a large oat latte with honey, to go?",
    "To confirm: a large latte, oat milk, honey syrup, takeaway. Is that correct?",
    "**Your order:**\n\n- Drink: Latte\n- Size: Large\n- Milk: Oat\n- Syrup: Honey\n- Service: To go",
    "1. Large latte\n2. Oat milk\n3. Honey syrup\n4. To go",
    "I've got a LARGE LATTE with OAT MILK & HONEY, TO GO.",
    "Your large honey latte with oatmilk will be ready in a minute, to go!",
    "No problem! One large latte with oat milk and honey syrup to go.",
    "No worries, one big oat latte with honey, to take with you.",
    "Not soy, got it: a large latte with oat milk and honey syrup, to go.",
    "Sorry, I misheard. Not small but large: a large latte with oat milk and honey syrup to go.",
    "I've changed it from vanilla to honey: one large oat latte with honey, to go.",
    "A large latte to go, with oat milk instead of whole milk, and honey syrup.",
    "Okay! One large latte with oat milk and honey syrup, to go. Anything else?",
    "Okay, one large latte with oat milk and honey syrup, to go. Would you like anything else with that?",
    "One large latte with oat milk and honey syrup, to go. Let me know if you'd like a different size!",
    "Thank you. Your order is a large latte with oat milk, honey flavour, take-out.",
    "You ordered a large latt\u00e9 with oat milk and honey syrup to go.",
    "You\u2019d like a large latte \u2013 oat milk, honey syrup \u2013 to go.",
    "Here you go: one large latte with oat milk and honey syrup, to go.",
    "Here is your large latte with oat milk and honey syrup, to go. It's ready to go now!",
    "If you like, I'll make you a large latte with oat milk and honey syrup to go.",
    "We have your order ready: a large latte, oat milk, honey syrup, to go.",
    "A large latte with oat milk and honey syrup. It's to go. That's a large latte to go.",
    "Barista: One large latte with oat milk and honey syrup, to go.",
    "One large latte with oat milk and honey syrup, to go. That'll be $4.50, what's the name for the cup?",
    '"Large latte, oat milk, honey syrup, to go" - coming up!',
    "Large | latte | oat milk | honey syrup | to go",
    "Sure! I can make a large latte with oat milk and honey syrup to go for you.",
    "The large latte with the oat milk and the honey syrup, for you to take away, is on its way.",
    "I'd like to confirm a large latte with oat milk and honey syrup to go.",
    "You can pick up your large latte with oat milk and honey syrup, to go, at the counter.",
    "Without further ado, one large latte with oat milk and honey syrup, to go!",
)
"""Of `WANTED`."""
QUESTIONS: dict[str, set[str]] = {
    "Which size would you like, and is that for here or to go?": {"size", "service"},
    "Sure! What size?": {"size"},
    "Would you like that small, medium or large?": {"size"},
    "A latte, great. Oat or soy?": {"milk"},
    "Would you like oat milk in that?": {"milk"},
    "Any syrup?": {"syrup"},
    "And milk?": {"milk"},
    "Is this to go?": {"service"},
    "Will you be drinking it here?": {"service"},
    "Will you eat in or take away?": {"service"},
    "Staying in, or shall I put it in a cup to take with you?": {"service"},
    "What size latte would you like?": {"size"},
    "Which milk would you like in your large latte?": {"milk"},
    "What syrup would you like with your oat milk latte?": {"syrup"},
    "How big should it be?": {"size"},
    "How large would you like your latte?": {"size"},
    "What would you like to drink?": {"drink"},
    "Which drink would you like, and what size?": {"drink", "size"},
    "What size drink would you like?": {"size"},
    "What would you like to drink, and for here or to go?": {"drink", "service"},
    "Please tell me which milk and syrup you would like.": {"milk", "syrup"},
    "Could you let me know the size and the milk you'd prefer?": {"size", "milk"},
    "You didn't mention the size.": {"size"},
    "I just need to know the syrup.": {"syrup"},
    "I'm not sure which milk you'd like.": {"milk"},
    "Which milk would you like? We have whole, skim, oat, soy and almond.": {"milk"},
    "We have vanilla, hazelnut, caramel, chocolate and honey. Which would you like?": {"syrup"},
    "For the syrup, we have:\n- Vanilla\n- Hazelnut\n- Honey\nWhich one do you prefer?": {"syrup"},
    "Sorry, we're out of oat milk. Would you like soy or almond instead?": {"milk"},
    "One large latte with oat milk to go, sure. Which syrup?": {"syrup"},
    "Sure, one large latte with oat milk, and which syrup would you like?": {"syrup"},
    "One large latte with oat milk and honey syrup. For here or to go?": {"service"},
    "One large latte with oat milk and honey syrup, to go. What size was that again?": {"size"},
    "One large latte with honey syrup, to go. Would you like oat milk?": {"milk"},
    "What kind of milk? What flavour? And is it for here or to go? It is our pleasure.": {"milk", "syrup", "service"},
    "1. What size?\n2. What milk?\n3. Any syrup?": {"size", "milk", "syrup"},
    "Hi there! what's the size you want": {"size"},
    "Okay, which size?": {"size"},
    "Right, and the milk?": {"milk"},
    "For the milk, what would you prefer?": {"milk"},
    "What syrup do you have in mind?": {"syrup"},
    "Before I start, which flavor of syrup (vanilla, hazelnut, caramel, chocolate, honey) should I use?": {"syrup"},
}
MALFORMED = (
    "",
    "?",
    "Hello! How can I help you today?",
    "Thank you for your order! Have a great day!",
    "A large latte with oat milk, to go.",
    "A large latte with oat milk, no syrup, to go.",
    "A large latte with oat milk, without honey syrup, to go.",
    "I'm sorry, but we don't have a large latte with oat milk and honey syrup to go.",
    "I can't make a large latte with oat milk and honey syrup to go.",
    "One large latte with oat milk and honey syrup. Here you go!",
    "One large latte with oat milk and honey syrup, ready to go with you in no time",
    "One large latte with oat milk and honey syrup. I'm here to help.",
    "One large latte with oat milk or soy milk, honey syrup, to go.",
    "One large latte with semi-skimmed milk and honey syrup, to go.",
    "One extra large latte with oat milk and honey syrup, to go.",
    "One large latte with oat milk to go, and a honey cake.",
    "One large hot chocolate with oat milk and honey syrup, to go.",
    "Sure, honey! One large latte with oat milk, to go.",
    "One large latte with oat syrup and honey milk, to go.",
    "One large latte with oat milk, to go. We also have honey syrup.",
    "We have lattes and mochas, large or small, with oat milk, honey syrup, to go or for here.",
    "I'd like a large latte with oat milk and honey syrup, to go.",
    "Customer: A large latte with oat milk and honey syrup, to go.",
    "**User:** A large latte with oat milk and honey syrup, to go.",
    "Customer: I'd like a large latte with oat milk and honey syrup, to go.\nBarista: Sure!",
    "A large latte with oat milk and honey syrup, to go, please.",
    "Can you please provide a soy milk-based latte?",
    "I can make it for you, but I'll have to order it from the bar. I'll have it for you tomorrow.",
    "Sure, I can add a small amount of oat milk and caramel syrup to your order.",
    "I'm sorry for any confusion, but as a food delivery service, I don't accept any drinks with milk or vanilla.",
    "Can I get a large latte with oat milk and honey syrup, to go?",
    "Two large lattes with oat milk and honey syrup, to go.",
    "One large latte with oat milk and honey syrup, to go, and one small mocha with soy milk.",
    "Size: Large\nDrink: Latte\nMilk: \nSyrup: Honey\nService: To go",
    "Our milks and syrups are the best, and all our sizes are large.",
    "I recommend honey. One large latte with oat milk to go.",
    "Is everything okay?",
    "It's late. One large coffee with oat milk and honey syrup, to go.",
    "okay , one large latte with oat milk and oat milk and honey syrup , to go .",
    "You can pick up your large latte with oat milk at the counter, it's ready to go.",
    "You are welcome to go with whatever you like.",
    '<tool_call>\n{"name": "place_order", "arguments": {"drink": "latte", "size": "large", "milk": "oat", '
    '"syrup": "honey", "service": "to go"}}\n</tool_call>',
    "place_order(drink='latte', size='large', milk='oat', syrup='honey', service='to go')",
)


@pytest.mark.parametrize("text", ORDERS)
def test_an_order_is_read_in_whatever_words_it_is_told(text):
    reply = read_reply(text)
    assert reply.order == WANTED, reply
    assert not reply.asked


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_is_about_the_slots_that_it_asks_for(text):
    reply = read_reply(text)
    assert reply.asked == QUESTIONS[text]
    assert reply.order is None


@pytest.mark.parametrize("text", MALFORMED)
def test_what_was_not_said_is_not_credited(text):
    assert read_reply(text).is_malformed, read_reply(text)


@given(every_order, st.randoms(use_true_random=False))
def test_an_order_survives_whatever_way_a_barista_tells_it(order, random):
    reply = read_reply(NATURAL.order(order, random))
    assert reply.order == order
    assert not reply.asked


@given(every_question, st.randoms(use_true_random=False))
def test_a_question_survives_whatever_way_a_barista_asks_it(slots, random):
    reply = read_reply(NATURAL.question(slots, random))
    assert reply.asked == slots
    assert reply.order is None


@pytest.mark.parametrize("phrasings", sorted(PHRASINGS))
@settings(max_examples=20)
@given(order=every_order, slots=every_question, random=st.randoms(use_true_random=False))
def test_users_say_what_they_name_and_nothing_else_in_all_their_sentences(phrasings, order, slots, random):
    way, named = PHRASINGS[phrasings], part(order, [name for name in NAMES if name in slots])
    assert said(way.opening(named, random)) == named
    for sentence in (*way.answers, *way.reminders):
        assert said(way.say([sentence], random, named=named)) == named
    for sentence in (*way.vague, *way.thanks, *way.acceptances, *way.farewells, *way.what):
        assert not said(way.say([sentence], random))


@pytest.mark.parametrize("phrasings", sorted(PHRASINGS))
@settings(max_examples=40)
@given(slot=st.sampled_from(SLOTS), random=st.randoms(use_true_random=False))
def test_a_correction_names_what_is_right_and_rules_out_what_is_wrong(phrasings, slot, random):
    right, wrong = random.sample(slot.values, 2)
    way = PHRASINGS[phrasings]
    for sentence in way.corrections:
        text = way.say([sentence], random, named={slot.name: right}, wrong={slot.name: wrong})
        assert said(text) == {slot.name: right}, text


def said(text: str) -> dict[str, str]:
    return {SLOT_OF[value]: value for value in named_in(text)}


def test_the_desks_own_few_words_mean_what_they_always_did():
    for order in (*orders("train"), *orders("held-out")):
        reply = read_reply(write_order(order))
        assert (reply.order, reply.asked) == (order, frozenset())
    for slots in (slots for size in range(1, 6) for slots in combinations(NAMES, size)):
        assert read_reply(write_question(slots)).asked == set(slots)


def test_the_held_out_users_have_sentences_and_words_of_their_own():
    trained, unseen = PHRASINGS["natural"], PHRASINGS["natural-unseen"]
    for kind in ("requests", "answers", "corrections", "vague", "reminders", "thanks", "farewells", "what"):
        assert not set(getattr(trained, kind)) & set(getattr(unseen, kind)), kind
    known, new = (
        {word for words in synonyms.values() for text in words for word in text.split()}
        for synonyms in (SYNONYMS, UNHEARD)
    )
    assert {"takeaway", "soya", "no-fat", "expresso"} <= new - known


@given(st.text(max_size=300))
def test_whatever_is_written_is_read(text):
    reply = read_reply(text)
    assert reply.order is None or set(reply.order) == set(NAMES)
    assert all(0 <= mention.start < mention.end <= len(plain(text)) for mention in mentions(plain(text)))
