"""Numbers as people read them."""

from collab_sdk.engine import Usage


def money(usage: Usage) -> str:
    """What was spent; never 0 for calls whose price nobody knows."""
    if not usage.unpriced_calls:
        return dollars(usage.usd)
    return f"{dollars(usage.usd)} + unknown" if usage.usd else "unknown"


def dollars(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 10 or not usd else f"${usd:.4f}"


def figure(value: float) -> str:
    """`1.234`, or `1.2e+300` for what no scale of rewards has."""
    return f"{value:.3f}" if abs(value) < 1e6 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """`8.4 s`, `42 s`, `3:20 min` or `1:03:20 h`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def size(n_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def of(count: int, noun: str) -> str:
    """`1 pair`, `1,204 pairs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
