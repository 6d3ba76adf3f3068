"""What an error that ended a run says about it."""

import asyncio
from concurrent.futures import CancelledError


def is_control_flow(error: BaseException) -> bool:
    """Whether a graph pauses or hands over; LangGraph need not be installed."""
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)


def status_after(error: BaseException) -> str:
    """The status of a model call. A stream that its reader breaks off is closed, which raises GeneratorExit in it."""
    if isinstance(error, GeneratorExit):
        return "partial"
    stopped = isinstance(error, asyncio.CancelledError | CancelledError | KeyboardInterrupt | SystemExit)
    return "cancelled" if stopped else "failed"
