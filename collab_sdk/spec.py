"""RunSpec: all that decides a run, as data, and nothing else does.

Flags, environment, files of options and Python objects make it; provenance, the cost estimate, the identity of finished
work, calibrations and other machines read it. A field is declared once, with its default, bounds and help; the CLI's
options are made from these declarations.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, Self, get_type_hints

from collab_sdk.errors import UsageError
from collab_sdk.prompts import prompts_digest
from collab_sdk.secrets import check_variable, is_secret, is_secret_name, without_credentials
from collab_sdk.types import Persona
from collab_sdk.values import read_value
from collab_sdk.version import __version__

__all__ = [
    "CALLS_PER_TURN",
    "DEFAULT_METRICS",
    "DEFAULT_TOOLS",
    "ENVIRONMENT",
    "LOCAL",
    "LONGEST_RESULT",
    "ROLE_DEFAULTS",
    "SPENDING",
    "WHO",
    "EvaluationSpec",
    "Limits",
    "MetricSpec",
    "ModelSettings",
    "ModelSpec",
    "PairRule",
    "Price",
    "RunSpec",
    "RunnerSpec",
    "Setting",
    "UserSpec",
    "difference",
    "made_with",
    "setting",
    "setting_of",
]

ENVIRONMENT = "env:"
"""Begins a value that is read from an environment variable when a call is sent: `env:GATEWAY_TOKEN`."""
WHO, SCORING, PAIRS, SPENDING, CLUSTER = (
    "Who plays",
    "What is scored",
    "Which pairs",
    "Money and limits",
    "Cluster",
)
"""The headings of options in `--help`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """The declaration of one field, from which its option is made."""

    help: str
    group: str
    decides: bool
    """Whether it can change an answer. If not, it only says how the work is done."""
    flag: str | None
    """The long option, where it is not the field's name."""
    metavar: str
    at_least: float | None
    above: float | None
    """Exclusive."""
    below: float | None
    """Exclusive."""


def setting(
    default: Any,
    help: str,
    *,
    group: str,
    decides: bool = True,
    flag: str | None = None,
    metavar: str = "N",
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field that is also an option."""
    declared = Setting(
        help=help, group=group, decides=decides, flag=flag, metavar=metavar, at_least=at_least, above=above, below=below
    )
    return field(default=default, metadata={"setting": declared})


def setting_of(declared: "Field[Any]") -> Setting | None:
    """How a dataclass field was declared; None for one that is no option."""
    found: Setting | None = declared.metadata.get("setting")
    return found


def _check_bounds(value: Any) -> None:
    """Raise UsageError for a field of `value` that is of another type than declared, or out of its bounds."""
    for declared in fields(value):
        known, number = setting_of(declared), getattr(value, declared.name)
        if known is None:
            continue
        _check_type(declared.type, number, declared.name)
        if not isinstance(number, int | float) or isinstance(number, bool):
            continue
        too_low = known.at_least is not None and not number >= known.at_least
        if too_low or (known.above is not None and not number > known.above) or not math.isfinite(number):
            bound = f"at least {known.at_least:g}" if known.at_least is not None else f"above {known.above or 0:g}"
            raise UsageError(f"{declared.name} is {number}; it must be {bound}.")
        if known.below is not None and not number < known.below:
            raise UsageError(f"{declared.name} is {number}; it must be below {known.below:g}.")


def _check_type(kind: Any, value: Any, name: str) -> Any:
    """The value as JSON would give it back. Raises UsageError for one of another type."""
    try:
        return read_value(kind, float(value) if isinstance(value, float) else value, name)  # NumPy's are floats too
    except ValueError as error:
        raise UsageError(f"{error}.") from None


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, place)


def _endless(value: Any, place: str = "") -> str | None:
    """Where there is a number that is no JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return place
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    found = (_endless(item, f"{place}.{name}" if place else str(name)) for name, item in items)
    return next((each for each in found if each is not None), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """US dollars per token."""

    prompt: float
    completion: float

    def __post_init__(self) -> None:
        for name in ("prompt", "completion"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise UsageError(f"The price of {name} tokens is {value}; it must be 0 or more.")

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        return self.prompt * prompt_tokens + self.completion * completion_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """How a model is asked to generate. None is not sent, so that the server decides.

    A text may be `env:NAME`: it is read from that variable when a call is sent, and stands in cache keys, provenance
    and files by that name. Raises UsageError for a value out of range, and for one that looks like a secret.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    reasoning_effort: str | None = None
    extra_body: Mapping[str, Any] | None = None
    """Further fields of the request's body, such as `{"chat_template_kwargs": {"enable_thinking": false}}`."""
    extra_headers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name, value in self.sent().items():
            checked = _check_type(_TYPES_OF_SETTINGS[name], value, name)
            # 0 and 0.0 are one temperature, and so one cache key.
            object.__setattr__(self, name, float(checked) if name in ("temperature", "top_p") else checked)
        ranges = (("temperature", 0.0, None), ("max_tokens", 1, None), ("top_p", 0.0, 1.0))
        for name, low, high in ranges:
            value = getattr(self, name)
            if value is not None and not (low <= value and (high is None or value <= high) and math.isfinite(value)):
                raise UsageError(f"{name} is {value}; it must be {low} or more{f', {high} at most' if high else ''}.")
        if (place := _endless(self.extra_body)) is not None:
            raise UsageError(f"extra_body.{place} is not a finite number.")
        for place, value in _texts(self.sent()):
            name = place.rpartition(".")[2]
            named = place.startswith(("extra_headers.", "extra_body.")) and is_secret_name(name)
            if value.startswith(ENVIRONMENT):
                check_variable(value.removeprefix(ENVIRONMENT), place)
            elif named or is_secret(value):
                raise UsageError(
                    f"{place} looks like a secret, and settings are written into files: put it into an environment "
                    f"variable and give its name, as {place}=env:NAME."
                )

    def sent(self) -> dict[str, Any]:
        """What is sent, by name: all that is not None."""
        named = ((each, getattr(self, each)) for each in _NAMES_OF_SETTINGS)
        return {name: value for name, value in named if value is not None}


_NAMES_OF_SETTINGS = tuple(each.name for each in fields(ModelSettings))
_TYPES_OF_SETTINGS = get_type_hints(ModelSettings)
ROLE_DEFAULTS: Mapping[str, ModelSettings] = {
    "assistant": ModelSettings(temperature=0.8),
    "simulator": ModelSettings(temperature=1.0),
    "judge": ModelSettings(temperature=0.0),
    "tools": ModelSettings(temperature=0.0),
}
"""What a role is asked with where nothing else is said (arXiv 2502.00640, section 4)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """A model that plays a role: its name, where it is served, and how it is asked.

    With `settings` of None, those of the role are used: see ROLE_DEFAULTS. A key is never part of it, only the name of
    the environment variable that holds one.
    """

    name: str
    api_base: tuple[str, ...] = field(default=(), repr=False)
    """Servers of this one model; the first decides, further ones only share the calls."""
    api_key_env: str | None = None
    settings: ModelSettings | None = None
    price: Price | None = None
    """What a token costs, where nobody else knows."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise UsageError(
                f"A model in a RunSpec is a name, not {type(self.name).__name__}: put a function into a module, and "
                "name it py:MODULE:NAME."
            )
        if not self.name.strip():
            raise UsageError("The model name is empty: give one such as openai/gpt-4o-mini, or 'offline'.")
        bases = (self.api_base,) if isinstance(self.api_base, str) else tuple(self.api_base)
        object.__setattr__(self, "api_base", bases)
        if self.api_key_env is not None:
            check_variable(self.api_key_env, "api_key_env")

    def to_dict(self) -> dict[str, Any]:
        """As JSON values for files: without users, passwords and queries of addresses."""
        return {
            "name": self.name,
            "api_base": [without_credentials(base) for base in self.api_base],
            "api_key_env": self.api_key_env,
            "settings": None if self.settings is None else _plain(self.settings.sent()),
            "price": None if self.price is None else asdict(self.price),
        }

    def deciding(self, role: str) -> dict[str, Any]:
        """What of it can change an answer, where it plays `role`."""
        base = without_credentials(self.api_base[0]) if self.api_base else None
        settings = self.settings or ROLE_DEFAULTS[role]
        return {"name": self.name, "api_base": base, "settings": _plain(settings.sent())}


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSpec(ModelSpec):
    """Who plays the user, by a name such as `openai/x`, `plain:MODEL` or `logs:PATH`, and in which share of futures."""

    weight: float = 1.0
    """Its share, beside those of the others."""

    def __post_init__(self) -> None:
        super(UserSpec, self).__post_init__()
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float) or not 0 < self.weight < math.inf:
            raise UsageError(f"The weight of the user {self.name} is {self.weight!r}; it must be a number above 0.")

    @classmethod
    def of(cls, model: ModelSpec, *, weight: float = 1.0) -> Self:
        """A user who is played by this model."""
        return cls(**{each.name: getattr(model, each.name) for each in fields(ModelSpec)}, weight=weight)

    def to_dict(self) -> dict[str, Any]:
        return {**super(UserSpec, self).to_dict(), "weight": float(self.weight)}

    def deciding(self, role: str) -> dict[str, Any]:
        return {**super(UserSpec, self).deciding(role), "weight": float(self.weight)}


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpec:
    """A metric by its name (an entry point, or `py:MODULE:NAME`), its weight in the reward, and its own options."""

    name: str
    weight: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "weight" in self.options:
            raise UsageError(f"An option of {self.name} is called weight, as what it counts in the reward: rename it.")
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float):
            raise UsageError(f"The weight of {self.name} is {self.weight!r}; it must be a number.")
        for what, value in (("weight", self.weight), *self.options.items()):
            if _endless(value, what) is not None:
                raise UsageError(f"The {what} of {self.name} is {value}; it must be a finite number.")
            if isinstance(value, str) and is_secret(value):
                raise UsageError(f"The {what} of {self.name} looks like a secret, and options are written into files.")


DEFAULT_METRICS = tuple(MetricSpec(name=name) for name in ("goal", "interactivity", "token_penalty", "grounded"))
"""`grounded` is measured where there are tools."""
CALLS_PER_TURN = 20
LONGEST_RESULT = 200_000
"""Characters in one result of a tool. What is longer would be in every later prompt of the future."""
DEFAULT_TOOLS = ("recorded", "simulated")
"""Who runs an assistant's calls in a played future, in the order in which they are asked."""


@dataclass(frozen=True, kw_only=True)  # without slots, so that its defaults can be read from the class
class PairRule:
    """Which candidates of a turn become a pair: the two whose order is surest, if it is sure enough.

    The paper takes best against worst with a margin of 0.02 (section 4.1), and does not ask how sure that is. Margin
    and confidence are those of `collab_sdk.preferences.Noise`, which is pooled over the run.
    """

    candidates: int = setting(3, "Number of responses to compare at each turn.", group=PAIRS, at_least=2)
    min_margin: float = setting(
        0.02,
        "Smallest difference in MR to expect from another draw; pairs below it are dropped.",
        group=PAIRS,
        metavar="MR",
        at_least=0,
    )
    min_confidence: float = setting(
        0.9,
        "Smallest probability that the chosen reply is truly better. 0 uses raw margins over --samples "
        "futures, as in the paper.",
        group=PAIRS,
        metavar="P",
        at_least=0,
        below=1,
    )
    max_pairs: int = setting(10, "Keep at most N pairs of a conversation.", group=PAIRS, at_least=1)
    fixed_samples: bool = setting(
        False, "Play exactly --samples futures of each response, as in the paper.", group=PAIRS
    )
    judge_groups: bool = setting(
        False,
        "Judge the futures of all candidates of a turn in one call, in shuffled order. Saves calls, but a verdict may "
        "then depend on the other futures in the call.",
        group=PAIRS,
    )

    def __post_init__(self) -> None:
        _check_bounds(self)

    @property
    def plays_all(self) -> bool:
        """Whether each candidate gets exactly so many futures as are asked for, however sure its turn's order is."""
        return self.fixed_samples or not self.min_confidence


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a run may spend, and how hard it may press. None is no limit."""

    max_usd: float | None = setting(
        None,
        "Stop before more than this many US dollars are spent.",
        group=SPENDING,
        decides=False,
        metavar="USD",
        at_least=0,
    )
    max_calls: int | None = setting(
        None, "Stop before more than N calls are made.", group=SPENDING, decides=False, at_least=0
    )
    concurrency: int = setting(
        64, "Make at most N calls at the same time to each model or replica.", group=SPENDING, decides=False, at_least=1
    )
    requests_per_minute: float | None = setting(
        None, "Respect this limit on requests per minute, for each model.", group=SPENDING, decides=False, above=0
    )
    tokens_per_minute: float | None = setting(
        None,
        "Respect this limit on tokens per minute (prompt and completion), for each model.",
        group=SPENDING,
        decides=False,
        above=0,
    )
    timeout: float = setting(
        120.0, "Give up on a call after this many seconds.", group=SPENDING, decides=False, metavar="SECONDS", above=0
    )

    def __post_init__(self) -> None:
        _check_bounds(self)


LOCAL = "local"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunnerSpec:
    """Where the work is done."""

    name: str = setting(
        LOCAL,
        "Where to run: local (this process) or ray (a cluster).",
        group=CLUSTER,
        decides=False,
        flag="runner",
        metavar="RUNNER",
    )
    address: str | None = setting(
        None,
        "Address of the Ray cluster, or auto.  [default: start Ray on this machine]",
        group=CLUSTER,
        decides=False,
        flag="ray-address",
        metavar="HOST:PORT",
    )
    workers: int | None = setting(
        None,
        "Number of Ray worker processes.  [default: from CPUs and --concurrency]",
        group=CLUSTER,
        decides=False,
        flag="ray-workers",
        at_least=1,
    )
    dashboard: bool = setting(
        False, "Start Ray's dashboard with the cluster.", group=CLUSTER, decides=False, flag="ray-dashboard"
    )

    def __post_init__(self) -> None:
        _check_bounds(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSpec:
    """Whole conversations of tasks, for `collab evaluate`."""

    tasks: tuple[str, ...] = ()
    exchanges: int | None = setting(
        None,
        "End a conversation after N exchanges.  [default: the task's]",
        group=SCORING,
        at_least=1,
    )
    by_persona: bool = setting(
        False,
        "Play every conversation without a persona and again with each --persona, and report each separately.",
        group=SCORING,
    )
    unsafe_exec: bool = setting(
        False, "If no sandbox is available, run code written by models without one.", group=SCORING, decides=False
    )

    def __post_init__(self) -> None:
        _check_bounds(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """All that decides a run. Frozen, and JSON both ways: `RunSpec.from_dict(spec.to_dict()) == spec`.

    `assistants` is one bot, or several that `collab evaluate` compares.
    """

    assistants: tuple[ModelSpec, ...]
    simulators: tuple["UserSpec", ...]
    """Who plays the user: one, or several that share the futures."""
    judge: ModelSpec
    personas: tuple[Persona, ...] = ()
    """Who the users are, where a row does not say: one is drawn for each sample."""
    metrics: tuple[MetricSpec, ...] = DEFAULT_METRICS
    samples: int = setting(
        3,
        "Futures to play for each response. For pairs, as many as are needed: fewer, or up to three times as many.",
        group=SCORING,
        at_least=1,
    )
    window: int = setting(2, "Length of a future in exchanges; 0 plays none.", group=SCORING, at_least=0)
    goals_per_turn: int | None = setting(
        None,
        "Number of goals with which to play each turn, all consistent with what was said before it.  [default: the "
        "goal in the row, or else two inferred goals that settle what the chat left open in different ways]",
        group=SCORING,
        at_least=1,
    )
    min_samples: int | None = setting(
        None,
        "Futures that must succeed for a response to get a score.  [default: 2, or --samples if less; for pairs 1]",
        group=SCORING,
        at_least=1,
    )
    per: Literal["turn", "decision"] = setting(
        "turn",
        "Score whole turns, or each message of an agent separately (decision).",
        group=SCORING,
        metavar="turn|decision",
    )
    tools: tuple[str, ...] = DEFAULT_TOOLS
    """Who runs an assistant's calls, in order: `recorded`, `simulated`, `py:MODULE:NAME`; none at all for nobody."""
    tools_model: ModelSpec | None = None
    """Plays the simulated tools; None is the simulator's model, asked as tools are."""
    calls_per_turn: int = setting(CALLS_PER_TURN, "End a turn after N tool calls.", group=SCORING, at_least=1)
    pairs: PairRule = PairRule()
    evaluation: EvaluationSpec = EvaluationSpec()
    limits: Limits = Limits()
    runner: RunnerSpec = RunnerSpec()

    def __post_init__(self) -> None:
        _check_bounds(self)
        if not self.assistants:
            raise UsageError("A run needs a bot: assistants is empty.")
        if not self.simulators:
            raise UsageError("A run needs a user: simulators is empty.")
        for names, what in (([one.name for one in self.metrics], "metric"), ([*self.evaluation.tasks], "task")):
            if repeated := [name for name in names if names.count(name) > 1]:
                raise UsageError(f"The {what} {repeated[0]!r} is given twice.")
        if self.min_samples is not None and self.min_samples > self.samples:
            raise UsageError(f"min_samples is {self.min_samples}; it must be from 1 to samples ({self.samples}).")
        if self.evaluation.by_persona and not self.compared_personas:
            raise UsageError("--by-persona compares users with a persona to those without: name some, with --persona.")

    @property
    def brings_tools(self) -> bool:
        """Whether the assistant gets tools of somebody's own, which no log names."""
        return any("py:" in name for name in self.tools)

    @property
    def compared_personas(self) -> tuple[Persona, ...]:
        """Those that every conversation of an evaluation is played with, one after the other, if it is by persona."""
        return tuple(each for each in self.personas if not each.is_nobody) if self.evaluation.by_persona else ()

    @property
    def assistant(self) -> ModelSpec:
        """The bot; of several the first."""
        return self.assistants[0]

    @property
    def simulator(self) -> "UserSpec":
        """The user; of several the first."""
        return self.simulators[0]

    def with_assistant(self, assistant: ModelSpec) -> Self:
        """The same run with this bot alone."""
        return replace(self, assistants=(assistant,))

    def to_dict(self) -> dict[str, Any]:
        """The whole spec as JSON values for files. Credentials in addresses are left out."""
        roles = {
            "assistants": [each.to_dict() for each in self.assistants],
            "simulators": [each.to_dict() for each in self.simulators],
            "personas": [_plain(asdict(each)) for each in self.personas],
            "judge": self.judge.to_dict(),
            "tools_model": None if self.tools_model is None else self.tools_model.to_dict(),
            "metrics": [_plain(asdict(each)) for each in self.metrics],
        }
        return {each.name: roles.get(each.name) or _plain(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """Raises UsageError, with the place, for what is no spec."""
        try:
            spec: Self = read_value(cls, row)
        except ValueError as error:
            raise UsageError(f"The run's spec cannot be read: {error}.") from None
        return spec

    def deciding(self) -> dict[str, Any]:
        """What can change an answer, as JSON values: limits, runner, keys, prices and further replicas cannot."""
        return {
            "assistants": [each.deciding("assistant") for each in self.assistants],
            "simulators": [each.deciding("simulator") for each in self.simulators],
            "personas": [_plain(asdict(each)) for each in self.personas],
            "judge": self.judge.deciding("judge"),
            "metrics": {each.name: {"weight": each.weight, **_plain(each.options)} for each in self.metrics},
            **{each.name: getattr(self, each.name) for each in fields(self) if _decides(each)},
            "tools": list(self.tools),
            "tools_model": None if self.tools_model is None else self.tools_model.deciding("tools"),
            "pairs": _plain(self.pairs),
            "evaluation": _plain({k: v for k, v in asdict(self.evaluation).items() if k != "unsafe_exec"}),
        }


def _decides(declared: "Field[Any]") -> bool:
    known = setting_of(declared)
    return known is not None and known.decides


def _plain(value: Any) -> Any:
    """As JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def made_with(
    spec: RunSpec, fingerprints: Mapping[str, Mapping[str, Any] | None], *, codes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The provenance of a score: what decided it, and the versions of all that had a part in it.

    `fingerprints` are those of the models, by role; `codes`, by name, are hashes of metrics and tasks of one's own. Two
    runs that differ in anything that matters differ here.
    """
    return {
        **spec.deciding(),
        "models": {role: None if known is None else _plain(known) for role, known in fingerprints.items()},
        **({"code": dict(codes)} if codes else {}),
        "prompts": prompts_digest(),
        "package": __version__,
    }


ABSENT = object()


def difference(one: Any, other: Any, place: str = "") -> str | None:
    """The first place where two provenances differ, and how; None where they are the same."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        below = f"{place}." if place else ""
        names = dict.fromkeys([*one, *other])
        parts = [(f"{below}{name}", one.get(name, ABSENT), other.get(name, ABSENT)) for name in names]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = [(f"{place}[{n}]", *pair) for n, pair in enumerate(zip(one, other, strict=True))]
    else:
        same = one == other and isinstance(one, bool) is isinstance(other, bool)
        return None if same else f"{place} is {_named(other)}, not {_named(one)}"
    return next((found for name, a, b in parts if (found := difference(a, b, name)) is not None), None)


def _named(value: Any) -> str:
    return "absent" if value is ABSENT else repr(value)
