"""Where results are kept when several exporters share them: the settings, without the driver of any database."""

from importlib.util import find_spec
from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from checks.secret import Secret
from checks.settings import Seconds, SecretSetting, Settings, between

EXTRA: Final = "twofa-exporter[postgresql]"

_SCHEMES: Final = ("postgresql", "postgres")
_SHORTEST_KEY: Final = 32
_WORDS: Final = 'must be a URL such as "postgresql://twofa@db.example.com/twofa?sslmode=verify-full"'


class StorageSettings(Settings):
    """A PostgreSQL that all exporters of the same targets use. One of them leads: it runs checks and counts."""

    url: str = Field(description="the database, as libpq takes it: postgresql://user@host/database; without a password")
    password: SecretSetting | None = Field(None, description="the user's password, where the server asks for one")
    key: SecretSetting = Field(
        description="at least 32 random characters, the same for all exporters and for ever: message ids and numbers"
        " are kept as hashes with this key, and with another one nothing would be recognised"
    )
    lease: Annotated[Seconds, between("2s", "5m")] = Field(
        15.0, description="time after which another exporter goes on when the one that leads falls silent"
    )

    @field_validator("url")
    @classmethod
    def _is_database(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            has_password = parts.password is not None or "password" in parse_qs(parts.query)
            is_url = parts.scheme in _SCHEMES and parts.path.strip("/") != "" and "#" not in url
        except ValueError:
            raise PydanticCustomError("url", _WORDS) from None
        if has_password:
            raise PydanticCustomError(
                "url", "must not hold the password; give password: {{file: PATH}} or {{env: NAME}}"
            )
        if not is_url or not url.isprintable():
            raise PydanticCustomError("url", _WORDS)
        if find_spec("psycopg") is None:
            raise PydanticCustomError("extra", f"needs the driver of PostgreSQL: pip install '{EXTRA}'")
        return url

    @field_validator("key")
    @classmethod
    def _long_enough(cls, key: Secret) -> Secret:
        if len(key.reveal()) < _SHORTEST_KEY:
            raise PydanticCustomError("key", f"must have at least {_SHORTEST_KEY} characters")
        return key
