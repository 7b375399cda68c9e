"""Federation tokens: what is made is accepted once rightly, and nothing else ever is."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from crow_plugins import token
from crow_plugins.token import BadProof, TokenError
from tests.token.make_vectors import FOLDER, encoded, files, text_of
from tests.token.world import BODY, GRACKLE, JTI, KEYS, NOW, SWAN, accept, mint, signer

MUTANTS, SEED = int(os.environ.get("CROW_TOKEN_MUTANTS", "100000")), 20_260
ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ {"\x00'


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def vectors() -> list[Any]:
    return [
        pytest.param(found["world"], each, id=f"{path.stem}: {each['name']}")
        for path in sorted(FOLDER.glob("*.json"))
        for found in [read(path)]
        for each in found["vectors"]
    ]


@pytest.mark.parametrize(("world", "vector"), vectors())
def test_a_vector_ends_as_expected(world: dict[str, Any], vector: dict[str, Any]) -> None:
    request = {name: vector.get(name, world[name]) for name in ("now", "since", "method")}
    body = vector.get("body", world["body"]).encode()
    assert outcome([value.encode() for value in vector["authorization"]], request | {"body": body}) == vector["expect"]


def outcome(authorization: list[bytes], request: dict[str, Any]) -> str:
    try:
        claims = accept(*authorization, **request)
    except TokenError as error:
        return error.code
    return "not_ours" if claims is None else "accepted"


def test_the_vectors_are_those_that_are_made() -> None:
    assert {path.stem: path.read_text() for path in FOLDER.glob("*.json")} == {
        name: text_of(each) for name, each in files().items()
    }


def test_every_error_of_a_token_has_a_vector() -> None:
    expected = {vector["expect"] for found in files().values() for vector in found}
    codes = {kind.code for kind in TokenError.__subclasses__()}
    assert codes - expected == {"token_replayed"}, "a second use is for the file of uses to see"


def test_what_is_made_says_what_was_given() -> None:
    claims = accept(f"Bearer {mint(scopes=['write', 'read'])}".encode())
    assert claims is not None
    assert (claims.issuer, claims.audience, claims.jti) == (GRACKLE, SWAN, JTI)
    assert (claims.issued_at, claims.expires_at) == (NOW, NOW + token.LIFETIME_SECONDS)
    assert claims.scopes == {"read", "write"}


def test_no_token_comes_near_the_limit() -> None:
    longest = mint(scopes=[character * 24 for character in "abcdefgh"], method="A" * 10)
    assert len(longest) < 800 < token.TOKEN_BYTES_MAX


@pytest.mark.parametrize("lifetime", [0, -1, 301])
def test_a_token_without_a_proper_end_is_not_made(lifetime: int) -> None:
    with pytest.raises(token.LifetimeTooLong):
        mint(lifetime=lifetime)


@pytest.mark.parametrize(
    "wrong",
    [{"jti": b"short"}, {"method": "post"}, {"scopes": []}, {"scopes": ["a", "a"]}, {"audience": "swan"}, {"now": -1}],
    ids=str,
)
def test_what_would_not_be_accepted_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(token.BadClaims):
        mint(**wrong)


def test_nothing_in_the_claims_is_parsed_before_the_signature_is_good() -> None:
    header, _, signature = mint().split(".")
    with pytest.raises(token.InvalidToken):
        accept(f"Bearer {header}.{'A' * 100}.{signature}".encode())


@pytest.mark.parametrize("kid", [token.kid_of(b"x")[:-2], token.kid_of(b"x") + "AA", ""])
def test_a_key_is_named_by_sixteen_bytes(kid: str) -> None:
    """Refused before anybody is looked up by it."""
    header = b'{"alg":"Ed25519","kid":"%s","typ":"crow-fed+jwt"}' % kid.encode()
    with pytest.raises(token.InvalidToken):
        token.parts([f"Bearer {encoded(header)}.{'.'.join(mint().split('.')[1:])}".encode()])


def test_a_token_that_names_another_key_than_signed_it_is_refused_by_whoever_holds_that_key() -> None:
    named = mint(instance_key=KEYS[SWAN].instance.public_key)  # and signed by grackle
    unverified = token.parts([f"Bearer {named}".encode()])
    assert unverified is not None
    with pytest.raises(token.InvalidToken):
        unverified.verified(KEYS[GRACKLE].instance.public_key, GRACKLE)


def mutant(chance: random.Random, good: str, other: str) -> str:
    """The token with one to three small things changed."""
    text = good
    for _ in range(chance.randint(1, 3)):
        at, end = sorted((chance.randrange(len(text)), chance.randrange(len(text))))
        match chance.randrange(6):
            case 0:
                text = text[:at] + chance.choice(ALPHABET) + text[at + 1 :]
            case 1:
                text = text[:at] + chance.choice(ALPHABET) + text[at:]
            case 2:
                text = text[:at] + text[at + 1 :]
            case 3:
                text = text[:at] + other[at:end] + text[end:]
            case 4:
                text = text[:at] + text[end:] or "."
            case _:
                text = text[:at] + chr(ord(text[at]) ^ (1 << chance.randrange(7))) + text[at + 1 :]
    return text


def test_no_mutant_is_accepted() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    good, other = mint(), mint(now=NOW + 1, jti=JTI[::-1], body=b"", scopes=["read", "write"])
    accepted = []
    for _ in range(MUTANTS):
        text = mutant(chance, good, other)
        try:
            claims = accept(f"Bearer {text}".encode())
        except TokenError:
            continue
        if claims is not None and text != good:
            accepted.append(text)
    assert accepted == []


def test_an_answer_is_proved_by_who_was_called() -> None:
    made = token.proof(signer(SWAN), jti=JTI, status=200)
    token.check_proof(made, instance_key=KEYS[SWAN].instance.public_key, instance_id=SWAN, jti=JTI, status=200)


@pytest.mark.parametrize(
    "changed",
    [
        {"value": None},
        {"value": ""},
        {"value": "é"},
        {"value": "A" * 86},
        {"jti": JTI[::-1]},
        {"status": 201},
        {"time": NOW},
        {"instance_id": GRACKLE},
        {"instance_key": KEYS[GRACKLE].instance.public_key},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_answer_is_not(changed: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        "value": token.proof(signer(SWAN), jti=JTI, status=200),
        "instance_key": KEYS[SWAN].instance.public_key,
        "instance_id": SWAN,
        "jti": JTI,
        "status": 200,
    }
    given |= changed
    with pytest.raises(BadProof):
        token.check_proof(given.pop("value"), **given)


def test_the_hour_that_an_answer_tells_is_signed_too() -> None:
    made = token.proof(signer(SWAN), jti=JTI, status=401, time=NOW)
    proved: dict[str, Any] = {"instance_key": KEYS[SWAN].instance.public_key, "instance_id": SWAN, "jti": JTI}
    token.check_proof(made, **proved, status=401, time=NOW)
    for other in (None, NOW + 1):
        with pytest.raises(BadProof):
            token.check_proof(made, **proved, status=401, time=other)


def test_a_token_is_no_proof_and_a_proof_no_token() -> None:
    signature = mint().split(".")[2]
    with pytest.raises(BadProof):
        token.check_proof(
            signature, instance_key=KEYS[GRACKLE].instance.public_key, instance_id=GRACKLE, jti=JTI, status=200
        )


def test_the_body_in_the_world_is_the_one_in_the_tokens() -> None:
    assert accept(f"Bearer {mint(body=BODY)}".encode()) is not None
