"""The options that the commands share: those of a RunSpec, made from its declarations, and those of the work itself."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from collab_cli.model_options import GivenUser, model_settings
from collab_cli.params import (
    CACHE,
    INPUT,
    Count,
    Decorator,
    MetricParam,
    ModelOption,
    Number,
    OneOf,
    PersonaName,
    ToolsName,
    UserParam,
    each_once,
    named_tools,
    option,
)
from collab_cli.paths import ReadPath, WrittenPath, note_read
from collab_cli.suggestions import bot_meant
from collab_sdk.errors import UsageError
from collab_sdk.files import database_files
from collab_sdk.logs import log_format_names
from collab_sdk.models import files_of, has_own_address
from collab_sdk.simulator import (
    HUMAN,
    PERSONAS,
    as_personas,
    default_settings,
    is_prompted,
    personas_of,
    takes_settings,
)
from collab_sdk.spec import (
    DEFAULT_METRICS,
    DEFAULT_TOOLS,
    LOCAL,
    ROLE_DEFAULTS,
    SPENDING,
    WHO,
    EvaluationSpec,
    Limits,
    ModelSettings,
    ModelSpec,
    PairRule,
    RunnerSpec,
    RunSpec,
    Setting,
    UserSpec,
    setting_of,
)

NO_MODEL = (
    "No model is named: give --model and a name such as openai/gpt-4o-mini, or --model offline for rules in a "
    "model's place."
)
MODEL = "model"
TOOLS_MODEL = "tools-model"
OR_OFFLINE = "a name such as openai/gpt-4o-mini, or offline for rules without any model."
ROLE_HELP = {
    "assistant": "The bot: the name of a model, or your own function as py:MODULE:FUNCTION.  [default: --model]",
    "simulator": "Who plays the user: a model that is prompted to (MODEL), a model trained to write as a user "
    "(plain:MODEL), real users' messages (logs:PATH), your code (py:MODULE:FUNCTION), the script in each "
    "row (script), or in evaluate you yourself (human). Repeat it for several users; =WEIGHT is the "
    "share of futures that each plays",
    "judge": "The model that scores conversations.  [default: --model, or the first prompted simulator]",
    TOOLS_MODEL: "The model that plays simulated tools.  [default: the simulator if it is a prompted model, else the "
    "judge, without their settings]",
    MODEL: f"Model for assistant, simulator and judge, unless they are named: {OR_OFFLINE}",
}
LOGS = click.argument("logs", type=ReadPath(path_type=str, allow_dash=True), nargs=-1, required=True, metavar="LOGS...")
"""Files, folders, or `-` for stdin. That they exist is checked by the reader, which knows them all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a command reads, and where replies are kept: what decides no score."""

    limit: int | None = None
    log_format: str | None = None
    dry_run: bool = False
    cache: str | None = None


LIMIT = option("--limit", type=Count(min=1), metavar="N", group=INPUT, help="Read at most N conversations.")
LOG_FORMAT = option(
    "--log-format",
    cls=OneOf,
    names=log_format_names,
    metavar="FORMAT",
    group=INPUT,
    help="Format of the logs, if it is not detected from their content",
)
DRY_RUN = option("--dry-run", is_flag=True, group=SPENDING, help="Estimate calls, tokens and cost, and make no call.")


def _cache_files(where: Path) -> list[Path]:
    return database_files(where / "cache.db")


class CachePlace(WrittenPath):
    """A directory, or a URL, which is no file whatever is in it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from collab_sdk.cache import is_directory

        return super().convert(value, param, ctx) if is_directory(os.fspath(value)) else os.fspath(value)


CACHE_PLACE = CachePlace(in_place=_cache_files, path_type=str)
CACHE_OPTIONS = [
    option(
        "--cache",
        type=CACHE_PLACE,
        metavar="WHERE",
        group=CACHE,
        help="Where model replies are cached: a directory, or redis://... or postgresql://... to share them "
        "between machines.  [default: collab in the user's cache directory]",
    ),
    option(
        "--cache-dir",
        type=WrittenPath(in_place=_cache_files, file_okay=False),
        metavar="DIRECTORY",
        group=CACHE,
        help="Cache model replies in this directory; the same as --cache DIRECTORY.",
    ),
]


def cache_option(command: Any) -> Any:
    """Where replies are kept, by either of two names, as `cache`: a directory, a URL, or None."""

    @functools.wraps(command)
    def with_cache(**values: Any) -> Any:
        return command(cache=_chosen_cache(values), **values)

    return _decorated(with_cache, CACHE_OPTIONS)


def _chosen_cache(values: dict[str, Any]) -> str | None:
    cache: str | None = values.pop("cache")
    directory: str | None = values.pop("cache_dir")
    if cache is not None and directory is not None:
        named = {name: _strength(name) for name in ("cache", "cache_dir")}
        if named["cache"] == named["cache_dir"]:
            raise click.UsageError("--cache and --cache-dir name two caches: give one of them.")
        return cache if named["cache"] < named["cache_dir"] else directory
    return cache or directory


def _strength(name: str) -> int:
    """A flag before the environment before a file of options."""
    source = click.get_current_context().get_parameter_source(name)
    order = list(click.core.ParameterSource)
    return order.index(source) if source is not None else len(order)


def declared_options(
    kind: type, *, only: Sequence[str] = (), helps: Mapping[str, str] = MappingProxyType({}), **defaults: Any
) -> list[Decorator]:
    """An option for each field of a dataclass that is declared as one, or for `only` some of them.

    `helps` and `defaults` are those of this command, where they are others.
    """
    return [make for name, make in _declared(kind, helps, defaults) if not only or name in only]


def _declared(kind: type, helps: Mapping[str, str], defaults: Mapping[str, Any]) -> Iterator[tuple[str, Decorator]]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        known = setting_of(field)
        if known is None:
            continue
        flag = f"--{(known.flag or field.name).replace('_', '-')}"
        default = defaults.get(field.name, field.default)
        said = helps.get(field.name, known.help)
        said = said.partition("  [default:")[0] if field.name in defaults else said
        attributes: dict[str, Any] = {"help": said, "group": known.group, "default": default}
        of = _without_none(hints[field.name])
        if of is bool:
            if default is None:
                flag = f"{flag}/--no-{flag.removeprefix('--')}"
            else:
                attributes["is_flag"] = True
        else:
            attributes["metavar"] = known.metavar
            attributes["show_default"] = default not in (None, ())
            if get_origin(of) is tuple:
                attributes["multiple"] = True
            elif get_origin(of) is Literal:
                attributes["type"] = click.Choice(get_args(of))
            elif of in (int, float):
                attributes["type"] = _range(of, known)
            elif of is Path:
                attributes["type"] = ReadPath(exists=True, path_type=Path)
            elif known.metavar == "FILE":  # or a name that is no file
                attributes["type"] = ReadPath(path_type=str)
        yield field.name, option(flag, **attributes)


def _range(kind: type, known: Setting) -> click.ParamType[Any]:
    if kind is int:
        return Count(min=None if known.at_least is None else int(known.at_least))
    low = known.at_least if known.at_least is not None else known.above
    return Number(min=low, min_open=known.above is not None, max=known.below, max_open=known.below is not None)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) is UnionType:
        return next(each for each in get_args(hint) if each is not NoneType)
    return hint


def declared_fields(kind: type) -> list[str]:
    """The fields of a dataclass that are declared as options."""
    return [field.name for field in fields(kind) if setting_of(field) is not None]


def declared_names(kind: type) -> dict[str, str]:
    """By the name of its parameter, the field of a dataclass that an option sets."""
    return {
        (known.flag or field.name).replace("-", "_"): field.name
        for field in fields(kind)
        if (known := setting_of(field)) is not None
    }


class BotName(click.ParamType[str]):
    """The name of a bot. What it names is an input: instructions, source code, weights."""

    name = "bot"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if (meant := bot_meant(value)) is not None:
            self.fail(f"{value!r} is Python code, not the name of a bot: {meant}.", param, ctx)
        for path in files_of(value):
            note_read(ctx, path)
        return value


def _role_options(role: str, *, several: bool = False, said: str = "") -> list[Decorator]:
    prefix = "" if role == MODEL else f"{role}-"
    short = ["-a"] if role == "assistant" else []
    who = {MODEL: "--model", TOOLS_MODEL: "the tools' model", "simulator": "the simulators"}.get(role, f"the {role}")
    whose = f"{who}'" if who.endswith("s") else f"{who}'s"
    more = ". Repeatable: all others are compared with the first" if several else ""
    base = (
        "Address of the OpenAI-compatible server of --model, and of every role whose name does not belong to "
        "a provider. Repeat it for replicas that share the calls."
        if role == MODEL
        else f"Address of the OpenAI-compatible server of {who}; repeatable, for replicas."
    )
    is_user = role == "simulator"
    said, *default = (said or ROLE_HELP[role]).partition("  [default:")
    return [
        option(
            f"--{role}",
            *short,
            type=UserParam() if is_user else BotName(),
            metavar="USER[=WEIGHT]" if is_user else "BOT" if role == "assistant" else "MODEL",
            multiple=several or is_user,
            callback=each_once if is_user else None,
            group=WHO,
            help=f"{said.rstrip('.')}{more}.{''.join(default)}",
        ),
        option(f"--{prefix}api-base", multiple=True, metavar="URL", group=WHO, help=base),
        option(
            f"--{prefix}api-key-env",
            metavar="NAME",
            group=WHO,
            help=f"Environment variable with the key for {whose} server.",
        ),
        option(
            f"--{role}-option",
            type=ModelOption(),
            multiple=True,
            metavar="KEY=VALUE",
            callback=_over_file,
            group=WHO,
            help="Setting of --model, such as temperature=0.2, extra_body.KEY=VALUE or price=IN/OUT (USD per million "
            "tokens); KEY=default leaves it to the server. Repeatable."
            if role == MODEL
            else f"Setting of {who}, as for --model-option; repeatable.",
        ),
    ]


def _over_file(ctx: click.Context, param: click.Parameter, value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Settings from a flag over those from a file, one by one."""
    name = param.name or ""
    if ctx.get_parameter_source(name) is click.core.ParameterSource.DEFAULT_MAP:
        return value
    of_file = (ctx.default_map or {}).get(name, ())
    return (*(param.type.convert(each, param, ctx) for each in of_file), *value)


METRIC = option(
    "--metric",
    type=MetricParam(),
    multiple=True,
    callback=each_once,
    metavar="NAME=WEIGHT[,OPTION=VALUE]",
    group="What is scored",
    help="Metric of the reward, with its weight: goal, interactivity, token_penalty, grounded, policy, accuracy, "
    "bleu, pass_rate, or your own as py:MODULE:NAME; repeatable. The default rate of token_penalty, 5e-4 per "
    "token, suits short chats; for long answers use token_penalty=1,rate=1e-4.  [default: goal=1 "
    "interactivity=1 token_penalty=1, and grounded=1 if there are tools]",
)
TOOLS = [
    option(
        "--tools",
        type=ToolsName(),
        multiple=True,
        callback=named_tools,
        metavar="HOW",
        group=WHO,
        help="What runs the assistant's tool calls, if the bot does not run them itself: recorded (results in the "
        "log), simulated (a model), py:MODULE:NAME (your functions or class), sandbox:py:MODULE:NAME (the same in the "
        "sandbox), or none. Give several, separated by commas, to try them in order.  "
        f"[default: {','.join(DEFAULT_TOOLS)}]",
    ),
    *_role_options(TOOLS_MODEL),
]
PERSONA = option(
    "--persona",
    type=PersonaName(),
    multiple=True,
    metavar="NAME|FILE",
    group=WHO,
    help=f"Persona of the user: {', '.join(PERSONAS)}, or a file written by collab logs personas. Repeat it to draw "
    "one of several for each sample; a persona in a row takes precedence.",
)
DEFAULT_MODEL = _role_options(MODEL)
READER = _role_options(MODEL, said=f"Model that reads the chats: {OR_OFFLINE}")
"""For a command in which nobody plays."""
ASSISTANT_SETTINGS = _role_options("assistant")[-1:]
"""For a command that has a bot of its own."""
PLAYING_USER = [*_role_options("simulator"), PERSONA]
JUDGE = _role_options("judge")
USER_AND_JUDGE = [*PLAYING_USER, *JUDGE]
ROLES = [*DEFAULT_MODEL, *_role_options("assistant"), *USER_AND_JUDGE, *TOOLS]
SEVERAL_BOTS = [*DEFAULT_MODEL, *_role_options("assistant", several=True), *USER_AND_JUDGE, *TOOLS]
READING = [LIMIT, LOG_FORMAT]
PER = declared_options(RunSpec, only=("per",))
SCORING = [METRIC, *declared_options(RunSpec, only=[name for name in declared_fields(RunSpec) if name != "per"])]
LIMITS = declared_options(Limits)
RUNNER = declared_options(RunnerSpec)
NESTED: Mapping[str, type] = {"pairs": PairRule, "evaluation": EvaluationSpec, "limits": Limits, "runner": RunnerSpec}
"""The parts of a RunSpec that have options of their own."""


def run_options(
    *options: Decorator,
    needs_model: bool = True,
    with_people: bool = False,
    plays: Callable[[Mapping[str, Any]], bool] = lambda values: True,
) -> Decorator:
    """Give a command these options. It gets a RunSpec as `spec`, a Work as `work`, and all others by their name.

    `with_people` says that a person may play the user. With `needs_model` False, `spec` is None where no model is
    named. A command without --assistant has a bot of its own, and puts it into the spec itself. `plays` tells by the
    values of the other options whether conversations are played; if not, a judge who reads goals is all that is needed.
    """

    def decorate(command: Any) -> Any:
        @functools.wraps(command)
        def with_spec(**values: Any) -> Any:
            if "cache_dir" in values:
                values["cache"] = _chosen_cache(values)
            given = {name: values.pop(name) for name in ("limit", "log_format", "dry_run", "cache") if name in values}
            work = Work(**given)
            if any(user.name == HUMAN for user in values.get("simulator") or ()):
                _check_person(values.get("runner", LOCAL), allowed=with_people)
            spec = _spec(values, needed=needs_model, plays=plays(values))
            return command(spec=spec, work=work, **values)

        return _decorated(with_spec, options)

    return decorate


def _check_person(runner: str, *, allowed: bool) -> None:
    if not allowed:
        raise UsageError(
            f"A person can play the user in `collab evaluate` alone: give another --simulator than {HUMAN}."
        )
    if runner != LOCAL:
        raise UsageError(f"--simulator {HUMAN} sits at this terminal, and not on other machines: leave --runner out.")


def names_of(options: Sequence[Decorator]) -> frozenset[str]:
    """The names of the parameters that these options give a command."""

    def command() -> None: ...

    return frozenset(parameter.name for parameter in _decorated(command, options).__click_params__)


def taking(options: Sequence[Decorator]) -> Decorator:
    """Give a command these options, each by its name."""
    return lambda command: _decorated(command, options)


def _decorated(command: Any, options: Sequence[Decorator]) -> Any:
    for add in reversed(options):
        command = add(command)
    return command


def _spec(values: dict[str, Any], *, needed: bool, plays: bool) -> RunSpec | None:
    """The RunSpec of a command's values, which are taken out. Raises UsageError where a role has no model."""
    parts: dict[str, Any] = {}
    for part, kind in NESTED.items():
        given = {field: values.pop(name) for name, field in declared_names(kind).items() if name in values}
        parts[part] = kind(**given)
    parts |= {field: values.pop(name) for name, field in declared_names(RunSpec).items() if name in values}
    parts["metrics"] = tuple(values.pop("metric", ())) or DEFAULT_METRICS
    parts["personas"] = as_personas(each for name in values.pop("persona", ()) for each in personas_of(name))
    if (tools := values.pop("tools", None)) is not None:
        parts["tools"] = tools
    has_bot, has_settings = "assistant" not in values, "assistant_option" in values
    roles = _Roles(values)
    if not roles.any_named:
        if needed:
            raise UsageError(NO_MODEL)
        return None
    if not plays:
        if not roles.judge_named:
            return None
        reader = roles.judge()
        return RunSpec(assistants=(reader,), simulators=(UserSpec.of(reader),), judge=reader, **parts)
    assistants = roles.simulators()[:1] if has_bot else roles.assistants()
    if has_bot and has_settings:  # of the bot that the command puts in its place
        assistants = (replace(assistants[0], settings=roles.settings_of_assistant()),)
    return RunSpec(
        assistants=assistants,
        simulators=roles.simulators(),
        judge=roles.judge(),
        tools_model=roles.tools_model(),
        **parts,
    )


ROLE_NAMES = {("tools_model" if role == "tools" else role): settings for role, settings in ROLE_DEFAULTS.items()}
"""By the name of its option, what a role is asked with."""


class _Roles:
    """Who plays what, from a command's values."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values: dict[str, Any] = {}
        for role in (*ROLE_NAMES, MODEL):
            prefix = "" if role == MODEL else f"{role}_"
            for name, key in ((role, ""), (f"{prefix}api_base", "base"), (f"{prefix}api_key_env", "key")):
                self._values[f"{role}.{key}"] = values.pop(name, None)
            self._values[f"{role}.option"] = values.pop(f"{role}_option", ())
        named = self._values["assistant."]
        self._bots: tuple[str, ...] = named if isinstance(named, tuple) else (named,) if named else ()

    @property
    def any_named(self) -> bool:
        return bool(self._bots or any(self._values[f"{role}."] for role in ("simulator", "judge", MODEL)))

    @property
    def judge_named(self) -> bool:
        return bool(self._values["judge."] or self._values[f"{MODEL}."])

    def assistants(self) -> tuple[ModelSpec, ...]:
        if repeated := [name for name in self._bots if self._bots.count(name) > 1]:
            raise UsageError(f"The bot {repeated[0]!r} is given twice.")
        if not self._bots and not self._values[f"{MODEL}."]:
            raise UsageError("The bot is not named: give --assistant, or --model for all roles.")
        return tuple(self._model("assistant", name) for name in self._bots or (None,))

    def settings_of_assistant(self) -> ModelSettings | None:
        """How a bot is asked that no option names; None where nothing is said of it."""
        return self._settings("assistant", from_model=False)[0]

    def simulators(self) -> tuple[UserSpec, ...]:
        given: tuple[GivenUser, ...] = self._values["simulator."] or ()
        if not given and not self._values[f"{MODEL}."]:
            raise UsageError("The bot has no user to talk to: give --simulator, or --model for all other roles.")
        if given and not any(takes_settings(user.name) for user in given):
            for key in ("option", "base", "key"):
                if self._values[f"simulator.{key}"]:
                    flag = {"option": "option", "base": "api-base", "key": "api-key-env"}[key]
                    raise UsageError(f"--simulator-{flag} is for a model, and {given[0].name} asks none: leave it out.")
        return tuple(map(self._user, given)) or (UserSpec.of(self._model("simulator", None)),)

    def _user(self, user: GivenUser) -> UserSpec:
        """One of the users, with what was said of all of them, and of this one."""
        if takes_settings(user.name):
            return UserSpec.of(self._model("simulator", user.name, given=user), weight=user.weight)
        if user.settings or user.api_base or user.api_key_env:
            raise UsageError(f"{user.name} as user asks no model: it takes no settings, address or key.")
        return UserSpec(name=user.name, weight=user.weight, settings=ModelSettings())

    def judge(self) -> ModelSpec:
        name = self._values["judge."]
        if name or self._values[f"{MODEL}."]:
            return self._model("judge", name)
        if (user := self._prompted()) is None:
            names = " and ".join(user.name for user in self.simulators())
            raise UsageError(f"{names} cannot judge: give --judge, or --model for all other roles.")
        return self._like("judge", user)

    def tools_model(self) -> ModelSpec | None:
        """None where nothing is said of it."""
        if (name := self._values["tools_model."]) is not None:
            return self._model("tools_model", name)
        if not any(self._values[f"tools_model.{key}"] for key in ("base", "key", "option")):
            return None
        return self._like("tools_model", self._prompted() or self.judge())

    def _prompted(self) -> UserSpec | None:
        """The first user who is a model that is told to be one, and so can play other parts."""
        return next((user for user in self.simulators() if is_prompted(user.name)), None)

    def _like(self, role: str, other: ModelSpec) -> ModelSpec:
        """The same model as another role's, asked as this role is."""
        model = ModelSpec(**{each.name: getattr(other, each.name) for each in fields(ModelSpec)})
        base, key = self._values[f"{role}.base"], self._values[f"{role}.key"]
        settings, price = self._settings(role, from_model=False)
        if base:  # another server, for which the other's key is not meant
            model = replace(model, api_base=tuple(base), api_key_env=None)
        return replace(
            model,
            api_key_env=key or model.api_key_env,
            settings=settings,
            price=price or (None if base else model.price),
        )

    def _model(self, role: str, own: str | None, *, given: GivenUser | None = None) -> ModelSpec:
        """The model of a role: its own, or --model. A provider's model goes to its provider, whatever --api-base is.

        What is `given` of one user goes before what is said of all.
        """
        name = own or self._values[f"{MODEL}."]
        base, key = self._values[f"{role}.base"], self._values[f"{role}.key"]
        if given is not None:
            base, key = given.api_base or base, given.api_key_env or key
        shared = self._values[f"{MODEL}.base"]
        if not base and (not own or not has_own_address(name)):
            base, key = shared, key or self._values[f"{MODEL}.key"]
        more = given.settings if given is not None else ()
        settings, price = self._settings(role, from_model=not own, more=more, name=name)
        return ModelSpec(name=name, api_base=tuple(base or ()), api_key_env=key, settings=settings, price=price)

    def _settings(
        self, role: str, *, from_model: bool, more: Sequence[tuple[str, Any]] = (), name: str = ""
    ) -> tuple[ModelSettings | None, Any]:
        """What was asked for, over the defaults of the role, or of that user; None where nothing was."""
        pairs = [*(self._values[f"{MODEL}.option"] if from_model else ()), *self._values[f"{role}.option"], *more]
        if from_model:
            model_settings(self._values[f"{MODEL}.option"], f"--{MODEL}-option")  # an error names what was typed
        given, price = model_settings(pairs, f"--{role.replace('_', '-')}-option")
        defaults = default_settings(name) if role == "simulator" else ROLE_NAMES[role]
        return (replace(defaults, **given) if given else None), price
