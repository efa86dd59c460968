"""Asks a running exporter on this machine whether it is healthy, as the health check of a container does."""

import http.client
import ssl
from contextlib import closing
from pathlib import Path
from typing import Final

from ..config import ConfigError
from .server import parse_address
from .webconfig import load

_TIMEOUT_SECONDS: Final = 5.0
_LIMIT_BYTES: Final = 1000


def ask_health(address: str, web_config: Path | None = None, client: tuple[Path, Path] | None = None) -> str | None:
    """Return why the exporter that listens on ``address`` is not healthy; None when it is.

    Whether it speaks TLS is in its web configuration. Its certificate is not checked: it need not have the name of a
    loopback address, and who listens there could answer anything anyway. ``client`` is a certificate and its key, for
    a listener that asks for one. Raises ConfigError and WebError.
    """
    host, port = parse_address(address)
    host = host if host not in ("", "0.0.0.0", "::") else "localhost"
    tls = None if web_config is None else load(web_config).tls
    if tls is not None and tls.requires_client and client is None:
        raise ConfigError([f"{web_config}: asks for a client certificate; give --client-cert and --client-key"])
    connection = (
        http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=_context(client))
        if tls is not None
        else http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    )
    with closing(connection):
        try:
            connection.request("GET", "/-/healthy")
            answer = connection.getresponse()
            words = answer.read(_LIMIT_BYTES).decode("utf-8", "replace").strip()
        except (OSError, UnicodeError, http.client.HTTPException) as problem:
            return f"{address}: {str(problem) or type(problem).__name__}"
        return None if answer.status == http.client.OK else f"{address}: {answer.status}: {words}"


def _context(client: tuple[Path, Path] | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if client is not None:
        try:
            context.load_cert_chain(*client, password="")
        except OSError:
            raise ConfigError([f"{client[0]} and {client[1]}: are no certificate and key"]) from None
    return context
