"""The overview of pairs: how many, how far apart, and whether they are about collaboration or about length."""

from collections import Counter
from dataclasses import dataclass, field
from statistics import fmean, median

from collab_sdk.evaluation.questions import has_question_mark
from collab_sdk.report.agreement import ReviewAgreement
from collab_sdk.report.fields import Row, mapping
from collab_sdk.report.overview import (
    MR,
    OTHER_SCORE,
    Overview,
    Plot,
    Remark,
    Table,
    capitalised,
    count_users,
    counted,
    decimal,
    lost_remarks,
    percent,
    share,
    share_below,
    units_name,
    usage_table,
    users_remarks,
    users_table,
)
from collab_sdk.report.plots import bars, histogram, scatter
from collab_sdk.report.settings import settings_table, weights
from collab_sdk.simulator import UserTotals
from collab_sdk.stats import BRACKETS, Estimate, estimate_share

STRONG_LEAN = 0.15
"""Of the share of pairs in which chosen is longer, away from one half."""
MANY_WRONG = 0.1
"""Of the pairs: a share that is worth a look."""


@dataclass(kw_only=True, slots=True)
class PairStatistics:
    """Gathers what conversations tell, one after the other."""

    score: str = MR
    """What the scores of the file are called."""
    conversations: int = 0
    turns: int = 0
    held_out: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    reviewed: Counter[str] = field(default_factory=Counter)
    agreement: ReviewAgreement = field(default_factory=ReviewAgreement)
    failures: Counter[str] = field(default_factory=Counter)
    samples: dict[str, int] = field(default_factory=lambda: {"chosen": 0, "rejected": 0, "neither": 0})
    """Futures that were to be played after each candidate."""
    lost: dict[str, int] = field(default_factory=lambda: {"chosen": 0, "rejected": 0, "neither": 0})
    """Of these, how many failed."""
    candidates_lost: int = 0
    mr: dict[str, list[float]] = field(default_factory=lambda: {"chosen": [], "rejected": [], "neither": []})
    margins: list[float] = field(default_factory=list)
    sureness: list[tuple[float, float]] = field(default_factory=list)
    """Confidence and margin of each pair that has both."""
    metrics: dict[str, list[float]] = field(default_factory=dict)
    """By name, weighted: chosen minus rejected, of each pair."""
    more: list[tuple[float, ...]] = field(default_factory=list)
    """Of each pair: characters of chosen and of rejected, and its margin."""
    longer: list[list[float]] = field(default_factory=list)
    asks: dict[str, list[list[float]]] = field(default_factory=lambda: {"chosen": [], "rejected": []})
    """By conversation: whether a reply asks something."""
    calls: dict[str, list[int]] = field(default_factory=lambda: {"chosen": [], "rejected": []})
    """How many calls each side makes."""
    units: set[str] = field(default_factory=set)
    """What was scored: turns or decisions."""
    made_with: list[Row] = field(default_factory=list)
    pairs: int = 0
    users: UserTotals = field(default_factory=UserTotals)

    def add(self, chat: Row) -> None:
        self.conversations += 1
        self.units.add(chat["per"])
        self.score = self.score if chat["made_with"] else OTHER_SCORE
        if chat["made_with"] and chat["made_with"] not in self.made_with:
            self.made_with.append(chat["made_with"])
        longer: list[float] = []
        asks: dict[str, list[float]] = {"chosen": [], "rejected": []}
        for turn in chat["turns"]:
            self._add_turn(turn, chat["id"])
            pair = turn["pair"]
            if pair is None:
                continue
            sides = {side: turn["candidates"][pair[side]] for side in asks}
            for side, candidate in sides.items():
                asks[side].append(float(has_question_mark(candidate["text"])))
                self.calls[side].append(sum(len(message.get("calls", ())) for message in candidate["messages"]))
            lengths = [len(candidate["text"]) for candidate in sides.values()]
            if all(lengths) and lengths[0] != lengths[1]:  # a side of calls alone has no length to compare
                longer.append(float(lengths[0] > lengths[1]))
            self._add_pair(pair, sides, lengths, weights(chat["made_with"]))
        self.longer.append(longer)
        for side, values in asks.items():
            self.asks[side].append(values)

    def _add_turn(self, turn: Row, conversation: str) -> None:
        self.turns += 1
        self.held_out += turn["held_out"] and turn["pair"] is not None
        if turn["refused"]:
            self.refused[turn["refused"]] += 1
        if turn["review"]:
            decision = str(turn["review"].get("decision"))
            self.reviewed[decision] += 1
            if turn["pair"]:
                self.agreement.add(conversation, decision, turn["pair"]["margin"])
        self.candidates_lost += len(turn["lost"])
        self.failures.update(turn["lost"])
        pair = turn["pair"] or {}
        for place, candidate in enumerate(turn["candidates"]):
            role = {pair.get("chosen"): "chosen", pair.get("rejected"): "rejected"}.get(place, "neither")
            self.samples[role] += candidate["n"]
            self.lost[role] += candidate["lost"]
            count_users(self.users, candidate["futures"])
            self.failures.update(future["error"] for future in candidate["futures"] if future["error"])
            if candidate["mr"] is not None:
                self.mr[role].append(candidate["mr"])

    def _add_pair(self, pair: Row, sides: dict[str, Row], lengths: list[int], weights: dict[str, float]) -> None:
        self.pairs += 1
        if pair["margin"] is None:
            return
        chosen, rejected = sides.values()
        self.margins.append(pair["margin"])
        self.more.append((*lengths, pair["margin"]))
        if pair["confidence"] is not None:
            self.sureness.append((pair["confidence"], pair["margin"]))
        for name in chosen["metrics"].keys() & rejected["metrics"].keys():
            difference = chosen["metrics"][name] - rejected["metrics"][name]
            self.metrics.setdefault(name, []).append(weights.get(name, 1.0) * difference)

    def overview(self, run: Row) -> Overview:
        longer = estimate_share(self.longer)
        asks = {side: estimate_share(values) for side, values in self.asks.items()}
        found = Overview(tiles=self._tiles())
        found.remarks = [*self._remarks(longer, asks), *self._trouble(run)]
        found.plots = list(self._plots(longer))
        found.tables = [table for table in self._tables(asks, longer) if table.rows]
        details = [
            usage_table(mapping(run.get("usage"))),
            settings_table(self.made_with, mapping(run.get("export")), pairs=True),
        ]
        found.details = [table for table in details if table is not None]
        return found

    def _tiles(self) -> list[tuple[str, str]]:
        tiles = [
            (f"{self.pairs:,}", "pairs"),
            (f"{self.turns:,}", units_name(self.units)),
            (f"{self.conversations:,}", "conversations"),
        ]
        if self.margins:
            tiles.append((f"{median(self.margins):.2f}", "median margin"))
        if self.sureness:
            tiles.append((share_below(median(confidence for confidence, _ in self.sureness)), "median confidence"))
        if self.held_out:
            tiles.append((f"{self.held_out:,}", "pairs held out"))
        if self.reviewed:
            tiles.append((f"{sum(self.reviewed.values()):,}", "pairs reviewed"))
        return tiles

    def _remarks(self, longer: Estimate | None, asks: dict[str, Estimate | None]) -> list[Remark]:
        found = []
        if longer is not None:
            leans = longer.low is not None and longer.high is not None and not longer.low <= 0.5 <= longer.high
            word = "longer" if longer.mean > 0.5 else "shorter"
            strong = leans and abs(longer.mean - 0.5) > STRONG_LEAN
            told = f"training may teach to write {word}" if strong else f"a mild lean towards {word} replies"
            text = f"Chosen is the longer reply in {percent(longer)} of pairs: {told if leans else 'no clear lean'}."
            found.append(Remark(text=text, mood="look" if strong else "good"))
        if asks["chosen"] is not None and asks["rejected"] is not None:
            text = (
                f"Chosen asks something in {percent(asks['chosen'])} of pairs, rejected in {percent(asks['rejected'])}."
            )
            found.append(Remark(text=text))
        if self.sureness:
            wrong = sum(1 - confidence for confidence, _ in self.sureness)
            many = f"about {wrong:,.0f}" if wrong >= 1 else "less than one"
            text = f"By their confidence, {many} of {len(self.sureness):,} pairs may be in the wrong order."
            found.append(Remark(text=text, mood="good" if wrong < MANY_WRONG * len(self.sureness) else "look"))
        return found

    def _trouble(self, run: Row) -> list[Remark]:
        failed = mapping(run.get("failed"))
        found = []
        if self.candidates_lost:
            candidates = "candidate is" if self.candidates_lost == 1 else "candidates are"
            text = f"{self.candidates_lost:,} {candidates} missing: no response could be drawn, or none of its futures."
            found.append(Remark(text=text, mood="look"))
        found += lost_remarks(sum(self.lost.values()), sum(self.samples.values()))
        found += users_remarks(self.users)
        found += self.agreement.remarks(self.score)
        if failed:
            found.append(Remark(text=f"{len(failed):,} conversations failed and are not in the file.", mood="look"))
        played = sum(self.samples.values())
        if not self.failures and not failed and not any(self.lost.values()) and played:
            found.append(Remark(text=f"All {played:,} futures could be played and judged.", mood="good"))
        return found

    def _plots(self, longer: Estimate | None) -> list[Plot]:
        plots = []
        mr = {
            name: (role, self.mr[name])
            for name, role in (("chosen", "good"), ("rejected", "bad"), ("neither", "faint"))
        }
        if mr := {name: held for name, held in mr.items() if held[1]}:
            title = f"{capitalised(self.score)} of candidates"
            means = ", ".join(f"{name} {fmean(values):.2f}" for name, (_, values) in mr.items())
            plots.append(Plot(title=title, svg=histogram(mr, x=self.score), caption=f"Means: {means}."))
        if self.sureness:
            sure, margins = zip(*self.sureness, strict=True)
            svg = scatter(sure, margins, x="confidence", y="margin", most=1.0)
            caption = "A point is a pair: how probably its order is right, and the margin that another draw would show."
            plots.append(Plot(title="Margin and confidence", svg=svg, caption=caption))
        if self.metrics:
            # A metric that was measured in some conversations only has no part in the margins of the others.
            measured = max(map(len, self.metrics.values()))
            shares = {name: sum(self.metrics[name]) / measured for name in sorted(self.metrics)}
            plots.append(_shares_plot({name.replace("_", " "): value for name, value in shares.items()}))
        if self.more:
            differences = [chosen - rejected for chosen, rejected, _ in self.more]
            svg = histogram({"pairs": ("accent", differences)}, x="characters of chosen minus rejected", zero=True)
            by = _signed(fmean(differences))
            caption = f"Chosen is longer in {percent(longer)} of pairs, by {by} characters on average."
            plots.append(Plot(title="Length of chosen and rejected", svg=svg, caption=caption))
        return plots

    def _tables(self, asks: dict[str, Estimate | None], longer: Estimate | None) -> list[Table]:
        lengths = [[side[place] for side in self.more] for place in (0, 1)]
        means = (decimal(fmean(self.mr[side]) if self.mr[side] else None) for side in asks)
        sides = [
            (f"{capitalised(self.score)}, mean", *means),
            ("asks something", *(percent(estimate) for estimate in asks.values())),
            ("characters, median", *(f"{median(values):,.0f}" if values else "-" for values in lengths)),
        ]
        if any(self.lost.values()) and all(self.samples[side] for side in asks):
            lost = (f"{self.lost[side]:,} of {self.samples[side]:,}" for side in asks)
            sides.append(("futures lost", *lost))
        if any(map(sum, self.calls.values())):
            sides.append(("calls of tools, mean", *(decimal(fmean(values)) for values in self.calls.values())))
        note = f"A reply asks if it has a question mark. {BRACKETS}"
        gave = {"gave a pair": self.pairs, **self.refused} if self.pairs else dict(self.refused)
        return [
            counted(f"What became of the {units_name(self.units)}", gave, of=self.turns, what="outcome"),
            Table(title="Chosen and rejected", head=("", "chosen", "rejected"), rows=tuple(sides), note=note),
            counted("Review", self.reviewed, of=self.pairs, what="decision"),
            self.agreement.table(self.score),
            users_table(self.users),
            counted("What failed", self.failures, of=sum(self.failures.values()), what="reason"),
        ]


def _shares_plot(shares: dict[str, float]) -> Plot:
    total = sum(shares.values())
    told = [
        f"{name} {value:+.2f}" + (f" ({share(value / total)})" if total > 0 else "") for name, value in shares.items()
    ]
    svg = bars(shares, x="chosen minus rejected")
    return Plot(
        title="What the margin is made of",
        svg=svg,
        caption=f"{', '.join(told)}: weighted, together the mean raw margin.",
    )


def _signed(value: float) -> str:
    return f"{value:+.0f}".replace("-", "−")
