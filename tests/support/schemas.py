"""What the JSON Schemas of schemas/ say of rows."""

from typing import Any

from jsonschema import Draft202012Validator

from collab_sdk.schemas import json_schema


def schema_problems(row: dict[str, Any]) -> list[str]:
    """What a row has that its schema does not allow."""
    found = Draft202012Validator(json_schema(row["schema"])).iter_errors(row)
    return [f"{row['schema']} {error.json_path}: {error.message[:200]}" for error in found]
