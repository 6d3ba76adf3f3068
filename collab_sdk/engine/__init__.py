"""The call path: every model call is cached, bounded, retried and accounted here."""

from collab_sdk.engine.adaptive import AdaptiveLimit
from collab_sdk.engine.admission import Admission
from collab_sdk.engine.asking import ask_json
from collab_sdk.engine.engine import Engine, default_engine, require_whole
from collab_sdk.engine.limits import Budget, Limiter, LocalLimiter, RateLimiting, Spending, calls_paid_for
from collab_sdk.engine.retry import RetryPolicy, Sleep, is_retryable
from collab_sdk.engine.usage import Ledger, Usage

__all__ = [
    "AdaptiveLimit",
    "Admission",
    "Budget",
    "Engine",
    "Ledger",
    "Limiter",
    "LocalLimiter",
    "RateLimiting",
    "RetryPolicy",
    "Sleep",
    "Spending",
    "Usage",
    "ask_json",
    "calls_paid_for",
    "default_engine",
    "is_retryable",
    "require_whole",
]
