"""The overviews of comparisons: bots with each other, and the simulated user with the real ones."""

from collections import Counter
from collections.abc import Iterator
from math import isfinite, nan

from collab_sdk.report.fields import Row, count, mapping, number, rows, text, texts
from collab_sdk.report.fields import future as read_future
from collab_sdk.report.overview import (
    Overview,
    Plot,
    Remark,
    Table,
    count_users,
    decimal,
    usage_table,
    users_remarks,
    users_table,
)
from collab_sdk.report.plots import scatter, whiskers
from collab_sdk.report.settings import settings_table
from collab_sdk.simulator import UserTotals
from collab_sdk.stats import BRACKETS, Estimate, said_of_many

CHANCE = 0.5
SERIES = 5
"""Bots that have a colour of their own."""


def evaluation_overview(evaluation: Row) -> Overview:
    """Bots side by side on one task."""
    bots, statistics, results = (
        texts(evaluation.get("bots")),
        rows(evaluation.get("figures")),
        rows(evaluation.get("results")),
    )
    found = Overview(tiles=[(f"{len(bots):,}", "bots")])
    played = [rows(result.get("conversations")) for result in results]
    found.tiles.append((f"{sum(map(len, played)):,}", "conversations"))
    if missing := sum(one.get("error") is not None for chats in played for one in chats):
        found.remarks.append(Remark(text=f"{missing:,} conversations failed and are in no statistic.", mood="look"))
    users = UserTotals()
    count_users(users, (future for chats in played for one in chats if (future := read_future(one)) is not None))
    found.remarks += users_remarks(users)
    head = (text(evaluation.get("task")) or "evaluation", *bots, *(f"{bot} minus {bots[0]}" for bot in bots[1:]))
    cells: list[tuple[str, ...]] = []
    shown: list[Estimate | None] = []
    for statistic in statistics:
        means, differences = (_estimates(statistic.get(part)) for part in ("means", "differences"))
        shown += [*means, *differences]
        name = text(statistic.get("name"))
        cells.append((name, *map(_written, means), *(_written(one, "+.3f") for one in differences)))
        known = [
            (bot, place, one)
            for place, (bot, one) in enumerate(zip(bots, means, strict=False))
            if one is not None and isfinite(one.mean)
        ]
        if known:
            caption = "; ".join(f"{bot} {_written(one)}" for bot, _, one in known)
            points = [(bot, f"series-{place % SERIES}", one.mean, one.low, one.high) for bot, place, one in known]
            svg = whiskers(points, x=name)
            found.plots.append(Plot(title=name, svg=svg, caption=f"{caption}."))
    ends = [Counter({end: count(n) for end, n in mapping(result.get("ends")).items()}) for result in results]
    for end in dict.fromkeys(end for counts in ends for end in counts):
        cells.append((f"ends: {end}", *(f"{counts[end]:,}" for counts in ends), *("" for _ in bots[1:])))
    note = f"{BRACKETS} Of differences, over pairs with the same goal. {said_of_many(shown)}".strip()
    found.tables.append(Table(title="Bots side by side", head=head, rows=tuple(cells), note=note))
    found.tables += map(_persona_table, rows(evaluation.get("by_persona")))
    found.tables += [table] if (table := users_table(users)).rows else []
    found.details = list(_evaluation_details(evaluation, results))
    return found


def _persona_table(by: Row) -> Table:
    """A bot with users of each persona, and the difference to those without one."""
    personas = texts(by.get("personas"))
    cells: list[tuple[str, ...]] = []
    shown: list[Estimate | None] = []
    for statistic in rows(by.get("figures")):
        means, differences = (_estimates(statistic.get(part)) for part in ("means", "differences"))
        shown += [*means, *differences]
        for name, mean, difference in zip(personas, means, (None, *differences), strict=False):
            less = "" if name == personas[0] else _written(difference, "+.3f")
            cells.append(
                (f"{text(statistic.get('name'))}: {name}", _written(mean), less, f"{mean.n:,}" if mean else "-")
            )
    note = f"{BRACKETS} Of differences, over pairs with the same goal. {said_of_many(shown)}".strip()
    bot = text(by.get("bot"))
    return Table(title=f"By persona: {bot}", head=("", bot, "minus none", "n"), rows=tuple(cells), note=note)


def _evaluation_details(evaluation: Row, results: list[Row]) -> Iterator[Table]:
    for result in results:
        usage = mapping(result.get("usage_by_role")) or {"all roles": mapping(result.get("usage"))}
        table = usage_table(usage, title=f"Calls and money: {text(result.get('bot'))}")
        if table is not None:
            yield table
    settings = _settings(evaluation, names=("simulator", "judge", "samples"), details=("exchanges",))
    if settings is not None:
        yield settings


def _settings(row: Row, *, names: tuple[str, ...], details: tuple[str, ...] = ()) -> Table | None:
    """Of the row's provenance; of these names where it has none."""
    made_with = mapping(row.get("made_with")) or {name: row[name] for name in names if name in row}
    return settings_table([made_with], {name: row[name] for name in details if name in row})


def check_overview(check: Row) -> Overview:
    """The simulated user beside the real ones."""
    statistics, turns = rows(check.get("figures")), rows(check.get("turns"))
    found = Overview(tiles=[(f"{len({text(turn.get('conversation_id')) for turn in turns}):,}", "conversations")])
    found.tiles.append((f"{len(turns):,}", "turns compared"))
    cells, points = [], []
    for statistic in statistics:
        simulated, difference = _estimate(statistic.get("simulated")), _estimate(statistic.get("difference"))
        name, real = text(statistic.get("name")), number(statistic.get("real"))
        form = ".1f" if statistic.get("percent") is True else ".2f"
        shown = "" if difference is None else _written(difference, f"+{form}")
        label = f"- {name}" if text(statistic.get("part_of")) else name
        written = (label, decimal(real, form), _written(simulated, form), shown)
        cells.append((*written, f"{simulated.n:,}" if simulated else "-", text(statistic.get("meaning"))))
        # Counted in words, or from 0 to 100, it would dwarf the shares.
        is_large = name == "words" or statistic.get("percent") is True
        if difference is not None and isfinite(difference.mean) and not is_large:
            points.append((name, "accent", difference.mean, difference.low, difference.high))
        if name == "told apart, AUC" and simulated is not None:
            told = simulated.low is not None and simulated.low > CHANCE
            claim = (
                "can be told from the real ones" if told else "cannot be told from the real ones, by this classifier"
            )
            said = f"Simulated messages {claim}: AUC {_written(simulated, '.2f')}, where {CHANCE} is perfect."
            found.remarks.append(Remark(text=said, mood="look" if told else "good"))
        if name == "fits, AUC" and simulated is not None:
            found.remarks += _fit_remarks(simulated)
    faults = Counter(fault for turn in turns if (fault := text(turn.get("fault"))))
    if faults:
        kinds = ", ".join(f"{kind} ({times:,})" for kind, times in faults.most_common())
        many = f"{faults.total():,} simulated turns"
        said = f"{many} are such as no user would write: {kinds}. That is the simulator's fault."
        found.remarks.append(Remark(text=said, mood="look"))
    if points:
        svg = whiskers(points, x="simulated minus real", zero=True)
        caption = "With 95 % intervals over chats; an interval that leaves out 0 is a difference that is hardly chance."
        found.plots.append(Plot(title="How the simulated user differs", svg=svg, caption=caption))
    rewards = [(number(row.get("simulated")), number(row.get("observed"))) for row in rows(check.get("rewards"))]
    known = [(mr, observed) for mr, observed in rewards if mr is not None and observed is not None]
    if known:
        simulated_rewards, observed_rewards = zip(*known, strict=True)
        svg = scatter(simulated_rewards, observed_rewards, x="MR", y="observed reward", line=1)
        caption = "A point is a turn; on the dashed line, MR is what real users gave."
        found.plots.append(Plot(title="MR beside what really followed", svg=svg, caption=caption))
    head = ("", "real", "simulated", "difference", "n", "meaning")
    figures = [_estimate(statistic.get(part)) for statistic in statistics for part in ("simulated", "difference")]
    note = f"{BRACKETS} {said_of_many(figures)}".strip()
    found.tables.append(Table(title="Simulated and real users", head=head, rows=tuple(cells), note=note, words=(5,)))
    details = [
        usage_table(mapping(check.get("usage"))),
        _settings(check, names=("simulator", "assistant", "judge", "window", "samples")),
    ]
    found.details = [table for table in details if table is not None]
    return found


def _fit_remarks(fits: Estimate) -> list[Remark]:
    """What the conditional test found. A value on either side of chance is a difference from real users."""
    if fits.low is None or fits.high is None:
        return []
    if fits.low > CHANCE:
        claim, mood = "fit the conversation less well than the real users'", "look"
    elif fits.high < CHANCE:
        claim, mood = (
            "are more typical of their place than what real users write there, which is a difference too",
            "look",
        )
    else:
        claim, mood = "fit the conversation as well as the real users', by this test", "good"
    return [
        Remark(text=f"Simulated replies {claim}: AUC {_written(fits, '.2f')}, where {CHANCE} is perfect.", mood=mood)
    ]


def _estimates(value: object) -> list[Estimate | None]:
    return [_estimate(item) for item in value] if isinstance(value, list) else []


def _estimate(value: object) -> Estimate | None:
    row = mapping(value)
    mean, low, high = (number(row.get(name)) for name in ("mean", "low", "high"))
    if mean is None:
        note = text(row.get("note"))
        return Estimate(mean=nan, low=None, high=None, n=count(row.get("n")), note=note) if note else None
    counted = None if row.get("count") is None else count(row["count"])
    return Estimate(mean=mean, low=low, high=high, n=count(row.get("n")), count=counted, note=text(row.get("note")))


def _written(estimate: Estimate | None, form: str = ".3f") -> str:
    return "-" if estimate is None else f"{estimate:{form}}"
