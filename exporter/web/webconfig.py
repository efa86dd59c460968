"""The file of ``--web.config.file``: TLS, users, headers and a rate limit of a listener, in exporter-toolkit's format.

The format is that of https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md, so that one
file can serve all exporters of a host. What cannot be done here as it is asked for is refused, or done in the
stricter way with a warning; never in a weaker one.
"""

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from checks.secret import Secret

from .. import documents
from ..config import ConfigError
from ..documents import DocumentError
from ..wording import hint, kind_of, one_of, words_of_os

Pem = Path | Secret
"""PEM text, in a file or as it stands in the configuration."""


class ClientAuth(StrEnum):
    """What is asked of a client's certificate."""

    NONE = "NoClientCert"
    REQUEST = "RequestClientCert"
    REQUIRE_ANY = "RequireAnyClientCert"
    VERIFY_IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRE_AND_VERIFY = "RequireAndVerifyClientCert"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """How connections are encrypted."""

    certificate: Pem
    key: Pem
    client_ca: Pem | None = None  # None: clients need no certificate
    requires_client: bool = False  # else a client may have a certificate, and a good one then
    client_sans: frozenset[str] = frozenset()  # empty: any
    ciphers: tuple[str, ...] = ()  # for TLS 1.2, as OpenSSL calls them; empty: OpenSSL's choice
    prefers_own_ciphers: bool = True
    curve: str | None = None  # as OpenSSL calls it; None: OpenSSL's choice
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSettings:
    """A bucket of ``burst`` requests that gets one more every ``interval_seconds``."""

    interval_seconds: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """A web configuration without contradictions."""

    tls: TlsSettings | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    users: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # bcrypt hashes by name
    rate: RateSettings | None = None
    warnings: tuple[str, ...] = ()

    def files(self) -> tuple[Path, ...]:
        """Return the files that it takes in."""
        if self.tls is None:
            return ()
        return tuple(pem for pem in (self.tls.certificate, self.tls.key, self.tls.client_ca) if isinstance(pem, Path))


_TLS: Final = "tls_server_config"
_HTTP: Final = "http_server_config"
_USERS: Final = "basic_auth_users"
_RATE: Final = "rate_limit"

_TLS_KEYS: Final = (
    "cert",
    "key",
    "client_ca",
    "cert_file",
    "key_file",
    "client_ca_file",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
)
_ENABLES_TLS: Final = ("cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file", "client_auth_type")
_AUTH_WORDS: Final = {"": ClientAuth.NONE, "RequireClientCert": ClientAuth.REQUIRE_ANY}  # its older name

_VERSIONS: Final[Mapping[str, ssl.TLSVersion | None]] = {  # None: not spoken, RFC 8996
    "TLS10": None,
    "TLS11": None,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}

# Go's crypto/tls.CipherSuites(), to the names of OpenSSL; those of TLS 1.3 are always on, there and here.
_CIPHERS: Final[Mapping[str, str | None]] = {
    "TLS_AES_128_GCM_SHA256": None,
    "TLS_AES_256_GCM_SHA384": None,
    "TLS_CHACHA20_POLY1305_SHA256": None,
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
_CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {  # the values that it may have; empty: any
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}

_TRUE: Final = frozenset({"true", "yes", "on", "y"})
_FALSE: Final = frozenset({"false", "no", "off", "n"})
_BCRYPT: Final = re.compile(r"\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_SLOW_COST: Final = 14  # more than a second a password
_GO_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_LONGEST_SECONDS: Final = 2**63 / 1e9  # 292 years
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def load(path: Path, *, is_public: bool = False) -> WebConfig:
    """Return what a file says. Files that it names are relative to its folder, and are not read here.

    A public listener has clients whom nobody knows: users and a rate limit for all of them together are refused there.
    Raises ConfigError with everything that is wrong.
    """
    document = _read(path)
    reading = _Reading(path.parent)
    config = reading.config(document, is_public=is_public)
    if reading.problems:
        raise ConfigError([f"{path}: {problem}" for problem in reading.problems])
    return config


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = documents.read_as_text(path)
    except OSError as problem:
        raise ConfigError([f"{path}: cannot be read: {words_of_os(problem)}"]) from None
    except DocumentError as problem:
        position = "" if problem.line is None else f":{problem.line}"
        words = str(problem)
        if words.startswith("is not YAML:"):
            words = "is not YAML; what stands there is not shown, as it may be a secret"
        raise ConfigError([f"{path}{position}: {words}"]) from None
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise ConfigError([f"{path}: must be a mapping, got {kind_of(document)}"])
    return document


class _Reading:
    """Reads one document, and collects all that is wrong with it. No value is quoted: it may be a secret."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: list[str] = []
        self._warnings: list[str] = []

    def config(self, document: Mapping[str, Any], *, is_public: bool) -> WebConfig:
        self._only_known("", document, (_TLS, _HTTP, _USERS, _RATE))
        tls = self._tls(self._mapping(document, _TLS))
        headers = self._http(self._mapping(document, _HTTP))
        users = self._users(self._mapping(document, _USERS))
        rate = self._rate(self._mapping(document, _RATE))
        if is_public:
            if users:
                self._problem(_USERS, "the clock page is for clients without an account, and callbacks are signed")
            if rate is not None:
                self._problem(_RATE, "strangers would use it up, and the callbacks of providers be turned away")
        elif users and tls is None and not self.problems:
            self._warnings.append(f"{_USERS}: without {_TLS} passwords cross the network readable by others")
        return WebConfig(
            tls=tls,
            headers=MappingProxyType(headers),
            users=MappingProxyType(users),
            rate=rate,
            warnings=tuple(self._warnings),
        )

    # --- tls_server_config

    def _tls(self, section: Mapping[str, Any]) -> TlsSettings | None:
        self._only_known(_TLS, section, _TLS_KEYS)
        texts = {name: self._text(_TLS, section, name) for name in _TLS_KEYS if name not in _LISTS}
        oldest, newest = self._version(section, "min_version"), self._version(section, "max_version")
        ciphers = self._names(section, "cipher_suites", _CIPHERS)
        curves = self._names(section, "curve_preferences", _CURVES)
        sans = self._list(section, "client_allowed_sans")
        prefers_own_ciphers = self._flag(_TLS, section, "prefer_server_cipher_suites", default=True)
        if not any(texts.get(name) for name in _ENABLES_TLS):
            if section:
                self._warnings.append(f"{_TLS}: has no cert_file and key_file, so nothing is encrypted")
            return None
        certificate, key = self._pem(texts, "cert", "cert_file"), self._pem(texts, "key", "key_file")
        if certificate is None:
            self._problem(_TLS, "needs cert_file (or cert)")
        if key is None:
            self._problem(_TLS, "needs key_file (or key)")
        client_ca = self._pem(texts, "client_ca", "client_ca_file")
        auth = self._client_auth(texts["client_auth_type"], client_ca, sans)
        suites = [suite for name in ciphers if (suite := _CIPHERS[name]) is not None]
        if ciphers and not suites:  # none of TLS 1.2: it cannot be spoken
            oldest = ssl.TLSVersion.TLSv1_3
        if len(curves) > 1:
            self._warnings.append(
                f"{_TLS}.curve_preferences: of a list, only the first can be set here: {curves[0]} alone is used"
            )
        if oldest and newest and oldest > newest:
            self._problem(f"{_TLS}.max_version", "is older than the oldest version that may be spoken")
        if certificate is None or key is None:
            return None
        return TlsSettings(
            certificate=certificate,
            key=key,
            client_ca=client_ca if auth in _VERIFIES else None,
            requires_client=auth in (ClientAuth.REQUIRE_ANY, ClientAuth.REQUIRE_AND_VERIFY),
            client_sans=frozenset(sans or ()),
            ciphers=tuple(suites),
            prefers_own_ciphers=prefers_own_ciphers,
            curve=_CURVES[curves[0]] if curves else None,
            oldest=oldest or ssl.TLSVersion.TLSv1_2,
            newest=newest or ssl.TLSVersion.TLSv1_3,
        )

    def _pem(self, texts: Mapping[str, str], inline: str, file: str) -> Pem | None:
        if texts[inline] and texts[file]:
            self._problem(_TLS, f"give {inline} or {file}, not both")
        if texts[file]:
            return self._folder / texts[file]
        return Secret(texts[inline]) if texts[inline] else None

    def _client_auth(self, word: str, client_ca: Pem | None, sans: Sequence[str] | None) -> ClientAuth:
        where = f"{_TLS}.client_auth_type"
        try:
            auth = _AUTH_WORDS.get(word) or ClientAuth(word)
        except ValueError:
            self._problem(where, f"must be {one_of(ClientAuth)}{hint(word, ClientAuth)}")
            return ClientAuth.REQUIRE_AND_VERIFY
        if auth is ClientAuth.NONE and client_ca is not None:
            self._problem(
                where, "is required where there is a client_ca_file; RequireAndVerifyClientCert checks clients"
            )
        if auth in _VERIFIES and client_ca is None:
            self._problem(where, f"{auth} needs client_ca_file: whoever has signed the clients' certificates")
        elif auth is ClientAuth.REQUIRE_ANY:
            self._warnings.append(
                f"{where}: a certificate that nobody has signed proves nothing, so that {auth} is taken as"
                f" {ClientAuth.REQUIRE_AND_VERIFY}"
            )
        elif auth is ClientAuth.REQUEST:
            self._warnings.append(f"{where}: {auth} checks nothing, so that no certificate is asked for")
        if sans is not None and auth not in (ClientAuth.REQUIRE_ANY, ClientAuth.REQUIRE_AND_VERIFY):
            self._problem(f"{_TLS}.client_allowed_sans", f"needs client_auth_type {ClientAuth.REQUIRE_AND_VERIFY}")
        if sans == []:
            self._problem(f"{_TLS}.client_allowed_sans", "must hold at least one name, or nobody could connect")
        return auth

    def _version(self, section: Mapping[str, Any], name: str) -> ssl.TLSVersion | None:
        word = self._text(_TLS, section, name)
        if not word:
            return None
        if word not in _VERSIONS:
            self._problem(f"{_TLS}.{name}", f"must be {one_of(_VERSIONS)}{hint(word, _VERSIONS)}")
            return None
        version = _VERSIONS[word]
        if version is None and name == "max_version":
            self._problem(f"{_TLS}.{name}", f"{word} is broken (RFC 8996); the oldest that is spoken is TLS12")
        elif version is None:
            self._warnings.append(f"{_TLS}.{name}: {word} is broken (RFC 8996); the oldest that is spoken is TLS12")
        return version

    # --- the other sections

    def _http(self, section: Mapping[str, Any]) -> dict[str, str]:
        self._only_known(_HTTP, section, ("http2", "headers"))
        if self._flag(_HTTP, section, "http2", default=False):
            self._warnings.append(f"{_HTTP}.http2: is ignored; HTTP/1.1 is spoken, which every Prometheus takes")
        where = f"{_HTTP}.headers"
        headers = {}
        for name, value in self._mapping(section, "headers", where=where).items():
            if name not in _HEADERS:
                self._problem(f"{where}.{_plain(name)}", f"cannot be set{hint(name, _HEADERS) or _known(_HEADERS)}")
            elif not isinstance(value, str):
                self._problem(f"{where}.{name}", f"must be text, got {kind_of(value)}")
            elif _HEADERS[name] and value not in _HEADERS[name]:
                self._problem(f"{where}.{name}", f"must be {one_of(_HEADERS[name])}")
            elif not (value.isascii() and value.isprintable()):
                self._problem(f"{where}.{name}", "must be printable ASCII on one line")
            elif value:
                headers[name] = value
        return headers

    def _users(self, section: Mapping[str, Any]) -> dict[str, str]:
        users = {}
        for name, hashed in section.items():
            where = f"{_USERS}.{_plain(name)}"
            if not name or ":" in name or not name.isprintable():
                self._problem(where, "a name must be printable, and without a colon (RFC 7617)")
            elif not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
                self._problem(where, "must be a bcrypt hash, such as htpasswd -nBC 10 makes; not the password itself")
            else:
                users[name] = hashed
                if int(hashed[4:6]) > _SLOW_COST:
                    self._warnings.append(
                        f"{where}: a cost of {hashed[4:6]} takes seconds of a processor for each wrong password;"
                        " 10 to 12 is usual"
                    )
        return users

    def _rate(self, section: Mapping[str, Any]) -> RateSettings | None:
        self._only_known(_RATE, section, ("interval", "burst"))
        interval = _go_duration(self._text(_RATE, section, "interval"))
        if interval is None:
            self._problem(f"{_RATE}.interval", 'must be a duration such as "1s" or "100ms"')
        word = self._text(_RATE, section, "burst") or "0"
        burst = int(word) if word.isascii() and word.isdecimal() else -1
        if not 0 <= burst <= _MOST_BURST:
            self._problem(f"{_RATE}.burst", "must be a whole number of requests")
        elif interval and not burst:
            self._problem(f"{_RATE}.burst", "must be at least 1, or every request would be refused")
        return RateSettings(interval_seconds=interval, burst=burst) if interval and burst > 0 else None

    # --- the parts

    def _problem(self, where: str, words: str) -> None:
        self.problems.append(f"{where}: {words}")

    def _only_known(self, where: str, section: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in section:
            if key not in known:
                path = f"{where}.{_plain(key)}" if where else _plain(key)
                self._problem(path, f"unknown key{hint(key, known) or _known(known)}")

    def _mapping(self, section: Mapping[str, Any], name: str, *, where: str = "") -> Mapping[str, Any]:
        value = section.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._problem(where or name, f"must be a mapping, got {kind_of(value)}")
            return {}
        return value

    def _text(self, where: str, section: Mapping[str, Any], name: str) -> str:
        value = section.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self._problem(f"{where}.{name}", f"must be text, got {kind_of(value)}")
            return ""
        return value

    def _flag(self, where: str, section: Mapping[str, Any], name: str, *, default: bool) -> bool:
        word = self._text(where, section, name).lower()
        if word and word not in _TRUE | _FALSE:
            self._problem(f"{where}.{name}", "must be true or false")
        return word in _TRUE if word else default

    def _list(self, section: Mapping[str, Any], name: str) -> list[str] | None:
        """Return the entries; None where there is no list."""
        value = section.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(entry, str) and entry for entry in value):
            self._problem(f"{_TLS}.{name}", f"must be a list of text, got {kind_of(value)}")
            return None
        return value

    def _names(self, section: Mapping[str, Any], name: str, known: Mapping[str, Any]) -> list[str]:
        entries = self._list(section, name) or []
        for position, entry in enumerate(entries):
            if entry not in known:
                self._problem(f"{_TLS}.{name}[{position}]", f"unknown{hint(entry, known) or _known(known)}")
        return [entry for entry in entries if entry in known]


_LISTS: Final = ("client_allowed_sans", "cipher_suites", "curve_preferences")
_VERIFIES: Final = (ClientAuth.REQUIRE_ANY, ClientAuth.VERIFY_IF_GIVEN, ClientAuth.REQUIRE_AND_VERIFY)
_MOST_BURST: Final = 1_000_000_000


def _known(names: Sequence[str] | Mapping[str, Any]) -> str:
    return f", must be {one_of(names)}"


def _plain(key: str) -> str:
    """Return a key as it is shown: short, on one line."""
    return key[:40] if key.isprintable() else ascii(key[:40])


def _go_duration(text: str) -> float | None:
    """Return the seconds of a duration as Go writes it, 0 for none; None for no duration, or one too long for Go."""
    if text in ("", "0"):
        return 0.0
    parts = list(_parts(text))
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return seconds if seconds <= _LONGEST_SECONDS else None


def _parts(text: str) -> Iterator[tuple[str, str]]:
    for match in _GO_DURATION.finditer(text):
        yield match[1], match[2]
