"""The URL of a server, which must never be seen with its password."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from collab_sdk.chat.openai_shape import SECRET_PARAMETERS, one_line, without_credentials


@dataclass(frozen=True)
class Address:
    url: str

    @property
    def shown(self) -> str:
        """Without user and password."""
        return without_credentials(self.url) or ""

    def said(self, error: BaseException) -> str:
        """What a client library says went wrong: one line, in which neither the URL nor its password is left."""
        text = str(error) or type(error).__name__
        for secret in self._secrets():
            text = text.replace(secret, "[secret]")
        return one_line(text).rstrip(".?")

    def _secrets(self) -> list[str]:
        parts = urlsplit(self.url)
        credentials, _, _ = parts.netloc.rpartition("@")
        password = credentials.partition(":")[2]
        asked = [value for name, value in parse_qsl(parts.query) if SECRET_PARAMETERS.search(name)]
        return [secret for secret in (self.url, credentials, password, unquote(password), *asked) if secret]

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"
