"""Certificates, challenges and revocations, and who is let in by them."""

from __future__ import annotations

from tests.campaign.mutants import guards, never

IDENTITY_SIGNING = [
    *guards(
        "crow_plugins.identity.signing",
        "tests/identity/test_signing.py::test_a_purpose_of_other_letters_is_refused",
        ("a purpose has a form", never("not PURPOSE.fullmatch(purpose)")),
    ),
    *guards(
        "crow_plugins.identity.signing",
        "tests/identity/test_signing.py::test_a_signer_that_is_neither_id_nor_key_is_refused",
        ("a signer has a form", never("not SIGNER.fullmatch(signer)")),
    ),
    *guards(
        "crow_plugins.identity.signing",
        "tests/identity/test_signing.py::test_and_for_nothing_else",
        (
            "what is signed has a label",
            ('return f"{PREFIX}{purpose}\\0{signer}\\0".encode() + payload', "return payload"),
        ),
        ("what is signed has a purpose", ('f"{PREFIX}{purpose}\\0{signer}\\0"', 'f"{PREFIX}\\0{signer}\\0"')),
        ("what is signed has a signer", ('f"{PREFIX}{purpose}\\0{signer}\\0"', 'f"{PREFIX}{purpose}\\0\\0"')),
        (
            "the signature",
            ("        VerifyKey(public_key).verify(signed, signature)\n", "        VerifyKey(public_key)\n"),
        ),
    ),
    *guards(
        "crow_plugins.identity.signing",
        "tests/identity/test_signing.py::test_a_signature_of_another_length_is_refused",
        ("lengths", never("len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES")),
    ),
]

IDENTITY_KEYS = [
    *guards(
        "crow_plugins.identity.keys",
        "tests/identity/test_certificate.py::test_no_degenerate_key_enters_a_certificate",
        ("a key is of the main group", (" or not crypto_core_ed25519_is_valid_point(key):", ":")),
    ),
    *guards(
        "crow_plugins.identity.keys",
        "tests/identity/test_keys.py::test_a_key_of_another_length_is_refused",
        ("a key has its length", ("len(key) != PUBLIC_KEY_BYTES or ", "")),
    ),
]

IDENTITY_CERTIFICATE = [
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_a_start_is_believed_as_early_as_clocks_may_differ",
        ("it begins", never("now < certificate.not_before - CLOCK_TOLERANCE_SECONDS")),
        ("it begins a little early", ("certificate.not_before - CLOCK_TOLERANCE_SECONDS:", "certificate.not_before:")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_an_end_is_exact",
        ("it ends", never("certificate.expires is not None and now >= certificate.expires")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_a_name_that_a_terminal_would_show_otherwise_is_refused",
        ("a name is not invisible", (" or invisible or ", " or ")),
        ("a name has no space around it", (" or name != name.strip():", ":")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_a_field_of_another_kind_is_refused",
        ("a name has a length", ("not 1 <= len(name) <= NAME_MAX or ", "")),
        ("it is of this version", never('_number(fields, "v") > VERSION')),
        ("a name is checked", ("    check_name(value)\n", "")),
        (
            "a role is one of two",
            (
                '    raise CertificateMalformed(f"role is not',
                '    return fields["role"]\n    raise CertificateMalformed(f"role is not',
            ),
        ),
        ("a number is above zero", ("type(value) is not int or value < 1", "type(value) is not int")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_an_end_before_the_start_is_refused",
        (
            "it does not end before it starts",
            never("certificate.expires is not None and certificate.expires <= certificate.not_before"),
        ),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_another_spelling_of_it_is_refused",
        ("its JSON is canonical", ("canonical_json.parse_canonical(body)", "canonical_json.parse(body)")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_a_body_that_is_not_canonical_is_refused",
        ("its body is an object", never("not isinstance(fields, dict)")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_no_byte_of_it_can_be_missing_or_doubled",
        ("it has its fields only", never('fields.keys() | {"expires"} != _FIELDS')),
        ("a number is one", ("type(value) is not int or value < 1", "value < 1")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_an_instance_id_has_one_spelling",
        (
            "an id has one spelling",
            (
                "isinstance(value, str) and str(uuid.UUID(value)) == value",
                "isinstance(value, str) and uuid.UUID(value)",
            ),
        ),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_another_feed_key_than_the_certified_one_is_refused",
        ("another feed key is refused", never("commitment(feed_key) != certified.feed_commitment")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_no_degenerate_key_enters_a_certificate",
        ("a feed key is a key", ('    check_public_key(feed_key, "feed key")\n', "")),
        ("a key is one", ('    check_public_key(key, name.replace("_", " "))\n', "")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_a_certificate_of_another_identity_is_foreign",
        ("it is of our chain", ("    if certificate.chain != chain_public_key:\n", "    if False:\n")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_a_machine_cannot_certify_itself",
        (
            "it is signed by the chain",
            (
                "        signing.verify(chain_public_key, PURPOSE, chain_public_key.hex(), body, bytes.fromhex(signature.decode()))\n",
                "        pass\n",
            ),
        ),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_what_could_not_be_read_is_not_issued",
        ("what is signed can be read", ("    read(signed, chain.public_key)  # what was signed can be read\n", "")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_one_key_cannot_stand_for_two",
        ("its keys are four", never("len({certificate.feed_commitment, *map(commitment, three)}) != 4")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_an_object_or_text_that_is_not_one_is_refused",
        ("it has its form", never("found is None")),
    ),
    *guards(
        "crow_plugins.identity.certificate",
        "tests/identity/test_certificate.py::test_a_key_has_one_spelling",
        (
            "a key has one spelling",
            ("not isinstance(value, str) or not _HEX_32_BYTES.fullmatch(value)", "not isinstance(value, str)"),
        ),
    ),
]

IDENTITY_CHALLENGE = [
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_of_too_many_exchanges_the_oldest_gives_way",
        ("exchanges are bounded", never("len(self._open) > self._count_max")),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_an_exchange_is_good_for_one_proof",
        ("an exchange is good for one proof", ("exchange = self._open.pop(_echo(", "exchange = self._open.get(_echo(")),
        ("a proof belongs to an exchange", never("exchange is None")),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_nobody_registers_itself",
        ("nobody calls itself", never("caller == own_id")),
        ("an answer is somebody else's", never("callee.instance_id == sent.instance_id")),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_an_answer_to_another_challenge_is_refused",
        ("an answer is to our challenge", never("_echo(fields) != sent.challenge")),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_a_proof_of_an_earlier_exchange_is_refused",
        (
            "a proof is of this exchange",
            never('_echo(fields) != (exchange.challenge if side == "caller" else exchange.hello.challenge)'),
        ),
        (
            "a signature names the callee's challenge",
            ('            "callee_challenge": exchange.challenge.hex(),\n', ""),
        ),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_an_expired_certificate_is_refused",
        (
            "a proof shows a certificate",
            (
                'own = certificate.verify(_READ.fields(shown["certificate"]), chain_public_key, now)',
                'own = certificate.read(_READ.fields(shown["certificate"]), chain_public_key)',
            ),
        ),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_a_member_cannot_prove_for_another_member",
        ("a proof is by who it says", never("own.instance_id != _id_of(exchange, side)")),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_another_machines_certificate_proves_nothing_without_its_key",
        (
            "a proof is signed",
            ("    _check(own.instance_key, own.instance_id, _proof_payload(exchange, side, shown), signature)\n", ""),
        ),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_the_messages_are_those_of_the_vectors",
        ("a signature is for one step", ('            "step": step,\n', "")),
        ("a signature names the callee", ('            "callee": exchange.callee.instance_id,\n', "")),
        ("what is said is signed", ("            **said,\n        }\n    )", "        }\n    )")),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_an_answer_for_another_caller_is_forged",
        ("a signature names the caller", ('            "caller": exchange.hello.instance_id,\n', "")),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_an_old_answer_with_the_new_challenge_written_in_is_forged",
        (
            "a signature names the caller's challenge",
            ('            "caller_challenge": exchange.hello.challenge.hex(),\n', ""),
        ),
        (
            "a signature is checked",
            (
                '        signing.verify(key, PURPOSE, signer, payload, _READ.hex(signature, SIGNATURE_BYTES, "signature"))\n',
                "        pass\n",
            ),
        ),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_a_box_of_another_shape_is_refused",
        ("a box has its fields only", never('shown.keys() != {"certificate", "gateway_url", "signature"}')),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_an_address_of_other_letters_is_refused",
        ("an address has a form", ('_READ.url(shown["gateway_url"])', 'shown["gateway_url"]')),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_an_answer_by_an_expired_certificate_is_refused",
        (
            "an answer is of now",
            (
                "callee = certificate.verify_public(shown, chain_public_key, now)",
                "callee = certificate.read_public(shown, chain_public_key)",
            ),
        ),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_a_certificate_is_shown_by_anybody_and_proved_by_its_key",
        (
            "an answer is signed",
            ('    _check(callee.instance_key, callee.instance_id, payload, fields["signature"])\n', ""),
        ),
    ),
    *guards(
        "crow_plugins.identity.challenge",
        "tests/identity/test_challenge.py::test_a_callee_that_has_other_keys_in_its_second_message_is_refused",
        ("a callee is who it said", ("        check_same(exchange.callee, own)\n", "        pass\n")),
        ("one machine has one set of keys", never("_keys_of(shown) != _keys_of(known)")),
    ),
]

IDENTITY_READING = [
    *guards(
        "crow_plugins.identity.reading",
        "tests/identity/test_challenge.py::test_a_field_that_is_missing_unknown_or_of_another_kind_is_refused",
        ("a message has a version", never("type(version) is not int or version < self.version")),
        ("a message is of this version", never("version > self.version")),
        ("a message has its fields only", never("fields.keys() != names")),
        ("hex has its length", ('digits = "*" if size is None else f"{{{size}}}"', 'digits = "*"')),
        ("hex has one spelling", ('f"([0-9a-f]{{2}}){digits}"', 'f"([0-9a-fA-F]{{2}}){digits}"')),
    ),
    *guards(
        "crow_plugins.identity.reading",
        "tests/identity/test_challenge.py::test_a_message_has_one_spelling",
        (
            "its JSON is canonical",
            ("canonical_json.parse_canonical(data, size_max)", "canonical_json.parse(data, size_max)"),
        ),
    ),
    *guards(
        "crow_plugins.identity.reading",
        "tests/identity/test_challenge.py::test_a_message_that_is_too_long_is_not_looked_at",
        (
            "a message is bounded",
            ("canonical_json.parse_canonical(data, size_max)", "canonical_json.parse_canonical(data)"),
        ),
    ),
    *guards(
        "crow_plugins.identity.reading",
        "tests/identity/test_challenge.py::test_an_instance_id_has_one_spelling",
        (
            "an id has one spelling",
            (
                "isinstance(value, str) and str(uuid.UUID(value)) == value",
                "isinstance(value, str) and uuid.UUID(value)",
            ),
        ),
    ),
    *guards(
        "crow_plugins.identity.reading",
        "tests/identity/test_challenge.py::test_an_address_of_other_letters_is_refused",
        (
            "an address has a form",
            (
                "value is None or (isinstance(value, str) and _URL.fullmatch(value))",
                "value is None or isinstance(value, str)",
            ),
        ),
    ),
]

IDENTITY_CANONICAL_JSON = [
    *guards(
        "crow_plugins.identity.canonical_json",
        "tests/identity/test_canonical_json.py::test_size_is_bounded_before_anything_is_read",
        ("it is bounded", never("len(data) > size_max")),
    ),
    *guards(
        "crow_plugins.identity.canonical_json",
        "tests/identity/test_canonical_json.py::test_another_spelling_of_a_value_is_read_but_is_not_canonical",
        ("it has one spelling", never("encode(value) != data")),
    ),
    *guards(
        "crow_plugins.identity.canonical_json",
        "tests/identity/test_canonical_json.py::test_nesting_is_bounded_exactly",
        ("it has a depth", never("depth == 0")),
    ),
    *guards(
        "crow_plugins.identity.canonical_json",
        "tests/identity/test_canonical_json.py::test_half_a_surrogate_pair_is_refused",
        ("what is parsed is checked", ("    _check(value, DEPTH_MAX)\n    return value", "    return value")),
        ("keys are Unicode", ("        _check_text(key)\n", "")),
        ("texts are Unicode", ("            _check_text(value)\n", "            pass\n")),
    ),
    *guards(
        "crow_plugins.identity.canonical_json",
        "tests/identity/test_canonical_json.py::test_a_key_that_is_no_string_is_refused",
        ("what is written is checked", ("    _check(value, DEPTH_MAX)\n    return json", "    return json")),
        ("keys are strings", never("not isinstance(key, str)")),
    ),
    *guards(
        "crow_plugins.identity.canonical_json",
        "tests/identity/test_canonical_json.py::test_what_readers_understand_differently_is_refused",
        ("integers are so long", never("abs(value) > INTEGER_MAX")),
        ("long numbers are not read", never('len(digits) > len(f"-{INTEGER_MAX}")')),
        ("no key stands twice", never("len(found) != len(pairs)")),
    ),
]

IDENTITY_REVOCATION = [
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_epochs_and_size_are_bounded_and_the_longest_statement_fits",
        ("it is bounded", never("len(signed) > SIZE_MAX")),
        (
            "epochs are bounded",
            ("not isinstance(value, dict) or len(value) > EPOCHS_MAX", "not isinstance(value, dict)"),
        ),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_a_statement_of_another_identity_is_foreign",
        ("it is of our chain", never("revocation.chain != chain_public_key")),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_only_our_chain_key_revokes",
        (
            "it is signed by the chain",
            (
                "        signing.verify(chain_public_key, PURPOSE, chain_public_key.hex(), _encoded(body), signature)\n",
                "        pass\n",
            ),
        ),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_another_spelling_of_it_is_refused",
        (
            "its JSON is canonical",
            ("canonical_json.parse_canonical(signed, SIZE_MAX)", "canonical_json.parse(signed, SIZE_MAX)"),
        ),
        (
            "it has its frame only",
            (
                'case {"revocation": dict(body), "signature": signature, **more} if not more:',
                'case {"revocation": dict(body), "signature": signature, **more}:',
            ),
        ),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_of_one_instance_the_first_are_kept_and_of_others_none_is_lost",
        (
            "statements are few",
            ("sorted(statements, key=_rank)[:STATEMENTS_PER_INSTANCE_MAX]", "sorted(statements, key=_rank)"),
        ),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_sets_merge_alike_in_whatever_order_they_are_heard",
        (
            "the first are kept",
            (
                "sorted(statements, key=_rank)[:STATEMENTS_PER_INSTANCE_MAX]",
                "list(statements)[:STATEMENTS_PER_INSTANCE_MAX]",
            ),
        ),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_the_shortest_branch_counts_then_the_lower_hash",
        ("the shortest branch counts", ("min(known, statement, key=_rank)", "max(known, statement, key=_rank)")),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_what_counts_does_not_depend_on_order_nor_on_merging",
        (
            "ties are decided alike",
            ("return branch.length, branch.tree_hash, statement.signed", 'return branch.length, b"", b""'),
        ),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_an_entry_counts_in_the_branch_or_rescued_in_time",
        ("what lies in the branch counts", never("held.seq is not None and held.seq < revocation.feed.length")),
        (
            "what lies past it does not",
            ("held.seq is not None and held.seq < revocation.feed.length", "held.seq is not None"),
        ),
        (
            "what was rescued in time counts",
            ("within = held.lamport <= revocation.upto.get(held.epoch, 0)", "within = False"),
        ),
        (
            "what was rescued later does not",
            ("within = held.lamport <= revocation.upto.get(held.epoch, 0)", "within = True"),
        ),
        (
            "a rescuer is trusted",
            ("rescuer != revocation.instance_id and rescuer not in revoked", "rescuer != revocation.instance_id"),
        ),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_a_revoked_machine_rescues_nothing_of_its_own_whoever_else_is_revoked",
        (
            "a rescuer is another",
            ("rescuer != revocation.instance_id and rescuer not in revoked", "rescuer not in revoked"),
        ),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_a_newer_statement_asks_for_a_newer_release",
        ("it is of this version", never('_number(fields.get("v"), 1, "v") > VERSION')),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_a_field_that_no_statement_has_is_refused",
        (
            "it has its fields only",
            (
                '            "issued_at": issued_at,\n            **more,\n        } if not more:',
                '            "issued_at": issued_at,\n            **more,\n        }:',
            ),
        ),
        (
            "its branch has its fields only",
            ('"tree_hash": tree_hash, **more} if not more:', '"tree_hash": tree_hash, **more}:'),
        ),
        ("an epoch has a form", never("not all(_EPOCH.fullmatch(epoch) for epoch in value)")),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_no_chain_has_a_degenerate_key",
        ("its chain is a key", ('    check_public_key(key, "chain")\n', "")),
    ),
    *guards(
        "crow_plugins.identity.revocation",
        "tests/identity/test_revocation.py::test_a_field_that_is_missing_or_of_another_kind_is_refused",
        ("a number is one", ("type(value) is not int or value < least", "value < least")),
        ("a number is not too small", ("type(value) is not int or value < least", "type(value) is not int")),
    ),
]

REPLICATOR_TRUST = [
    *guards(
        "crow_plugins.replicator.trust",
        "tests/replicator/test_revoking.py::test_what_was_rescued_counts_up_to_the_lamport_that_the_revocation_names",
        (
            "what is rescued late does not count",
            ("found.rescued_by is None or self.counts_rescued(found.entry, found.rescued_by)", "True"),
        ),
    ),
    *guards(
        "crow_plugins.replicator.trust",
        "tests/replicator/test_hostile_entries.py::test_no_hostile_entry_changes_anything_but_the_feed_that_it_stands_in",
        ("the known are known", ("return instance_id in self.known", "return True")),
    ),
    *guards(
        "crow_plugins.replicator.trust",
        "tests/replicator/test_revoking.py::test_rows_are_made_anew_from_what_still_counts",
        (
            "what lies past the cut-off does not count",
            never("end is not None and (other_branch or seq >= end.feed.length)"),
        ),
    ),
    *guards(
        "crow_plugins.replicator.trust",
        "tests/replicator/test_revoking.py::test_two_machines_that_were_shown_two_branches_end_with_the_one_that_the_revocation_names",
        ("another branch does not count", ("(other_branch or seq >= end.feed.length)", "seq >= end.feed.length")),
    ),
]

REPLICATOR_MEMBERSHIP = [
    *guards(
        "crow_plugins.replicator.membership",
        "tests/replicator/test_membership.py::test_a_certificate_of_another_chain_or_past_its_end_is_none",
        (
            "a peer's certificate is of our chain",
            (
                "theirs = certificate.verify(shown, chain, now)",
                "theirs = certificate._certificate(certificate._parted(shown)[0])",
            ),
        ),
    ),
    *guards(
        "crow_plugins.replicator.membership",
        "tests/replicator/test_membership.py::test_a_signature_that_is_not_of_this_side_of_this_connection_is_none",
        (
            "a peer signs the handshake",
            (
                "        signing.verify(theirs.instance_key, PURPOSE, theirs.instance_id, _bound(session, not initiator), signature)\n",
                "",
            ),
        ),
        (
            "both sides differ",
            ('return session.handshake_hash + (b"\\x01" if initiator else b"\\x00")', "return session.handshake_hash"),
        ),
        (
            "a handshake is this one",
            (
                'return session.handshake_hash + (b"\\x01" if initiator else b"\\x00")',
                'return b"\\x01" if initiator else b"\\x00"',
            ),
        ),
    ),
    *guards(
        "crow_plugins.replicator.membership",
        "tests/replicator/test_membership.py::test_a_certificate_for_another_connections_key_is_none",
        ("a peer has the certificate's key", never("theirs.noise_key != session.remote_public_key")),
    ),
    *guards(
        "crow_plugins.replicator.membership",
        "tests/replicator/test_membership.py::test_who_is_revoked_is_told_so",
        ("a peer is not revoked", never("theirs.instance_id in revoked")),
    ),
    *guards(
        "crow_plugins.replicator.membership",
        "tests/replicator/test_membership.py::test_an_introduction_of_another_shape_is_refused",
        (
            "lists are bounded",
            ("not isinstance(value, list) or len(value) > INTRODUCTION_LISTED_MAX", "not isinstance(value, list)"),
        ),
        ("what is signed is text", never("not isinstance(value, str)")),
    ),
]

REPLICATOR_REJECTIONS = [
    *guards(
        "crow_plugins.replicator.rejections",
        "tests/replicator/test_limits.py::test_a_peer_is_shut_out_by_the_fifth_false_entry_within_ten_minutes_and_not_by_the_fourth",
        ("five false entries shut out", never("recent >= QUARANTINE_AFTER")),
        ("within ten minutes", ("rejection.at - QUARANTINE_SECONDS", "0")),
    ),
]

MUTANTS = [
    *IDENTITY_SIGNING,
    *IDENTITY_KEYS,
    *IDENTITY_CERTIFICATE,
    *IDENTITY_CHALLENGE,
    *IDENTITY_READING,
    *IDENTITY_CANONICAL_JSON,
    *IDENTITY_REVOCATION,
    *REPLICATOR_TRUST,
    *REPLICATOR_MEMBERSHIP,
    *REPLICATOR_REJECTIONS,
]
