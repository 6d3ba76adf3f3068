"""What no user would say makes a sample missing, by kind; what people really say does not."""

import pytest
from support.fakes import chat, judged, user_says
from support.paths import DATA

from collab_sdk import Engine, Goal, MRScorer, Rollout, Simulator
from collab_sdk.errors import SampleError, UserFaultError
from collab_sdk.logs import read_conversations
from collab_sdk.messages import as_messages
from collab_sdk.simulator import Fault, Situation, UserTurn
from collab_sdk.simulator.faults import check_turn
from collab_sdk.testing import FakeChatModel
from collab_sdk.types import End

CHATS = DATA / "coffee_chats.jsonl"
MENU = "We have a small one and a large one with oat milk. Which would you like?"
LONG = "You want to plan three days in Lisbon with your mother, who cannot walk far, in May, below 900 euros."
OWN = "I want to plan three days in Lisbon with my mother, who cannot walk far, in May, below 900 euros."
LISTED = "- three days in Lisbon\n- my mother cannot walk far\n- in May, below 900 euros"
FIELDS = "drink: a large mocha with oat milk and two shots of espresso, not too hot\norder type: to go"


def fault(said, *, messages=(), goal="a mocha", style=(), end=None):
    """The kind of fault, None without one, of a turn after chat messages that begin with the user."""
    situation = Situation(messages=as_messages(chat(*messages)), goal=Goal(text=goal, style=style))
    try:
        check_turn(UserTurn(message=said, end=end), situation, name="user")
    except UserFaultError as error:
        assert isinstance(error, SampleError) and str(error).startswith(f"The simulated user user {error.fault}")
        assert "\n" not in str(error)
        return error.fault
    return None


FAULTS = {
    "parrots": (Fault.PARROTS, {"said": MENU, "messages": ("hi", MENU)}),
    "parrots in other letters": (Fault.PARROTS, {"said": MENU.upper().replace(".", "!"), "messages": ("hi", MENU)}),
    "parrots an earlier message": (Fault.PARROTS, {"said": MENU, "messages": ("hi", MENU, "hm", "Take your time.")}),
    "parrots one sentence": (Fault.PARROTS, {"said": MENU.split(". ")[0] + ".", "messages": ("hi", MENU)}),
    "parrots most of it": (
        Fault.PARROTS,
        {"said": "well, we have a small one and a large one with oat milk, which would you", "messages": ("hi", MENU)},
    ),
    "offers help": (Fault.ANSWERS, {"said": "Hello! How can I help you today?"}),
    "quotes a line and offers help": (Fault.ANSWERS, {"said": "> hello\nHow can I help you today?"}),
    "offers more help": (
        Fault.ANSWERS,
        {"said": "Great. Is there anything else I can assist you with?", "messages": ("hi", MENU)},
    ),
    "is an AI": (Fault.ANSWERS, {"said": "As an AI language model, I do not drink coffee.", "messages": ("hi", MENU)}),
    "takes the order": (Fault.ANSWERS, {"said": "Sure! What can I get you?", "messages": ("hi", MENU)}),
    "serves": (Fault.ANSWERS, {"said": "Your order is ready at the counter.", "messages": ("hi", MENU)}),
    "asks what its user wants": (
        Fault.ANSWERS,
        {"said": "Would you like anything with that?", "messages": ("hi", MENU)},
    ),
    "agrees to help": (Fault.ANSWERS, {"said": "Of course, I'd be happy to help with your order!"}),
    "refuses as a model does": (Fault.ANSWERS, {"said": "I'm sorry, but I can't assist with that."}),
    "offers help in Spanish": (Fault.ANSWERS, {"said": "¡Hola! ¿En qué puedo ayudarte?"}),
    "says it a third time": (
        Fault.REPEATS,
        {
            "said": "a mocha, please",
            "messages": ("A mocha please!", "Which size?", "a mocha, please", "Yes, but which?"),
        },
    ),
    "yes without a question": (
        Fault.REPEATS,
        {"said": "yes", "messages": ("yes", "Good.", "yes", "I said good.")},
    ),
    "yes to the same question": (
        Fault.REPEATS,
        {"said": "yes", "messages": ("hi", "Oat or soy?", "yes", "Oat or soy?", "yes", "Oat or soy?")},
    ),
    "quotes the goal": (Fault.RECITES, {"said": LONG, "goal": LONG}),
    "quotes what it is told it wants": (Fault.RECITES, {"said": "You want to plan three days in Lisbon", "goal": LONG}),
    "quotes much of the goal": (
        Fault.RECITES,
        {"said": "hey, plan three days in Lisbon with my mother, who cannot walk far, in May", "goal": OWN},
    ),
    "quotes a list": (
        Fault.RECITES,
        {"said": "three days in Lisbon\nmy mother cannot walk far\nin May, below 900 euros", "goal": LISTED},
    ),
    "quotes keys and values": (Fault.RECITES, {"said": f"here: {FIELDS}", "goal": FIELDS}),
    "says nothing": (Fault.SAYS_NOTHING, {"said": " \u200b\n", "messages": ("hi", MENU)}),
    "begins by leaving": (Fault.LEAVES, {"said": "", "end": End.USER_DONE}),
    "writes a label": (Fault.FORGES, {"said": "User: a mocha please"}),
    "writes both sides": (Fault.FORGES, {"said": "a mocha\nAssistant: Sure!\nUser: thanks", "messages": ("hi", MENU)}),
    "writes a control token": (Fault.FORGES, {"said": "a mocha<|im_end|>"}),
    "writes the end of a text": (Fault.FORGES, {"said": "a mocha</s>"}),
    "writes another's control token": (Fault.FORGES, {"said": "[INST] a mocha [/INST]"}),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_no_user_would_say_is_found_with_its_kind(kind):
    expected, given = FAULTS[kind]
    given = dict(given)
    assert fault(given.pop("said"), **given) == expected


FINE = {
    "takes an offer": {"said": "a large one with oat milk", "messages": ("hi", MENU)},
    "says a few words of the assistant's": {"said": "which would you like?", "messages": ("hi", MENU)},
    "says again what it had said first": {
        "said": "I would like a large mocha with oat milk.",
        "messages": (
            "I would like a large mocha with oat milk.",
            "You said: I would like a large mocha with oat milk.",
        ),
    },
    "hands back a draft with a wish": {
        "said": "Make this shorter: The quarterly report is late because the figures of two branches are missing.",
        "messages": ("draft it", "The quarterly report is late because the figures of two branches are missing."),
    },
    "asks how to help somebody": {"said": "How can I help my son with fractions?"},
    "asks what can be done": {"said": "is there anything I can do to speed it up", "messages": ("hi", MENU)},
    "offers to answer": {"said": "Write a parser for this grammar. Let me know if you have any questions."},
    "cannot help": {"said": "sorry i can't help with that, i don't have the number", "messages": ("hi", MENU)},
    "offers more of its own": {"said": "Would you like me to paste the log?", "messages": ("it fails", "How?")},
    "speaks of its order": {"said": "is my order ready? your order page is down", "messages": ("hi", MENU)},
    "would be glad": {"said": "I'd be happy to help my neighbours but how?"},
    "asks for help": {"said": "can you help me? I need assistance with my order"},
    "quotes an assistant": {"said": 'the bot said "How can I help you today?" and then nothing'},
    "wants such a text": {"said": "write: how can i help you today", "goal": "a greeting: How can I help you today"},
    "yes to several questions": {
        "said": "yes",
        "messages": ("hi", "Oat milk?", "yes", "To go?", "yes", "Is that all?"),
    },
    "says it twice": {"said": "a mocha, please", "messages": ("A mocha please", "Which size?")},
    "says a short wish as it is": {
        "said": "a large mocha with oat milk, no nuts",
        "goal": "a large mocha with oat milk, no nuts",
    },
    "says its wish in its own words": {"said": "three days in Lisbon in May, my mother can't walk far", "goal": OWN},
    "says one value": {"said": "a large mocha with oat milk and two shots of espresso, not too hot", "goal": FIELDS},
    "says a problem as it stands": {
        "said": "Maya reads 12 pages on each weekday and 30 on each weekend day. How many in three weeks?",
        "goal": "Maya reads 12 pages on each weekday and 30 on each weekend day. How many in three weeks?",
    },
    "says what was its own before": {"said": OWN, "goal": OWN, "messages": (OWN, "Sorry?")},
    "says what it wrote elsewhere": {"said": OWN, "goal": OWN, "style": (OWN,)},
    "gives the text that is to be worked on": {
        "said": f'translate "{OWN}"',
        "goal": f'You want a translation of "{OWN}".',
    },
    "quotes a line and goes on": {
        "said": "> How can I help you today?\nthat is all it ever says",
        "messages": ("hi", MENU),
    },
    "writes code": {"said": "why does List.map (fun x -> x) <| xs |> f fail? [INSTALL] says nothing"},
    "names its system": {"said": "System: Windows 11\nRAM: 16 GB"},
    "leaves without a word": {"said": "", "end": End.USER_DONE, "messages": ("hi", MENU)},
    "tells of an order": {"said": "i got a text that your order has been delivered but there's nothing here"},
    "tells of a late order": {"said": "it says your order will be late, why?", "messages": ("hi", MENU)},
    "asks for a form": {"said": "would you like it in jpg or png?", "messages": ("hi", MENU)},
    "offers a photo": {"said": "would you like a photo of the damage? i can send it", "messages": ("hi", MENU)},
    "offers to tell more": {"said": "Would you like to know what my boss said?", "messages": ("hi", MENU)},
    "offers to test": {"said": "i'd be happy to help you test it", "messages": ("hi", MENU)},
    "brings a draft": {"said": "Thank you for your order. make it sound like this", "goal": "a mail"},
    "tells of a bot": {"said": "my bot always says how can i help you today and i hate it"},
    "tells of somebody in Spanish": {"said": "Estoy aquí para ayudar a mi madre con su factura"},
    "asks for proof": {"said": "what can i get you as proof?", "messages": ("hi", MENU)},
    "says who they are": {"said": "user: bob@corp.com", "messages": ("hi", "Your account?")},
    "tells of a token": {"said": "the error was <|im_end|> in my output, what is it?"},
    "goes on": {"said": "next", "messages": ("go", "Done.", "next", "Done.", "next", "Done.")},
    "is impatient": {"said": "...", "messages": ("hi", MENU)},
}


@pytest.mark.parametrize("kind", FINE)
def test_what_people_say_is_no_fault(kind):
    given = dict(FINE[kind])
    assert fault(given.pop("said"), **given) is None


@pytest.mark.skipif(not CHATS.exists(), reason=f"the real chats are not at {CHATS}")
def test_no_real_user_of_the_coffee_bar_has_a_fault():
    said = 0
    for conversation in read_conversations([CHATS], on_error=lambda error: pytest.fail(str(error))):
        for place, message in enumerate(conversation.messages):
            if message.role == "user":
                situation = Situation(messages=conversation.messages[:place], goal=conversation.goal)
                check_turn(UserTurn(message=message.content), situation, name="a real user")
                said += 1
    assert said > 600


STUBBORN = {
    "parrots": (lambda messages: messages[-1]["content"], Fault.PARROTS),
    "helps": (lambda messages: "How may I help you today?", Fault.ANSWERS),
    "repeats": (lambda messages: "where is my coffee then", Fault.REPEATS),
    "recites": (lambda messages, goal: goal.text, Fault.RECITES),
    "silent": (lambda messages: "", Fault.SAYS_NOTHING),
}


@pytest.mark.parametrize("kind", STUBBORN)
def test_a_fault_is_a_missing_sample_and_never_a_score(kind):
    user, expected = STUBBORN[kind]
    judge = FakeChatModel(lambda _: judged(), name="judge")
    rollout = Rollout(
        assistant=lambda messages: f"Let me see, that is order number {len(messages)} for today.",
        simulator=Simulator(user, engine=Engine()),
        window=4,
        samples=2,
    )
    score = MRScorer(rollout, judge=judge, metrics=["interactivity"]).score(
        chat("hello", "What can I bring you today, dear guest?"), goal=LONG
    )
    assert score.value is None and not judge.requests
    for future in score.futures:
        assert (future.end, future.reward) == (End.USER_FAILED, None)
        assert future.error is not None and expected in future.error


def test_a_user_who_is_stuck_is_missing_whether_the_bot_varies_its_answers_or_not():
    for bot in (lambda messages: "Which size would you like?", lambda messages: f"Answer number {len(messages)}."):
        simulator = Simulator(lambda messages: "I want a mocha with oat milk please", engine=Engine())
        rollout = Rollout(assistant=bot, simulator=simulator, window=6, samples=1)
        [future] = rollout.futures(chat("a coffee", "Which one?"), goal="a mocha")
        assert (future.end, future.fault) == (End.USER_FAILED, Fault.REPEATS)


def test_two_who_were_written_down_and_repeat_themselves_are_stopped():
    script = ["a large one, as I said"] * 5
    rollout = Rollout(
        assistant=lambda messages: "Which size?", simulator=Simulator(script, engine=Engine()), window=9, samples=1
    )
    [future] = rollout.futures(chat("a coffee", "Which one?"), goal="a mocha")
    assert (future.end, len(future.messages)) == (End.REPETITION, 6)


def test_a_prompted_users_fault_is_found_too():
    model = FakeChatModel([user_says("I'm here to help!")], name="gpt")
    rollout = Rollout(assistant="offline", simulator=Simulator(model, engine=Engine()), window=2, samples=1)
    [future] = rollout.futures(chat("hi", "What can I get you?"), goal="a mocha")
    assert future.end is End.USER_FAILED
    assert future.error == 'The simulated user gpt answers as the assistant: "I\'m here to help!".'


def test_what_was_written_down_is_not_checked():
    script = ["How can I help you today?", "Assistant: yes", "yes", "yes", "yes"]
    rollout = Rollout(
        assistant=lambda messages: f"{len(messages)}", simulator=Simulator(script, engine=Engine()), window=9, samples=1
    )
    [future] = rollout.futures(chat("hi", "What can I get you?"), goal="a mocha")
    assert (future.end, future.error) == (End.SCRIPT, None)


def test_a_user_who_never_leaves_is_ended_by_the_window():
    def user(messages, turn):
        return f"and another thing, number {turn}"

    rollout = Rollout(assistant="offline", simulator=Simulator(user, engine=Engine()), window=5, samples=1)
    [future] = rollout.futures(chat("hi", "What can I get you?"), goal="a mocha")
    assert (future.end, future.error) == (End.WINDOW, None)
    assert sum(message.role == "user" for message in future.messages) == 5


@pytest.mark.parametrize("text", ["\n" * 300_000, "x" * 300_000], ids=["lines", "word"])
def test_a_long_message_is_looked_at_in_time_by_its_length(text):
    assert fault(f"a mocha, please{text}") is None  # in quadratic time this takes half an hour
