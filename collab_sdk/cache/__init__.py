"""What was paid for: replies kept in memory, on disk, or on a server that machines share."""

from collab_sdk.cache.backend import LARGEST, CacheServer, SharedRows
from collab_sdk.cache.base import Cache, KeptCache, MemoryCache
from collab_sdk.cache.forgetting import forget
from collab_sdk.cache.open import URL, copy_cache, default_cache, open_cache
from collab_sdk.cache.record import call_identity, call_key
from collab_sdk.cache.shared import SharedCache
from collab_sdk.cache.signing import key_check_value, signer_of

__all__ = [
    "LARGEST",
    "URL",
    "Cache",
    "CacheServer",
    "KeptCache",
    "MemoryCache",
    "SharedCache",
    "SharedRows",
    "call_identity",
    "call_key",
    "copy_cache",
    "default_cache",
    "forget",
    "key_check_value",
    "open_cache",
    "signer_of",
]
