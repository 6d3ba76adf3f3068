"""A share of the conversations is recorded, each of them whole."""

from collections import Counter
from dataclasses import replace

import pytest
from support.apps import App, Exchange, Step, Story, play
from support.kept import Kept

from collab_sdk.harvest import Recorder

ALIKE = [
    ("Where is order {}?", "Order {} was shipped on Monday."),
    ("yes", "Done."),
    ("Can it go to Berlin?", "It can."),
    ("thanks", "You're welcome!"),
    ("yes", "Done."),
    ("bye", "Bye!"),
]
OWN = [
    ("Where is order {}?", "Order {} was shipped on Monday, and will arrive this week."),
    ("Can order {} go to Berlin?", "It can. Shall I have order {} sent to Berlin?"),
    ("yes", "Done: order {} goes to Berlin. Is there anything else?"),
    ("And if I want to return order {}?", "Then send order {} back to us within 30 days."),
    ("thanks", "You're welcome! Order {} is on its way to Berlin now."),
    ("bye", "Bye!"),
]


def story(exchanges, number):
    looked_up = ((Step(tool="look_up", argument=str(number), result="shipped"),),)
    said = [
        Exchange(said=asked.format(number), reply=reply.format(number), steps=() if place else looked_up)
        for place, (asked, reply) in enumerate(exchanges)
    ]
    return Story(exchanges=tuple(said))


def sampled(app, exchanges, *, processes=1):
    """How many calls were recorded of each of forty chats, and how many each has. They go on side by side."""
    stories = [story(exchanges, number) for number in range(40)]
    calls = play(app, stories).calls
    chats = [call.conversation_id for call in play(replace(app, ids="named"), stories).calls]
    store = Kept()
    recorders = [Recorder(store, sample=0.5, sync=True) for _ in range(processes)]
    for number, call in enumerate(calls):
        recorders[number % processes].record(call)
    recorded = {call.run_id for call in store}
    counts = Counter(chat for call, chat in zip(calls, chats, strict=True) if call.run_id in recorded)
    return [counts[chat] for chat in dict.fromkeys(chats)], len(calls) // len(stories)


def assert_whole_or_not_at_all(counts, whole):
    assert set(counts) == {0, whole}
    assert 8 < counts.count(whole) < 32


@pytest.mark.parametrize("system", ["none", "fixed", "time", "facts"])
def test_whatever_the_system_prompt_every_process_decides_alike(system):
    app = App(history="whole", system=system, ids="none")
    assert_whole_or_not_at_all(*sampled(app, ALIKE, processes=3))


@pytest.mark.parametrize(
    "app",
    [
        App(history="response", system="time", ids="none"),
        App(history="window", size=5, ids="none"),
        App(history="window", size=3, ids="none"),
        App(history="summary", summary="user", ids="none"),
        App(history="whole", template=True, ids="none"),
        App(history="whole", shown="chat", template=False, ids="none"),
    ],
    ids=lambda app: f"{app.history} {app.size}{' in a template' * app.template}{' shown' * bool(app.shown)}",
)
def test_a_history_that_does_not_begin_with_the_chat_is_told_by_what_it_goes_on_from(app):
    assert_whole_or_not_at_all(*sampled(app, OWN))


def test_a_call_without_an_id_goes_with_the_named_chat_that_it_goes_on_from():
    apps = [App(history=history, ids="named") for history in ("whole", "response")]
    for app in apps:
        store = Kept()
        recorder = Recorder(store, sample=0.5, sync=True)
        for number in range(40):
            for place, call in enumerate(play(app, [story(OWN, number)]).calls):
                ids = {key: value and f"{value}-{number}" for key, value in _ids(call).items()}
                named = f"chat-{number}" if place < 3 else None
                recorder.record(replace(call, run_id=f"{number}-{place}", conversation_id=named, **ids))
        counts = Counter(call.run_id.partition("-")[0] for call in store)
        assert set(counts.values()) == {7}
        assert 8 < len(counts) < 32


def _ids(call):
    return {"response_id": call.response_id, "previous_response": call.previous_response}
