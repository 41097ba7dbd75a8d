"""What a request's signature says about where it is meant to go.

The signature itself is not checked. Its credential scope names the Region and the
service that the client meant, which no longer show in the host name of a local
endpoint:

    Authorization: AWS4-HMAC-SHA256 Credential=123456789012/20260101/eu-west-1/sqs/aws4_request, ...
"""

from typing import Final

from aiohttp import web

UNSIGNED: Final = "unsigned"
"""The Region and the service of a request without a SigV4 signature."""

_MARK: Final = "Credential="


def scope_of(request: web.BaseRequest) -> tuple[str, str]:
    """The Region and the service that the request was signed for."""
    authorization = request.headers.get("Authorization", "")
    start = authorization.find(_MARK)
    if start < 0:
        return UNSIGNED, UNSIGNED
    credential = authorization[start + len(_MARK) :].partition(",")[0]
    match credential.split("/"):
        case [_, _, region, service, _]:
            return region, service
        case _:
            return UNSIGNED, UNSIGNED
