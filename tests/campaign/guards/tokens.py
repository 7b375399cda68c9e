"""The federation token, in the order in which it is verified."""

from __future__ import annotations

from tests.campaign.mutants import guards, never

TOKEN = [
    *guards(
        "crow_plugins.token",
        "tests/token/test_token.py::test_a_vector_ends_as_expected",
        ("one header alone", never("len(authorization) != 1")),
        ("a bearer token", ('scheme.lower() != b"bearer" or ', "")),
        ("a header that is too long is nobody's", (" or len(header) > TOKEN_BYTES_MAX:", ":")),
        ("a token is bounded", ("len(token) > TOKEN_BYTES_MAX or len(pieces) != 3", "len(pieces) != 3")),
        (
            "a token has three parts",
            (
                "if len(token) > TOKEN_BYTES_MAX or len(pieces) != 3:\n        raise InvalidToken\n    header, claims, signature = (",
                "if len(token) > TOKEN_BYTES_MAX:\n        raise InvalidToken\n    header, claims, signature, *_ = (",
            ),
        ),
        ("the header is the one header", ("header != _header(kid) or ", "")),
        ("base64url has one spelling", never("_encoded(data).encode() != text")),
        (
            "the signature is good",
            (
                "            signing.verify(instance_key, PURPOSE, instance_id, self.signed, self.signature)\n",
                "            pass\n",
            ),
        ),
        ("the issuer is whose key it is", never("claims.issuer != instance_id")),
        ("the audience is who was called", never("self.audience != instance_id")),
        (
            "a token lasts not too long",
            ("0 < self.expires_at - self.issued_at <= LIFETIME_SECONDS_MAX", "0 < self.expires_at - self.issued_at"),
        ),
        (
            "a token lasts at all",
            (
                "0 < self.expires_at - self.issued_at <= LIFETIME_SECONDS_MAX",
                "self.expires_at - self.issued_at <= LIFETIME_SECONDS_MAX",
            ),
        ),
        ("a token ends", never("now >= self.expires_at + LEEWAY_SECONDS")),
        ("a token begins", never("now < self.issued_at - LEEWAY_SECONDS")),
        ("a token is of this run", never("self.issued_at < since")),
        ("a token is for its method", never("self.method != method")),
        ("a token is for its body", never("not sodium_memcmp(self.body_hash, hashlib.sha256(body).digest())")),
        (
            "claims have one spelling",
            (
                "canonical_json.parse_canonical(claims, TOKEN_BYTES_MAX)",
                "canonical_json.parse(claims, TOKEN_BYTES_MAX)",
            ),
        ),
        (
            "claims are exactly those",
            (
                "not isinstance(value, dict) or value.keys() != CLAIM_NAMES",
                "not isinstance(value, dict) or not value.keys() >= CLAIM_NAMES",
            ),
        ),
        (
            "claims are an object",
            ("not isinstance(value, dict) or value.keys() != CLAIM_NAMES", "value.keys() != CLAIM_NAMES"),
        ),
        (
            "a text claim has a form",
            ("not isinstance(found, str) or not form.fullmatch(found)", "not isinstance(found, str)"),
        ),
        ("a time is a whole number", ("type(found) is not int or found < 0", "found < 0")),
        ("a time is not before 1970", ("type(found) is not int or found < 0", "type(found) is not int")),
        ("bytes have their length", never("len(decoded) != length")),
        ("bytes are text", ('_decoded(found.encode()) if isinstance(found, str) else b""', "_decoded(found.encode())")),
        (
            "scopes are a list",
            ("not isinstance(found, list) or not 0 < len(found) <= SCOPES_MAX", "not 0 < len(found) <= SCOPES_MAX"),
        ),
        ("scopes are few", ("not 0 < len(found) <= SCOPES_MAX", "not 0 < len(found)")),
        ("there is a scope", ("not 0 < len(found) <= SCOPES_MAX", "not len(found) <= SCOPES_MAX")),
        ("a scope has a form", (" and SCOPE.fullmatch(scope)]", "]")),
        ("every scope counts", ("len(scopes) != len(found) or ", "")),
        ("scopes have an order", (" or scopes != sorted(set(scopes)):", ":")),
    ),
    *guards(
        "crow_plugins.token",
        "tests/token/test_token.py::test_a_key_is_named_by_sixteen_bytes",
        ("the key's name has its length", (" or len(_decoded(kid.encode())) != KID_BYTES:", ":")),
    ),
    *guards(
        "crow_plugins.token",
        "tests/token/test_token.py::test_a_token_that_names_another_key_than_signed_it_is_refused_by_whoever_holds_that_key",
        ("the key is the one that is named", never("self.kid != kid_of(instance_key)")),
    ),
    *guards(
        "crow_plugins.token",
        "tests/token/test_token.py::test_nothing_in_the_claims_is_parsed_before_the_signature_is_good",
        (
            "the signature is before the claims",
            (
                "        try:\n            signing.verify(instance_key, PURPOSE, instance_id, self.signed, self.signature)",
                "        try:\n            _parsed(self.claims)\n            signing.verify(instance_key, PURPOSE, instance_id, self.signed, self.signature)",
            ),
        ),
    ),
    *guards(
        "crow_plugins.token",
        "tests/token/test_token.py::test_a_token_without_a_proper_end_is_not_made",
        ("a token that is made ends in time", ("    if not 0 < lifetime <= LIFETIME_SECONDS_MAX:", "    if False:")),
    ),
    *guards(
        "crow_plugins.token",
        "tests/token/test_token.py::test_what_would_not_be_accepted_is_not_made",
        ("what is made is what is read", ("    _claims(value)\n    signed = ", "    signed = ")),
    ),
    *guards(
        "crow_plugins.token",
        "tests/token/test_token.py::test_another_answer_is_not",
        (
            "an answer is signed",
            (
                "        signing.verify(instance_key, PROOF_PURPOSE, instance_id, _answer(jti, status, time), signature)\n",
                "        pass\n",
            ),
        ),
        ("an answer is for one call", ('return jti + (f"{status}" if', 'return b"" + (f"{status}" if')),
        (
            "an answer has its status",
            ('(f"{status}" if time is None else f"{status} {time}")', '("" if time is None else f"{time}")'),
        ),
        ("an answer's hour is signed", ('(f"{status}" if time is None else f"{status} {time}")', 'f"{status}"')),
    ),
]

MUTANTS = [*TOKEN]
