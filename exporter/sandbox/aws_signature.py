"""Whether a request to the emulated AWS is signed with the right secret: Signature Version 4.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, read 2026-11. The date of a
signature is not looked at, as the sandbox's clock may be another than that of its clients.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from starlette.requests import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What an Authorization header says."""

    key_id: str
    scope: str  # date, region, service and the ending
    headers: str  # the names of those that are signed
    digest: str

    @classmethod
    def parse(cls, text: str) -> "Signature | None":
        """Return what stands in the header; None for what is none of version 4."""
        algorithm, _, rest = text.partition(" ")
        parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        if algorithm != "AWS4-HMAC-SHA256" or not {"Credential", "SignedHeaders", "Signature"} <= parts.keys():
            return None
        key_id, _, scope = parts["Credential"].partition("/")
        return cls(key_id=key_id, scope=scope, headers=parts["SignedHeaders"], digest=parts["Signature"])

    @property
    def service(self) -> str:
        """The service that is asked."""
        return [*self.scope.split("/"), "", "", ""][2]

    def is_of(self, request: Request, body: bytes, secret: str) -> bool:
        """Return whether it is the signature of a request, by version 4; its query is empty in all that are known."""
        given = "".join(
            f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in self.headers.split(";")
        )
        path = quote(quote(request.url.path))  # twice, but for what is safe
        asked = "\n".join([request.method, path, "", given, self.headers, sha256(body).hexdigest()])
        date = request.headers.get("x-amz-date", "")
        to_sign = "\n".join(["AWS4-HMAC-SHA256", date, self.scope, sha256(asked.encode()).hexdigest()])
        key = f"AWS4{secret}".encode()
        for part in (*self.scope.split("/"), to_sign):
            key = hmac.digest(key, part.encode(), "sha256")
        are_signed = {"host", "x-amz-date"} <= set(self.headers.split(";"))
        return are_signed and hmac.compare_digest(key.hex(), self.digest)
