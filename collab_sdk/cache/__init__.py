"""What was paid for: replies kept in memory, on disk, or on a server that machines share."""

from collab_sdk.cache.address import URL, is_local, server_address
from collab_sdk.cache.backend import LARGEST, CacheServer, SharedRows
from collab_sdk.cache.base import Cache, KeptCache, MemoryCache
from collab_sdk.cache.contents import Added, CacheStats, Contents, Copied
from collab_sdk.cache.forgetting import forget
from collab_sdk.cache.open import copy_cache, default_cache, is_directory, open_cache, shown_place
from collab_sdk.cache.record import call_identity, call_key
from collab_sdk.cache.shared import SharedCache
from collab_sdk.cache.signing import key_check_value, signer_of

__all__ = [
    "LARGEST",
    "URL",
    "Added",
    "Cache",
    "CacheServer",
    "CacheStats",
    "Contents",
    "Copied",
    "KeptCache",
    "MemoryCache",
    "SharedCache",
    "SharedRows",
    "call_identity",
    "call_key",
    "copy_cache",
    "default_cache",
    "forget",
    "is_directory",
    "is_local",
    "key_check_value",
    "open_cache",
    "server_address",
    "shown_place",
    "signer_of",
]
