"""The federation token: one call of one instance to another, signed, used once.

A compact JWS in shape, so that any client can carry it: header, claims and signature in base64url. What is signed is
not what JWS signs but those bytes under our own label and the issuer's id, so that a token is nothing to other
verifiers and theirs are nothing here. There is one header, compared as bytes: nothing in it can be chosen.

Verifying goes in stages, and a caller cannot skip one: `parts` gives an `Unverified`, its `verified` gives `Claims`,
those are checked against the hour and the request. Nothing in the claims is parsed before the signature is
good. There is no clock, no randomness and no database in this file; a token's single use is its caller's to keep.

    TokenError              ours and bad
    ├── InvalidToken        malformed, of nobody known, or not signed by its issuer: one sentence for all
    ├── BadClaims           signed, and not what a token says
    ├── WrongAudience       meant for another instance
    ├── TokenExpired, TokenNotYetValid, TokenOfEarlierRun, LifetimeTooLong
    ├── WrongMethod, WrongBody
    └── TokenReplayed       used before
    BadProof                an answer that its instance did not sign
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nacl.bindings import sodium_memcmp

from crow_hooks.errors import CrowError
from crow_plugins.identity import canonical_json, signing
from crow_plugins.identity.errors import IdentityError

Sign = Callable[[str, bytes], bytes]  # purpose and payload, as `crow.sign` takes them

TOKEN_BYTES_MAX = 1024  # the longest that `mint` can make has fewer than 800
LIFETIME_SECONDS = 60
LIFETIME_SECONDS_MAX = 300
LEEWAY_SECONDS = 30
JTI_BYTES = 16
KID_BYTES = 16
SCOPES_MAX = 8
PURPOSE, PROOF_PURPOSE = "token", "answer"

HEADER_START, HEADER_END = b'{"alg":"Ed25519","kid":"', b'","typ":"crow-fed+jwt"}'
KIND = b"crow-fed+jwt"
CLAIM_NAMES = frozenset({"aud", "bsh", "exp", "htm", "iat", "iss", "jti", "scp"})
BASE64URL = re.compile(rb"[A-Za-z0-9_-]*")
INSTANCE_ID = re.compile(r"[0-9a-f][0-9a-f-]{0,63}", re.ASCII)
METHOD = re.compile(r"[A-Z]{3,10}", re.ASCII)
SCOPE = re.compile(r"[a-z][a-z_]{0,23}", re.ASCII)


class TokenError(CrowError):
    """A federation token that is not accepted."""

    code = "invalid_token"


class InvalidToken(TokenError):
    """A token that nobody known has signed; why is not told, so that a stranger learns nothing."""

    def __init__(self) -> None:
        super().__init__("the token is not one of a trusted instance; register the instances with each other again")


class BadClaims(TokenError):
    """A signed token that does not say what a token says."""

    code = "bad_claims"

    def __init__(self, claim: str) -> None:
        super().__init__(f"the token's claims are wrong at {claim}; update both instances to one version")


class WrongAudience(TokenError):
    """A token for another instance."""

    code = "wrong_audience"

    def __init__(self) -> None:
        super().__init__("the token is meant for another instance; check the address that is registered")


class TokenExpired(TokenError):
    """A token past its end."""

    code = "token_expired"

    def __init__(self) -> None:
        super().__init__("the token has expired; set the caller's clock right, or call again")


class TokenNotYetValid(TokenError):
    """A token from the future."""

    code = "token_not_yet_valid"

    def __init__(self) -> None:
        super().__init__("the token is not valid yet; set the caller's clock right, or call again")


class TokenOfEarlierRun(TokenError):
    """A token from before this process began, which may have been used then."""

    code = "token_of_earlier_run"

    def __init__(self) -> None:
        super().__init__("the token was made before this gateway started; call again")


class LifetimeTooLong(TokenError):
    """A token that lasts longer than any may."""

    code = "lifetime_too_long"

    def __init__(self) -> None:
        super().__init__(f"a token lasts 1 to {LIFETIME_SECONDS_MAX} seconds; make a shorter one")


class WrongMethod(TokenError):
    """A token for a request of another method."""

    code = "wrong_method"

    def __init__(self) -> None:
        super().__init__("the token is for another HTTP method; make one for each request")


class WrongBody(TokenError):
    """A token for a request with another body."""

    code = "wrong_body"

    def __init__(self) -> None:
        super().__init__("the token is for another body; make one for each request")


class TokenReplayed(TokenError):
    """A token that was used before."""

    code = "token_replayed"

    def __init__(self) -> None:
        super().__init__("the token was used already; make one for each request")


class BadProof(CrowError):
    """An answer that the instance which was called did not sign."""

    code = "answer_not_signed"

    def __init__(self) -> None:
        super().__init__("the answer is not signed by the instance that was called; check what stands at its address")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says: who calls whom, when, with which request; times in unix seconds."""

    audience: str
    issuer: str
    issued_at: int
    expires_at: int
    jti: bytes
    method: str
    body_hash: bytes
    scopes: frozenset[str]

    def check_audience(self, instance_id: str) -> None:
        """Raises `WrongAudience`."""
        if self.audience != instance_id:
            raise WrongAudience

    def check_times(self, now: int, *, since: int) -> None:
        """Against the hour and the start of this process, since when uses are remembered.

        Raises `LifetimeTooLong`, `TokenExpired`, `TokenNotYetValid`, `TokenOfEarlierRun`.
        """
        if not 0 < self.expires_at - self.issued_at <= LIFETIME_SECONDS_MAX:
            raise LifetimeTooLong
        if now >= self.expires_at + LEEWAY_SECONDS:
            raise TokenExpired
        if now < self.issued_at - LEEWAY_SECONDS:
            raise TokenNotYetValid
        if self.issued_at < since:
            raise TokenOfEarlierRun

    def check_request(self, method: str, body: bytes) -> None:
        """Raises `WrongMethod`, `WrongBody`."""
        if self.method != method:
            raise WrongMethod
        if not sodium_memcmp(self.body_hash, hashlib.sha256(body).digest()):
            raise WrongBody


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token of our kind, well formed and of nobody yet; `kid` says whose key to look up."""

    kid: str
    signed: bytes
    claims: bytes
    signature: bytes

    def verified(self, instance_key: bytes, instance_id: str) -> Claims:
        """The claims, if that instance's key signed them; raises `InvalidToken`, then `BadClaims`."""
        if self.kid != kid_of(instance_key):
            raise InvalidToken
        try:
            signing.verify(instance_key, PURPOSE, instance_id, self.signed, self.signature)
        except IdentityError as error:
            raise InvalidToken from error
        claims = _parsed(self.claims)
        if claims.issuer != instance_id:
            raise BadClaims("iss")
        return claims


def mint(
    sign: Sign,
    *,
    instance_key: bytes,
    issuer: str,
    audience: str,
    now: int,
    jti: bytes,
    method: str,
    body: bytes,
    scopes: Sequence[str],
    lifetime: int = LIFETIME_SECONDS,
) -> str:
    """A token for one request with exactly this method and body.

    `sign` signs under a purpose as `issuer`, `instance_key` is its public half; `jti` is 16 fresh random bytes.
    Raises `BadClaims`, `LifetimeTooLong`.
    """
    if not 0 < lifetime <= LIFETIME_SECONDS_MAX:
        raise LifetimeTooLong
    value: dict[str, object] = {
        "aud": audience,
        "bsh": _encoded(hashlib.sha256(body).digest()),
        "exp": now + lifetime,
        "htm": method,
        "iat": now,
        "iss": issuer,
        "jti": _encoded(jti),
        "scp": sorted(scopes),
    }
    _claims(value)
    signed = f"{_encoded(_header(kid_of(instance_key)))}.{_encoded(canonical_json.encode(value))}"
    return f"{signed}.{_encoded(sign(PURPOSE, signed.encode()))}"


def kid_of(instance_key: bytes) -> str:
    """How a header names a public key of 32 bytes: its BLAKE2b-128 in base64url, 22 characters."""
    return _encoded(hashlib.blake2b(instance_key, digest_size=KID_BYTES).digest())


def parts(authorization: Sequence[bytes]) -> Unverified | None:
    """The token among a request's Authorization headers; None where none is of our kind.

    Raises `InvalidToken` for one that is and has another form than `mint` gives, or that does not stand alone.
    """
    ours = [value for value in authorization if _is_ours(value)]
    if not ours:
        return None
    if len(authorization) != 1:
        raise InvalidToken
    return _split(ours[0][len(b"Bearer ") :])


def proof(sign: Sign, *, jti: bytes, status: int, time: int | None = None) -> str:
    """The `Crow-Proof` of an answer; `time` is what its `Crow-Time` says, where it has one."""
    return _encoded(sign(PROOF_PURPOSE, _answer(jti, status, time)))


def check_proof(
    value: str | None, *, instance_key: bytes, instance_id: str, jti: bytes, status: int, time: int | None = None
) -> None:
    """Return if that instance signed this answer to the token with this `jti`. Raises `BadProof`."""
    try:
        signature = _decoded((value or "").encode())
        signing.verify(instance_key, PROOF_PURPOSE, instance_id, _answer(jti, status, time), signature)
    except (InvalidToken, IdentityError, UnicodeEncodeError) as error:
        raise BadProof from error


def _answer(jti: bytes, status: int, time: int | None) -> bytes:
    return jti + (f"{status}" if time is None else f"{status} {time}").encode()


def _is_ours(value: bytes) -> bool:
    """Whether it means to be one of ours, by its header; any other kind is for another verifier to judge."""
    scheme, _, rest = value.partition(b" ")
    header = rest.partition(b".")[0]
    if scheme.lower() != b"bearer" or len(header) > TOKEN_BYTES_MAX:
        return False
    try:
        return KIND in _decoded(header)
    except InvalidToken:
        return False


def _split(token: bytes) -> Unverified:
    pieces = token.split(b".")
    if len(token) > TOKEN_BYTES_MAX or len(pieces) != 3:
        raise InvalidToken
    header, claims, signature = (_decoded(piece) for piece in pieces)
    kid = header[len(HEADER_START) : -len(HEADER_END)].decode("ascii", "replace")
    if header != _header(kid) or len(_decoded(kid.encode())) != KID_BYTES:
        raise InvalidToken
    return Unverified(kid, pieces[0] + b"." + pieces[1], claims, signature)


def _header(kid: str) -> bytes:
    return HEADER_START + kid.encode() + HEADER_END


def _parsed(claims: bytes) -> Claims:
    """Only what `mint` writes: the one spelling of exactly these claims. Raises `BadClaims`."""
    try:
        value = canonical_json.parse_canonical(claims, TOKEN_BYTES_MAX)
    except IdentityError as error:
        raise BadClaims("their spelling") from error
    if not isinstance(value, dict) or value.keys() != CLAIM_NAMES:
        raise BadClaims("their names")
    return _claims(value)


def _claims(value: dict[str, object]) -> Claims:
    return Claims(
        audience=_text(value, "aud", INSTANCE_ID),
        issuer=_text(value, "iss", INSTANCE_ID),
        issued_at=_time(value, "iat"),
        expires_at=_time(value, "exp"),
        jti=_bytes(value, "jti", JTI_BYTES),
        method=_text(value, "htm", METHOD),
        body_hash=_bytes(value, "bsh", hashlib.sha256().digest_size),
        scopes=_scopes(value["scp"]),
    )


def _text(value: dict[str, object], name: str, form: re.Pattern[str]) -> str:
    found = value[name]
    if not isinstance(found, str) or not form.fullmatch(found):
        raise BadClaims(name)
    return found


def _time(value: dict[str, object], name: str) -> int:
    found = value[name]
    if type(found) is not int or found < 0:  # True is an int to isinstance
        raise BadClaims(name)
    return found


def _bytes(value: dict[str, object], name: str, length: int) -> bytes:
    found = value[name]
    try:
        decoded = _decoded(found.encode()) if isinstance(found, str) else b""
    except InvalidToken as error:
        raise BadClaims(name) from error
    if len(decoded) != length:
        raise BadClaims(name)
    return decoded


def _scopes(found: object) -> frozenset[str]:
    if not isinstance(found, list) or not 0 < len(found) <= SCOPES_MAX:
        raise BadClaims("scp")
    scopes = [scope for scope in found if isinstance(scope, str) and SCOPE.fullmatch(scope)]
    if len(scopes) != len(found) or scopes != sorted(set(scopes)):
        raise BadClaims("scp")
    return frozenset(scopes)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: bytes) -> bytes:
    """Base64url in its one spelling: no padding, no stray bits, nothing between. Raises `InvalidToken`."""
    if not BASE64URL.fullmatch(text):
        raise InvalidToken
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error as error:
        raise InvalidToken from error
    if _encoded(data).encode() != text:
        raise InvalidToken
    return data
