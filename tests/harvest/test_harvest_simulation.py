"""A bot that is watched in production can be simulated: what nobody said is not harvested."""

import asyncio

from collab_openai import wrap
from openai import AsyncOpenAI, OpenAI
from support.kept import Kept
from support.server import LoopbackServer

from collab_sdk import Engine, Rollout, Simulator
from collab_sdk.harvest import Recorder
from collab_sdk.offline import OfflineModel

HELLO = [{"role": "user", "content": "A flat white, please."}]


def simulate(bot) -> None:
    simulator = Simulator(OfflineModel(), engine=Engine())
    futures = Rollout(assistant=bot, simulator=simulator).futures(
        [*HELLO, {"role": "assistant", "content": "With which milk?"}], goal="drink: flat white\nmilk: oat"
    )
    assert all(future.error is None for future in futures)


def test_simulated_calls_of_a_watched_client_are_not_recorded():
    store = Kept()
    recorder = Recorder(store)
    with LoopbackServer() as server:
        client = wrap(OpenAI(base_url=server.api_base, api_key="k"), recorder)

        def bot(messages):
            return client.chat.completions.create(model="x", messages=messages)

        simulate(bot)
        simulated = server.count
        bot(HELLO)
        client.close()
    assert recorder.flush(10)
    assert simulated > 0
    assert [list(call.messages) for call in store] == [HELLO]


def test_nor_are_those_of_an_async_one():
    store = Kept()
    recorder = Recorder(store)
    with LoopbackServer() as server:

        async def main() -> None:
            async with wrap(AsyncOpenAI(base_url=server.api_base, api_key="k"), recorder) as client:

                async def bot(messages):
                    return await client.chat.completions.create(model="x", messages=messages)

                rollout = Rollout(assistant=bot, simulator=Simulator(OfflineModel(), engine=Engine()))
                await rollout.afutures([*HELLO, {"role": "assistant", "content": "Hot?"}], goal="drink: flat white")
                await bot(HELLO)

        asyncio.run(main())
    assert recorder.flush(10)
    assert [list(call.messages) for call in store] == [HELLO]
