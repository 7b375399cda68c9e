"""The way to one instance: a request leaves with a token of its own, and an answer comes back only if it is proved.

A clock that is off is corrected once by what the other says under its signature. What refuses is raised, in the
other's own words; of the rest no more is read than is allowed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator

import httpx2

from crow_hooks import Crow, InstanceRegistry, KnownInstance
from crow_plugins import token
from crow_plugins.federation.refusal import Refusal
from crow_plugins.federation.telling import HEARD_HEADER, REVOCATIONS_HEADER, digest, heard
from crow_plugins.outbound.calling import CheckedTransport, Compressed, Redirected, TooLarge, content

ANSWER_BYTES_MAX = 8 * 2**20
REDIRECTED_FROM, REFUSED_FROM, UNAUTHORIZED = 300, 400, 401
REASON_MAX = 300
SCOPES = ("read", "write")
TIME = re.compile(r"[0-9]{1,15}", re.ASCII)


class SignedTransport(httpx2.AsyncBaseTransport):
    """Of one peer, for any httpx2 client."""

    def __init__(
        self,
        inner: CheckedTransport,
        crow: Crow,
        registry: InstanceRegistry,
        known: KnownInstance,
        instance_key: bytes,
    ) -> None:
        self._inner, self._crow, self._registry = inner, crow, registry
        self._known, self._instance_key = known, instance_key
        self._offset = 0  # seconds by which its clock is ahead of ours, as far as was told
        self.revocations: tuple[bytes, ...] = ()  # that came along with the last answers

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises `BadProof`, `Refusal`, a `CallError` or a `ForbiddenZone`, and what httpx2 does."""
        await request.aread()
        offset = self._offset
        response = await self._proved(request)
        if response.status_code == UNAUTHORIZED and abs(self._offset - offset) > token.LEEWAY_SECONDS:
            await _read(response)
            response = await self._proved(request)
        if response.status_code >= REFUSED_FROM:
            raise refusal(response.status_code, await _read(response))
        if response.status_code >= REDIRECTED_FROM:
            await response.aclose()
            raise Redirected  # also to the same origin: the SDK would follow there
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            raise Compressed
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = Bounded(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _proved(self, request: httpx2.Request) -> httpx2.Response:
        jti = secrets.token_bytes(token.JTI_BYTES)
        request.headers["authorization"] = f"Bearer {self._token(request, jti)}"
        request.headers[HEARD_HEADER] = digest(self._registry.credentials().revocations)
        response = await self._inner.handle_async_request(request)
        try:
            self._check(response, jti)
        except BaseException:
            await response.aclose()
            raise
        self.revocations = heard(response.headers.get(REVOCATIONS_HEADER)) or self.revocations
        return response

    def _token(self, request: httpx2.Request, jti: bytes) -> str:
        return token.mint(
            self._crow.sign,
            instance_key=self._instance_key,
            issuer=self._crow.instance.id,
            audience=self._known.instance.id,
            now=self._crow.now() + self._offset,
            jti=jti,
            method=request.method,
            body=request.content,
            scopes=SCOPES,
        )

    def _check(self, response: httpx2.Response, jti: bytes) -> None:
        """Take the hour that a refusal tells. Raises `BadProof` where the other did not sign all of it."""
        said = response.headers.get("crow-time", "")
        told = int(said) if TIME.fullmatch(said) else None
        token.check_proof(
            response.headers.get("crow-proof"),
            instance_key=self._known.instance_key,
            instance_id=self._known.instance.id,
            jti=jti,
            status=response.status_code,
            time=told,
        )
        if told is not None and response.status_code == UNAUTHORIZED:
            self._offset = told - self._crow.now()


class Bounded(httpx2.AsyncByteStream):
    """An answer's bytes, so many and no more."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for part in self._inner:
            count += len(part)
            if count > ANSWER_BYTES_MAX:
                raise TooLarge(ANSWER_BYTES_MAX)
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


def refusal(status: int, body: bytes) -> Refusal:
    """In the other's own words, if it has any."""
    try:
        said = json.loads(body)
        code, reason = str(said["code"])[:64], str(said["error_description"])[:REASON_MAX]
    except (ValueError, KeyError, TypeError, RecursionError):
        code, reason = "refused", f"the other instance answered with status {status}"
    return Refusal(status, code, reason)


async def _read(response: httpx2.Response) -> bytes:
    try:
        return await content(response, ANSWER_BYTES_MAX)
    finally:
        await response.aclose()
