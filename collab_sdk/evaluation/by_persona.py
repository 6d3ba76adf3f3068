"""How a bot fares with users of each persona, beside users without one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from collab_sdk.evaluation.asking_statistics import MACROS, SHARES
from collab_sdk.evaluation.statistics import BotResult, BotStatistic, bot_statistics, share_statistic
from collab_sdk.simulator import NOBODY
from collab_sdk.types import End, Persona

GAVE_UP = "user gave up"


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonaResult:
    """One bot's conversations, by persona; the first is nobody in particular.

    In `statistics` a mean is one persona's, and a difference a persona minus nobody, over the conversations with the
    same goal and sample index that both have.
    """

    bot: str
    personas: tuple[str, ...]
    results: tuple[BotResult, ...]
    statistics: tuple[BotStatistic, ...]


def without_persona(result: BotResult, personas: Sequence[Persona]) -> BotResult:
    """What is compared with other bots: the conversations of users without a persona, where there are others too."""
    return _of(result, NOBODY.name) if personas else result


def by_persona(results: Sequence[BotResult], personas: Sequence[Persona]) -> list[PersonaResult]:
    """For each bot what its evaluation by `personas` found; none where there are none."""
    names = (NOBODY.name, *(persona.name for persona in personas))
    return [_persona_result(result, names) for result in results] if personas else []


def _persona_result(result: BotResult, names: tuple[str, ...]) -> PersonaResult:
    parts = tuple(_of(result, name) for name in names)
    # Whether the bot's first answer asks was settled before its user had said who they are.
    of_all = [each for each in bot_statistics(parts) if each.name not in (*SHARES, *MACROS)]
    left = share_statistic(GAVE_UP, lambda one: one.future.end is End.GAVE_UP, parts)
    return PersonaResult(bot=result.name, personas=names, results=parts, statistics=(*of_all, left))


def _of(result: BotResult, persona: str) -> BotResult:
    return replace(result, played=tuple(one for one in result.played if one.future.persona == persona))
