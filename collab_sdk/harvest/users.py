"""Ids under which people and conversations can be found again, but not read."""

import hashlib
import hmac


def salted_user(user: str, salt: str) -> str:
    """What stands for a user in a store: HMAC-SHA256 under the salt, 32 hexadecimal digits of it."""
    return hmac.new(salt.encode(), user.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]
