"""Two instances of fixed keys, and one token between them: what token tests start from."""

from __future__ import annotations

from typing import Any

from crow_plugins import token
from crow_plugins.identity import signing
from crow_plugins.identity.keys import DeviceKeys, device_keys
from crow_plugins.token import Claims

GRACKLE, SWAN = "0f6d9d5e-6d0e-4b5c-9a1e-000000000001", "0f6d9d5e-6d0e-4b5c-9a1e-000000000002"
KEYS: dict[str, DeviceKeys] = {GRACKLE: device_keys(b"\1" * 32), SWAN: device_keys(b"\2" * 32)}
NOW = 1_790_000_000
BODY = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
JTI = bytes(range(16))


def signer(instance_id: str) -> token.Sign:
    key = KEYS[instance_id].instance
    return lambda purpose, payload: signing.sign(key, purpose, instance_id, payload)


def mint(**changed: Any) -> str:
    """Grackle's token for a POST to swan."""
    given: dict[str, Any] = {
        "instance_key": KEYS[GRACKLE].instance.public_key,
        "issuer": GRACKLE,
        "audience": SWAN,
        "now": NOW,
        "jti": JTI,
        "method": "POST",
        "body": BODY,
        "scopes": ["read"],
    }
    return token.mint(signer(GRACKLE), **(given | changed))


def accept(
    *authorization: bytes, now: int = NOW, since: int = NOW - 3600, method: str = "POST", body: bytes = BODY
) -> Claims | None:
    """Every stage as swan takes it; None for a token of another kind, an error for a bad one of ours."""
    unverified = token.parts(authorization)
    if unverified is None:
        return None
    issuer = next(
        (each for each, keys in KEYS.items() if token.kid_of(keys.instance.public_key) == unverified.kid), None
    )
    if issuer is None or issuer == SWAN:
        raise token.InvalidToken
    claims = unverified.verified(KEYS[issuer].instance.public_key, issuer)
    claims.check_audience(SWAN)
    claims.check_times(now, since=since)
    claims.check_request(method, body)
    return claims
