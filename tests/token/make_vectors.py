"""Makes `tests/vectors/token/*.json`: run it as a module after a deliberate change of the format, and read the diff."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from crow_plugins import token
from crow_plugins.identity import canonical_json
from tests.token.world import BODY, GRACKLE, JTI, KEYS, NOW, SWAN, mint, signer

FOLDER = Path(__file__).parent.parent / "vectors" / "token"
Vector = dict[str, Any]


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(header: bytes | str, claims: bytes | str, *, by: str = GRACKLE, purpose: str = token.PURPOSE) -> str:
    """A token of any header and claims, rightly signed."""
    start = ".".join(encoded(part) if isinstance(part, bytes) else part for part in (header, claims))
    return f"{start}.{encoded(signer(by)(purpose, start.encode()))}"


GOOD = mint()
HEADER, CLAIMS, SIGNATURE = GOOD.split(".")
VALUE: dict[str, Any] = dict(canonical_json.parse(decoded(CLAIMS)))  # type: ignore[call-overload]


def claiming(**changed: object) -> str:
    """A token with other claims, rightly signed; None takes a claim out."""
    value = {key: each for key, each in (VALUE | changed).items() if each is not None}
    return signed(HEADER, json.dumps(value, separators=(",", ":"), sort_keys=True).encode())


def vector(name: str, expect: str, authorization: str | list[str], **request: Any) -> Vector:
    values = [authorization] if isinstance(authorization, str) else authorization
    return {"name": name, "expect": expect, "authorization": values, **request}


def bearer(text: str) -> str:
    return f"Bearer {text}"


def headers() -> list[Vector]:
    kid = token.kid_of(KEYS[GRACKLE].instance.public_key)
    tricks = {
        "alg none": b'{"alg":"none","kid":"%s","typ":"crow-fed+jwt"}',
        "alg EdDSA": b'{"alg":"EdDSA","kid":"%s","typ":"crow-fed+jwt"}',
        "alg HS256": b'{"alg":"HS256","kid":"%s","typ":"crow-fed+jwt"}',
        "alg in small letters": b'{"alg":"ed25519","kid":"%s","typ":"crow-fed+jwt"}',
        "another order": b'{"kid":"%s","alg":"Ed25519","typ":"crow-fed+jwt"}',
        "spaces": b'{"alg": "Ed25519", "kid": "%s", "typ": "crow-fed+jwt"}',
        "a key of its own": b'{"alg":"Ed25519","jwk":{},"kid":"%s","typ":"crow-fed+jwt"}',
        "an address of a key": b'{"alg":"Ed25519","jku":"https://example.com","kid":"%s","typ":"crow-fed+jwt"}',
        "critical": b'{"alg":"Ed25519","crit":["b64"],"kid":"%s","typ":"crow-fed+jwt"}',
        "kid twice": b'{"alg":"Ed25519","kid":"x","kid":"%s","typ":"crow-fed+jwt"}',
        "an end too many": b'{"alg":"Ed25519","kid":"%s","typ":"crow-fed+jwt"} ',
        "an escape": b'{"alg":"Ed25519","k\\u0069d":"%s","typ":"crow-fed+jwt"}',
    }
    found = [
        vector(name, "invalid_token", bearer(signed(text % kid.encode(), CLAIMS))) for name, text in tricks.items()
    ]
    for name, other in {
        "kid of nobody": token.kid_of(b"\7" * 32),
        "kid of ourselves": token.kid_of(KEYS[SWAN].instance.public_key),
        "kid too short": kid[:-1],
        "kid too long": kid + "A",
        "kid empty": "",
        "kid with stray bits": kid[:-1] + chr(ord(kid[-1]) + 1),
        "kid with a quote": kid[:-1] + '"',
    }.items():
        text = b'{"alg":"Ed25519","kid":"%s","typ":"crow-fed+jwt"}' % other.encode()
        found.append(vector(name, "invalid_token", bearer(signed(text, CLAIMS))))
    other = signed(b'{"alg":"Ed25519","kid":"%s","typ":"JWT"}' % kid.encode(), CLAIMS)
    return [*found, vector("typ of another kind", "not_ours", bearer(other))]


def encodings() -> list[Vector]:
    long = encoded(b'{"kid":"%s","typ":"crow-fed+jwt"}' % (b"x" * 1024))
    tampered = SIGNATURE[:-1] + ("A" if SIGNATURE[-1] != "A" else "Q")
    bad = {
        "padding": f"{HEADER}.{CLAIMS}.{SIGNATURE}==",
        "two parts": f"{HEADER}.{CLAIMS}",
        "four parts": f"{GOOD}.{SIGNATURE}",
        "an empty signature": f"{HEADER}.{CLAIMS}.",
        "empty claims": f"{HEADER}..{SIGNATURE}",
        "a space at the end": f"{GOOD} ",
        "a line break": f"{HEADER}.{CLAIMS[:8]}\n{CLAIMS[8:]}.{SIGNATURE}",
        "plus for minus": f"{HEADER}.{CLAIMS}.+{SIGNATURE[1:]}",
        "stray bits in the signature": f"{HEADER}.{CLAIMS}.{SIGNATURE[:-1]}{chr(ord(SIGNATURE[-1]) + 1)}",
        "a signature cut short": f"{HEADER}.{CLAIMS}.{SIGNATURE[:-4]}",
        "another signature": f"{HEADER}.{CLAIMS}.{tampered}",
        "longer than any token": f"{HEADER}.{CLAIMS}{'A' * 1024}.{SIGNATURE}",
        "two tokens": f"{GOOD},{GOOD}",
        "rightly signed and too long": signed(HEADER, decoded(CLAIMS)[:-1] + b',"x":"' + b"x" * 600 + b'"}'),
    }
    return [
        *(vector(name, "invalid_token", bearer(text)) for name, text in bad.items()),
        vector("two headers, both ours", "invalid_token", [bearer(GOOD), bearer(GOOD)]),
        vector("two headers, one ours", "invalid_token", ["Basic YTpi", bearer(GOOD)]),
        vector("small letters in the scheme", "accepted", f"bearer {GOOD}"),
        vector("no scheme", "not_ours", GOOD),
        vector("another scheme", "not_ours", f"Basic {GOOD}"),
        vector("two spaces", "not_ours", f"Bearer  {GOOD}"),
        vector("no header", "not_ours", []),
        vector("an assistant's token", "not_ours", "Bearer crow_abc"),
        vector("a header longer than any token", "not_ours", bearer(f"{long}.{CLAIMS}.{SIGNATURE}")),
        vector("padding in the header", "not_ours", bearer(f"{HEADER}=.{CLAIMS}.{SIGNATURE}")),
    ]


def claims() -> list[Vector]:
    changed: dict[str, dict[str, object]] = {
        **{f"without {name}": {name: None} for name in sorted(VALUE)},
        "a claim too many": {"nbf": NOW},
        "aud a list": {"aud": [SWAN]},
        "aud empty": {"aud": ""},
        "iat a text": {"iat": str(NOW)},
        "iat true": {"iat": True},
        "iat below zero": {"iat": -1},
        "exp beyond integers": {"exp": 1 << 60},
        "jti short": {"jti": encoded(b"\0" * 15)},
        "jti long": {"jti": encoded(b"\0" * 17)},
        "jti with stray bits": {"jti": encoded(JTI)[:-1] + "x"},
        "jti a number": {"jti": 5},
        "bsh a list": {"bsh": [encoded(b"\0" * 32)]},
        "bsh short": {"bsh": encoded(b"\0" * 31)},
        "htm in small letters": {"htm": "post"},
        "htm empty": {"htm": ""},
        "scp a text": {"scp": "read"},
        "scp empty": {"scp": []},
        "scp twice": {"scp": ["read", "read"]},
        "scp in another order": {"scp": ["write", "read"]},
        "scp of numbers": {"scp": [1]},
        "scp an object": {"scp": {"read": 1}},
        "scp a number": {"scp": 1},
        "scp in capitals": {"scp": ["READ"]},
        "scp with a space": {"scp": ["read write"]},
        "scp too many": {"scp": list("abcdefghi")},
        "iss another": {"iss": SWAN},
    }
    text = decoded(CLAIMS)
    spelled = {
        "spaces": text.replace(b":", b": "),
        "iat with a fraction": text.replace(b'"iat":%d' % NOW, b'"iat":%d.0' % NOW),
        "iat with an exponent": text.replace(b'"iat":%d' % NOW, b'"iat":179e7'),
        "a key twice": text.replace(b'{"aud"', b'{"aud":"x","aud"'),
        "an escape": text.replace(b'"POST"', b'"P\\u004fST"'),
        "another order": b'{"scp":["read"],' + text[1:].replace(b',"scp":["read"]', b""),
        "a list": b"[" + text + b"]",
        "a byte mark": b"\xef\xbb\xbf" + text,
        "not UTF-8": text.replace(b"POST", b"P\xffST"),
        "nothing": b"{}",
        "deep": b"[" * 200 + b"]" * 200,
    }
    return [
        *(vector(name, "bad_claims", bearer(claiming(**each))) for name, each in changed.items()),
        *(vector(name, "bad_claims", bearer(signed(HEADER, each))) for name, each in spelled.items()),
    ]


def times() -> list[Vector]:
    return [
        vector("the first second of a slow callee", "accepted", bearer(GOOD), now=NOW - 30),
        vector("before that", "token_not_yet_valid", bearer(GOOD), now=NOW - 31),
        vector("the last second of a fast callee", "accepted", bearer(GOOD), now=NOW + 89),
        vector("after that", "token_expired", bearer(GOOD), now=NOW + 90),
        vector("ten minutes late", "token_expired", bearer(GOOD), now=NOW + 600),
        vector("the longest life", "accepted", bearer(claiming(exp=NOW + 300))),
        vector("longer than any", "lifetime_too_long", bearer(claiming(exp=NOW + 301))),
        vector("no life", "lifetime_too_long", bearer(claiming(exp=NOW))),
        vector("an end before the start", "lifetime_too_long", bearer(claiming(exp=NOW - 1))),
        vector("of the second of the start", "accepted", bearer(GOOD), since=NOW),
        vector("older than the process", "token_of_earlier_run", bearer(GOOD), since=NOW + 1),
    ]


def bindings() -> list[Vector]:
    return [
        vector("as it was made", "accepted", bearer(GOOD)),
        vector("no body", "accepted", bearer(mint(body=b"", method="DELETE")), method="DELETE", body=""),
        vector("another method", "wrong_method", bearer(GOOD), method="GET"),
        vector("another body", "wrong_body", bearer(GOOD), body=BODY.decode() + " "),
        vector("a body where there was none", "wrong_body", bearer(mint(body=b""))),
        vector("for another instance", "wrong_audience", bearer(mint(audience=GRACKLE))),
        vector(
            "claims of another token",
            "invalid_token",
            bearer(f"{HEADER}.{mint(now=NOW + 1).split('.')[1]}.{SIGNATURE}"),
        ),
    ]


def keys() -> list[Vector]:
    raw = f"{HEADER}.{CLAIMS}"
    unlabelled = KEYS[GRACKLE].instance.sign(raw.encode())
    by_the_feed_key = KEYS[GRACKLE].feed.sign(raw.encode())
    return [
        vector("signed by the callee", "invalid_token", bearer(signed(HEADER, CLAIMS, by=SWAN))),
        vector("signed for a probe", "invalid_token", bearer(signed(HEADER, CLAIMS, purpose="probe"))),
        vector("signed for an answer", "invalid_token", bearer(signed(HEADER, CLAIMS, purpose="answer"))),
        vector("signed without a label", "invalid_token", bearer(f"{raw}.{encoded(unlabelled)}")),
        vector("signed by the feed key", "invalid_token", bearer(f"{raw}.{encoded(by_the_feed_key)}")),
        vector("a signature of zeros", "invalid_token", bearer(f"{raw}.{encoded(bytes(64))}")),
    ]


def files() -> dict[str, list[Vector]]:
    return {
        "headers": headers(),
        "encodings": encodings(),
        "claims": claims(),
        "times": times(),
        "bindings": bindings(),
        "keys": keys(),
    }


def text_of(vectors: list[Vector]) -> str:
    world = {
        "issuer": {"id": GRACKLE, "key": KEYS[GRACKLE].instance.public_key.hex()},
        "audience": {"id": SWAN, "key": KEYS[SWAN].instance.public_key.hex()},
        "now": NOW,
        "since": NOW - 3600,
        "method": "POST",
        "body": BODY.decode(),
    }
    return json.dumps({"world": world, "vectors": vectors}, indent=1) + "\n"


if __name__ == "__main__":
    for name, vectors in files().items():
        (FOLDER / f"{name}.json").write_text(text_of(vectors))
