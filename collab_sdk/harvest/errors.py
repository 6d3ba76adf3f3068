"""What is kept of an error in an app."""

from collab_sdk.secrets import one_line


def error_text(error: BaseException) -> str:
    """Its type and first line, without keys."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {one_line(first)}" if first.strip() else type(error).__name__
