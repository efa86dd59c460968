"""Certificates for tests: a CA, a server's and two clients' below it, and a stranger's."""

import functools
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

SERVER_NAMES = ("localhost", "127.0.0.1", "::1")
CLIENT_NAME = "prometheus.example"


@dataclass(frozen=True)
class Certificates:
    """Files in PEM form, in one folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def pair(self, name: str) -> tuple[str, str]:
        """Certificate and key of ``server``, ``renewed``, ``client``, ``other`` or ``stranger``."""
        return str(self.folder / f"{name}.crt"), str(self.folder / f"{name}.key")


@functools.cache
def _issued() -> tuple[dict[str, trustme.LeafCert], trustme.CA]:
    ours, theirs = trustme.CA(), trustme.CA()
    issued = {
        "server": ours.issue_cert(*SERVER_NAMES),
        "renewed": ours.issue_cert(*SERVER_NAMES, "renewed.example"),
        "client": ours.issue_cert(CLIENT_NAME, "192.0.2.7", "2001:db8::7"),
        "other": ours.issue_cert("other.example"),
        "stranger": theirs.issue_cert(CLIENT_NAME),
    }
    return issued, ours


def write_certificates(folder: Path) -> Certificates:
    """Write all into a folder."""
    issued, ca = _issued()
    for name, leaf in issued.items():
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
        (folder / f"{name}.crt").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    ca.cert_pem.write_to_path(folder / "ca.pem")
    key = load_pem_private_key(issued["server"].private_key_pem.bytes(), None)
    (folder / "encrypted.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    )
    return Certificates(folder)
