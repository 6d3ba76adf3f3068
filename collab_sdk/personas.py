"""Personas: a small library, each one a policy of behaviour, and files of them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from collab_sdk.errors import InputError, UnknownNameError, UsageError
from collab_sdk.types import Persona
from collab_sdk.values import read_value

__all__ = [
    "NOBODY",
    "PERSONAS",
    "PERSONA_SCHEMA",
    "as_persona",
    "as_personas",
    "persona_row",
    "personas_of",
    "read_persona",
    "read_personas",
]

PERSONA_SCHEMA = "collab/persona/v1"
NOBODY = Persona(name="none")
"""A user with no persona, which may be drawn like the others."""
PERSONAS: Mapping[str, Persona] = {
    persona.name: persona
    for persona in (
        NOBODY,
        Persona(
            name="impatient",
            traits=(
                "When an answer is long, or asks for more than one thing, you get short and tell it to get on with it.",
                "You do not say anything twice.",
            ),
            patience=1,
        ),
        Persona(
            name="confused",
            traits=(
                "When a word of the trade comes up, you ask what it means before you answer, or take it for another.",
                "When you are asked two things at once, you answer one of them.",
                "You ask again about what was explained just now.",
            ),
        ),
        Persona(
            name="sceptical",
            traits=(
                "When the assistant claims something, you ask how it knows.",
                "You take nothing for done before it is confirmed in plain words.",
            ),
            patience=3,
        ),
        Persona(
            name="incoherent",
            traits=(
                "You put things that do not matter beside those that do, and say the important one last.",
                "You begin a thought, drop it, and come back to it a message later.",
            ),
            writes="long run-on messages without punctuation",
        ),
        Persona(
            name="terse",
            traits=("You give what was asked for and not a word more.",),
            writes="one to four words, no capitals, no punctuation, no greeting",
        ),
        Persona(
            name="vague",
            traits=(
                "You open with the most general words for what you want.",
                "You give a detail only when asked for that very detail, and otherwise leave it to be guessed.",
            ),
        ),
        Persona(
            name="forgetful",
            traits=("When you are shown that you got a detail wrong, you correct it at once.",),
            forgets="one requirement until you are asked for it or find it missing; one detail you remember wrongly",
        ),
        Persona(
            name="non-native",
            traits=("When an answer has idioms or rare words, you ask what they mean.",),
            writes="simple words, short sentences, mistakes of grammar, articles left out",
        ),
        Persona(
            name="polite",
            traits=(
                "You ask rather than demand, and thank for each step.",
                "When something is wrong you only hint at it, and do not insist.",
            ),
            patience=4,
            writes="whole sentences",
        ),
    )
}
OTHER_KEYS = ("schema", "made_with")
"""Of a row, beside the persona itself."""
TREC_PARTS: Mapping[str, str] = {"general_info": "", "ai_experience": "with AI assistants: ", "traits": ""}
"""Of a persona in the form of TREC's User Simulation Track, and what is put before what they say."""


def as_persona(value: Persona | str | Mapping[str, Any]) -> Persona:
    """A persona from one, from a name of the library, or from its JSON values.

    Raises UnknownNameError for another name, and UsageError for values that are no persona.
    """
    if isinstance(value, str):
        if value not in PERSONAS:
            raise UnknownNameError.of("persona", value, PERSONAS)
        return PERSONAS[value]
    try:
        return _checked(value) if isinstance(value, Persona) else read_persona(value)
    except ValueError as error:
        raise UsageError(f"The persona cannot be read: {error}.") from None


def as_personas(values: Iterable[Persona | str | Mapping[str, Any]]) -> tuple[Persona, ...]:
    """A Persona from each. Raises UsageError for two of one name, by which results are told apart."""
    personas = tuple(map(as_persona, values))
    known = [persona.name for persona in personas]
    if repeated := [name for name in known if known.count(name) > 1]:
        raise UsageError(f"The persona {repeated[0]!r} is given twice.")
    return personas


def read_persona(value: Any) -> Persona:
    """A persona from its JSON values, or from a name of the library alone, as rows and files have it.

    Raises ValueError for what is not one, and for one that nobody could play.
    """
    if isinstance(value, Mapping) and set(value) <= {"name", *OTHER_KEYS} and value.get("name") in PERSONAS:
        value = value["name"]
    if isinstance(value, str):
        if value not in PERSONAS:
            raise ValueError(f"{value!r} is not in the library ({', '.join(PERSONAS)}), and says nothing of the user")
        return PERSONAS[value]
    if not isinstance(value, Mapping):
        raise ValueError("expected an object")
    if (schema := value.get("schema", PERSONA_SCHEMA)) != PERSONA_SCHEMA:
        raise ValueError(f"its schema is {schema!r}, not {PERSONA_SCHEMA}")
    # A table has all columns, and numbers with a point.
    fields = {key: cell for key, cell in value.items() if key not in OTHER_KEYS and cell is not None}
    if isinstance(fields.get("patience"), float) and fields["patience"].is_integer():
        fields["patience"] = int(fields["patience"])
    return _checked(read_value(Persona, fields))


def personas_of(name: str) -> tuple[Persona, ...]:
    """The persona of the library with this name, or else all that a file holds.

    Raises UnknownNameError for what is neither, and InputError for a file that cannot be read.
    """
    if name in PERSONAS:
        return (PERSONAS[name],)
    path = Path(name)
    if not name.strip():
        raise UsageError("The name of a persona is empty.")
    if not path.is_file():
        raise UnknownNameError(f"{UnknownNameError.of('persona', name, PERSONAS)} Or name a file of personas.")
    return read_personas(path)


def read_personas(path: Path) -> tuple[Persona, ...]:
    """The personas of a file: rows of `collab logs personas`, or JSON in the form of TREC's User Simulation Track.

    Raises InputError, with the line, for what is no persona, for a name that occurs twice, and for an empty file.
    """
    found: dict[str, Persona] = {}
    for where, row in _rows(path):
        try:
            persona = read_persona(_of_trec(row) if _is_trec(row) else row)
        except ValueError as error:
            raise InputError(f"no persona: {error}", where=where) from None
        if persona.name in found:
            raise InputError(f"a second persona called {persona.name!r}", where=where)
        found[persona.name] = persona
    if not found:
        raise InputError("no persona in it", where=str(path))
    return tuple(found.values())


def persona_row(persona: Persona, *, made_with: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A persona as JSON values, of which `read_personas` makes it again."""
    said = {
        "traits": list(persona.traits),
        "patience": persona.patience,
        "writes": persona.writes,
        "forgets": persona.forgets,
    }
    row = {"schema": PERSONA_SCHEMA, "name": persona.name, **{key: value for key, value in said.items() if value}}
    return row if made_with is None else {**row, "made_with": dict(made_with)}


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The JSON values of a file, each with its place: one a line, or a list, or a single one over several lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except ValueError:
        raise InputError("not UTF-8", where=str(path)) from None
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        yield from _lines(text.splitlines(), path)
        return
    for number, row in enumerate(whole if isinstance(whole, list) else [whole], start=1):
        yield f"{path}: entry {number}", row


def _lines(lines: Iterable[str], path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield f"{path}:{number}", json.loads(line)
        except (ValueError, RecursionError):
            raise InputError("not JSON", where=f"{path}:{number}") from None


def _checked(persona: Persona) -> Persona:
    """Raises ValueError for one that nobody could play."""
    if not persona.name.strip():
        raise ValueError("its name is empty")
    if not persona.name.isprintable():
        raise ValueError("its name has a line break or a control character")
    if persona.name == NOBODY.name and not persona.is_nobody:
        raise ValueError(f"{NOBODY.name!r} is the name of a user without a persona: give it another")
    if isinstance(persona.traits, str) or not all(isinstance(trait, str) for trait in persona.traits):
        raise ValueError("traits must be a list of texts")
    if persona.patience is not None and not isinstance(persona.patience, int):
        raise ValueError(f"patience is {persona.patience!r}; it must be a whole number")
    if persona.patience is not None and persona.patience < 1:
        raise ValueError(f"patience is {persona.patience}; it must be at least 1")
    if not persona.says_something and not persona.is_nobody:
        raise ValueError(
            f"{persona.name!r} says neither how they behave nor how they write, and is not in the library "
            f"({', '.join(PERSONAS)})"
        )
    return persona


def _is_trec(row: Any) -> bool:
    return isinstance(row, Mapping) and "id" in row and "name" not in row


def _of_trec(row: Mapping[str, Any]) -> dict[str, Any]:
    """What `general_info`, `ai_experience` and `traits` say, each as a trait; what is null says nothing.

    Raises ValueError for other values.
    """
    traits = []
    for part, before in TREC_PARTS.items():
        said = row.get(part) or {}
        if not isinstance(said, Mapping) or not all(
            isinstance(each, str | int | float | None) for each in said.values()
        ):
            raise ValueError(f"it has an id and no name, as in TREC's track, where {part} must be an object of texts")
        told = {str(key).replace("_", " "): value for key, value in said.items() if value is not None}
        traits += [f"{before}{key}: {value}" for key, value in told.items()]
    return {"name": str(row["id"]), "traits": traits}
