"""The body of a request, of one media type and bounded size."""

from starlette.requests import ClientDisconnect, Request


class BodyError(Exception):
    """The body is not taken; the text says what is accepted."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


async def read_body(request: Request, *, media_type: str, limit_bytes: int) -> bytes:
    """Return the body. Raises BodyError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        raise BodyError(415, f"Content-Type must be {media_type}")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > limit_bytes:
                raise BodyError(413, f"the body must be {limit_bytes // 1024} KiB at the most")
    except ClientDisconnect:
        raise BodyError(400, "the body is incomplete") from None
    return bytes(body)
