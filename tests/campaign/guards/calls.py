"""Calls of other instances, and addresses that are called."""

from __future__ import annotations

from tests.campaign.mutants import guards, never

FEDERATION_INBOUND = [
    *guards(
        "crow_plugins.federation.inbound",
        "tests/federation/test_inbound.py::test_a_flood_of_refusals_is_neither_recorded_nor_in_the_way_of_calls",
        ("a stranger is answered so often", ('            self._strangers.take("", self.crow.now())\n', "")),
        ("a peer is refused so often", ("            self._refusals.take(peer.id, now)\n", "")),
    ),
    *guards(
        "crow_plugins.federation.inbound",
        "tests/federation/test_inbound.py::test_a_token_for_something_else_is_told_why",
        ("a token is checked", ("            self._check_token(peer.claims, http_method, body, now)\n", "")),
        ("audience", ("        claims.check_audience(self.crow.instance.id)\n", "")),
        ("times", ("        claims.check_times(now, since=self._since)\n", "")),
        ("method and body", ("        claims.check_request(http_method, body)\n", "")),
    ),
    *guards(
        "crow_plugins.federation.inbound",
        "tests/federation/test_inbound.py::test_a_token_works_once",
        (
            "a token is used up",
            ("            await self._uses.use(peer.claims.jti, peer.claims.expires_at, now)\n", ""),
        ),
    ),
    *guards(
        "crow_plugins.federation.inbound",
        "tests/federation/test_inbound.py::test_too_many_calls_are_told_to_wait",
        ("a peer calls so often", ("        self._peers.take(peer.id, now)\n", "")),
    ),
    *guards(
        "crow_plugins.federation.inbound",
        "tests/federation/test_inbound.py::test_every_other_method_is_closed",
        ("other methods are closed", never('http_method == "POST" and message.method not in METHODS')),
    ),
    *guards(
        "crow_plugins.federation.inbound",
        "tests/federation/test_inbound.py::test_plugins_are_asked_and_their_denial_counts",
        (
            "plugins are asked",
            (
                '            await self._ask_plugins(\n                FederatedCall("inbound", peer.known.instance, message.tool, message.arguments or {})\n            )\n',
                "",
            ),
        ),
        ("a plugin that raises denies", ('            raise CallDenied("") from error', "            return")),
        ("a plugin's denial counts", never("not isinstance(decision, Decision) or not decision.allowed")),
    ),
    *guards(
        "crow_plugins.federation.inbound",
        "tests/federation/test_inbound.py::test_who_is_not_trusted_learns_nothing",
        (
            "the caller is known",
            (
                "        raise token.InvalidToken\n\n    def _check_trust",
                "        return next(iter(self._registry.others()))\n\n    def _check_trust",
            ),
        ),
        ("the caller is trusted", ("                self._check_trust(known)\n", "")),
        (
            "the caller is not revoked",
            ("known.revoked or instance_id == self.crow.instance.id", "instance_id == self.crow.instance.id"),
        ),
        ("the caller is somebody else", ("known.revoked or instance_id == self.crow.instance.id", "known.revoked")),
        (
            "the caller's certificate is good",
            (
                "        except IdentityError as error:\n            raise token.InvalidToken from error",
                "        except IdentityError:\n            return",
            ),
        ),
        (
            "the certificate is of that key",
            never("(certified.instance_id, certified.instance_key) != (instance_id, known.instance_key)"),
        ),
    ),
    *guards(
        "crow_plugins.federation.inbound",
        "tests/federation/test_inbound_parts.py::test_a_call_may_do_what_is_exposed_and_what_its_token_is_for",
        (
            "a tool that is not there is refused",
            ("if reads is None or not exposed.allows(tool)", "if not exposed.allows(tool)"),
        ),
        ("a tool is exposed", (" or not exposed.allows(tool) or ", " or ")),
        ("a tool that writes is exposed for it", (" or (not reads and not exposed.allows_writing(tool)):", ":")),
        ("a token has the scope", never("needed not in claims.scopes")),
        ("a call that reads may not write", ("    return not reads\n", "    return True\n")),
    ),
    *guards(
        "crow_plugins.federation.inbound",
        "tests/federation/test_inbound.py::test_a_call_is_contact",
        (
            "a call is contact",
            ('            await asyncio.to_thread(self._registry.seen, instance_id, "online")\n', "            pass\n"),
        ),
    ),
]

FEDERATION_REPLAY = [
    *guards(
        "crow_plugins.federation.replay",
        "tests/federation/test_inbound_parts.py::test_the_second_use_is_refused_in_every_process_and_after_a_close",
        (
            "a second use is one",
            (
                "        except apsw.ConstraintError as error:\n            raise TokenReplayed from error",
                "        except apsw.ConstraintError:\n            return",
            ),
        ),
    ),
    *guards(
        "crow_plugins.federation.replay",
        "tests/federation/test_inbound_parts.py::test_a_file_that_cannot_be_used_lets_nobody_in",
        (
            "without the file nobody gets in",
            ("            raise UsesUnavailable(self._path, error) from error", "            return"),
        ),
    ),
    *guards(
        "crow_plugins.federation.replay",
        "tests/federation/test_inbound_parts.py::test_uses_are_forgotten_only_when_no_clock_could_take_the_token_any_more",
        ("uses are not forgotten too soon", ("expires_at + LEEWAY_SECONDS + FORGET_AFTER_SECONDS", "expires_at")),
    ),
]

FEDERATION_EXPOSURE = [
    *guards(
        "crow_plugins.federation.exposure",
        "tests/federation/test_inbound.py::test_calls_that_would_call_on_are_refused_whatever_is_exposed",
        ("a call goes one step", ("        if tool in NEVER:\n            return False\n", "")),
    ),
    *guards(
        "crow_plugins.federation.exposure",
        "tests/federation/test_exposure.py::test_by_default_it_is_exactly_the_setting",
        (
            "nothing is exposed but by name",
            ("tool in self.setting if word is None else word.allowed", "True if word is None else word.allowed"),
        ),
    ),
    *guards(
        "crow_plugins.federation.exposure",
        "tests/federation/test_exposure.py::test_the_nearest_word_counts",
        (
            "a denial counts",
            (
                "tool in self.setting if word is None else word.allowed",
                "tool in self.setting if word is None else True",
            ),
        ),
        (
            "the nearest word counts",
            (
                "for who in (self.instance_id, EVERYBODY) for what in (tool, EVERYTHING)",
                "for who in (EVERYBODY, self.instance_id) for what in (EVERYTHING, tool)",
            ),
        ),
    ),
    *guards(
        "crow_plugins.federation.exposure",
        "tests/federation/test_inbound_parts.py::test_a_call_may_do_what_is_exposed_and_what_its_token_is_for",
        (
            "writing needs its own word",
            ("word.allowed and word.writes and tool not in NEVER", "word.allowed and tool not in NEVER"),
        ),
    ),
]

FEDERATION_MEETING = [
    *guards(
        "crow_plugins.federation.meeting",
        "tests/federation/test_meeting.py::test_another_instance_of_the_chain_at_the_address_hears_nothing",
        (
            "who answers is the one that is meant",
            never("(shown.instance_id, shown.instance_key) != (known.instance.id, known.instance_key)"),
        ),
    ),
    *guards(
        "crow_plugins.federation.meeting",
        "tests/federation/test_meeting.py::test_with_another_key_than_is_known_it_is_not_the_one",
        (
            "who answers has the key that is known",
            (
                "(shown.instance_id, shown.instance_key) != (known.instance.id, known.instance_key)",
                "shown.instance_id != known.instance.id",
            ),
        ),
    ),
    *guards(
        "crow_plugins.outbound.opening",
        "tests/outbound/test_opening.py::test_without_a_good_answer_nothing_else_is_sent",
        ("an answer has the status of one", never("response.status != OK")),
        ("the connection can be used on", never("not self._connection.is_idle()")),
    ),
    *guards(
        "crow_plugins.federation.remembered",
        "tests/federation/test_remembered.py::test_a_word_counts_for_the_next_call",
        ("a word counts at once", ("version is None or version != self._version", "self._version is None")),
    ),
]

FEDERATION_ANSWERS = [
    *guards(
        "crow_plugins.federation.signed",
        "tests/federation/test_proofs.py::test_without_its_own_proof_no_answer_is_believed",
        ("an answer is believed with its proof", ("            self._check(response, jti)\n", "            pass\n")),
    ),
    *guards(
        "crow_plugins.federation.signed",
        "tests/federation/test_exchange.py::test_what_is_no_answer_fails_by_a_sentence_of_ours_and_the_next_call_works",
        ("an answer is bounded", never("count > ANSWER_BYTES_MAX")),
        ("nobody goes elsewhere", never("response.status_code >= REDIRECTED_FROM")),
    ),
    *guards(
        "crow_plugins.federation.exchange",
        "tests/federation/test_exchange.py::test_what_is_no_answer_fails_by_a_sentence_of_ours_and_the_next_call_works",
        ("an answer is of its question", (" or self._last.id != self._number", "")),
    ),
    *guards(
        "crow_plugins.federation.exchange",
        "tests/federation/test_exchange.py::test_events_tell_progress_of_this_call_and_then_the_answer",
        ("progress is of this call", ("found.progress_token == self._number", "True")),
    ),
]

FEDERATION_VERIFYING = [
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_a_token_works_once",
        ("the door is in the way", ("        if peer is None:\n", "        if True:\n")),
    ),
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_who_is_not_trusted_learns_nothing",
        (
            "who is not identified is refused",
            (
                "            await _refusal(error)(scope, receive, send)\n            return\n        if peer",
                "            await self._app(scope, receive, send)\n            return\n        if peer",
            ),
        ),
        (
            "a stranger's refusal is recorded",
            ('                _record(self._inbound.audit, "", "", None, error.code, 0.0)\n', "                pass\n"),
        ),
    ),
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_a_peers_token_opens_the_mcp_endpoint_alone",
        ("a peer's token opens one path", never('path != scope["app"].state.path')),
    ),
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_a_peer_gets_no_stream",
        ("a peer gets no stream", never('scope["method"] not in ("POST", "DELETE")')),
    ),
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_a_body_past_the_limit_is_refused",
        ("a body is bounded", never("size > BODY_BYTES_MAX")),
    ),
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_a_token_for_something_else_is_told_why",
        (
            "a refusal is recorded",
            (
                "                _record(self._inbound.audit, peer.id, subject, arguments, error.code, time.perf_counter() - begun)\n",
                "                pass\n",
            ),
        ),
        (
            "what a token does not vouch for is not recorded",
            ("isinstance(error, token.TokenError) or not body", "not body"),
        ),
    ),
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_the_answer_is_signed_by_the_callee",
        ("an answer is proved", ("(PROOF_HEADER, signed.encode()), ", "")),
    ),
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_a_clock_that_is_ten_minutes_off_is_told_the_hour_and_then_right",
        ("the hour is told", ("                send.time = self._inbound.crow.now()\n", "                pass\n")),
    ),
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_a_peer_lists_and_calls_what_is_exposed",
        (
            "a call that ran is recorded",
            ("            self._record_end(peer, admitted, time.perf_counter() - begun)\n", "            pass\n"),
        ),
    ),
    *guards(
        "crow_plugins.federation.verifying",
        "tests/federation/test_inbound.py::test_a_flood_of_refusals_is_neither_recorded_nor_in_the_way_of_calls",
        (
            "a flood is not recorded",
            (
                "            if not isinstance(error, UNRECORDED):\n                _record",
                "            if True:\n                _record",
            ),
        ),
    ),
]

FEDERATION_MESSAGE = [
    *guards(
        "crow_plugins.federation.message",
        "tests/federation/test_inbound_parts.py::test_what_is_not_one_message_is_refused",
        ("no key stands twice", never("len(found) != len(pairs)")),
        (
            "NaN is no number",
            (
                "def _refuse(text: str) -> NoReturn:\n    raise BadMessage",
                "def _refuse(text: str) -> NoReturn:\n    return 0",
            ),
        ),
        (
            "one message is an object",
            ('not isinstance(value, dict) or not isinstance(value.get("method"), str)', "not isinstance(value, dict)"),
        ),
        (
            "parameters are an object",
            (
                'not isinstance(parameters, dict) or not isinstance(parameters.get("name"), str)',
                'not isinstance(parameters.get("name"), str)',
            ),
        ),
        (
            "a tool has a name",
            (
                'not isinstance(parameters, dict) or not isinstance(parameters.get("name"), str)',
                "not isinstance(parameters, dict)",
            ),
        ),
        ("arguments are an object", never("arguments is not None and not isinstance(arguments, Mapping)")),
    ),
]

OUTBOUND_URLS = [
    *guards(
        "crow_plugins.outbound.urls",
        "tests/outbound/test_urls.py::test_a_url_is_as_long_as_its_longest_name_and_no_longer",
        ("a URL is bounded", never("len(text) > URL_CHARACTERS_MAX")),
        ("a name is bounded", ("len(host) > NAME_CHARACTERS_MAX or ", "")),
    ),
    *guards(
        "crow_plugins.outbound.urls",
        "tests/outbound/test_urls.py::test_each_text_is_one_url_or_one_refusal",
        ("a URL is ASCII", never("not text.isascii()")),
        ("a URL has a scheme", never("known is None or not separator")),
        ("no credentials, query, fragment, backslash", never("character in rest")),
        ("no other path", never("slash + path not in PATHS")),
        ("an authority has a form", never("parts is None")),
        ("a port is one", ("digits is None or int(digits[1]) > PORT_MAX", "digits is None")),
        (
            "a port has one spelling",
            (
                "    digits = _PORT.fullmatch(text)\n    if digits is None or int(digits[1]) > PORT_MAX:\n        raise UrlPort\n    return int(digits[1])",
                "    return int(text[1:])",
            ),
        ),
        ("numbers are addresses", never('_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2])')),
        ("a name is made of labels", (' or not all(_LABEL.fullmatch(label) for label in host.split(".")):', ":")),
        (
            "some addresses are in no zone",
            ("    if zone is None:\n        raise NeverCalled", "    if False:\n        raise NeverCalled"),
        ),
    ),
    *guards(
        "crow_plugins.outbound.urls",
        "tests/outbound/test_urls.py::test_no_space_and_no_control_character_stands_anywhere",
        ("a URL has no spaces", never('any(not "!" <= character <= "~" for character in text)')),
    ),
    *guards(
        "crow_plugins.outbound.urls",
        "tests/outbound/test_urls.py::test_a_name_without_answers_is_refused",
        ("there is an address", never("not addresses")),
    ),
    *guards(
        "crow_plugins.outbound.urls",
        "tests/outbound/test_urls.py::test_one_answer_that_may_not_be_called_spoils_all",
        ("every address is checked", ("        _check_address(url, address, zones)\n", "        break\n")),
    ),
    *guards(
        "crow_plugins.outbound.urls",
        "tests/outbound/test_urls.py::test_a_forbidden_network_is_so_from_edge_to_edge",
        ("some addresses are never called", never("_never_kind(address) is not None")),
    ),
    *guards(
        "crow_plugins.outbound.urls",
        "tests/outbound/test_urls.py::test_a_zone_is_called_only_where_it_is_switched_on",
        ("a zone is on", never("zone not in zones")),
    ),
    *guards(
        "crow_plugins.outbound.urls",
        "tests/outbound/test_urls.py::test_a_name_with_one_public_answer_is_called_by_https_only",
        ("public is called by https", never('zone is Zone.PUBLIC and url.scheme != "https"')),
    ),
    *guards(
        "crow_plugins.outbound.urls",
        "tests/outbound/test_urls.py::test_an_address_with_a_zone_id_is_never_called",
        (
            "an address with a zone id is not called",
            never("isinstance(address, IPv6Address) and address.scope_id is not None"),
        ),
    ),
]

MUTANTS = [
    *FEDERATION_INBOUND,
    *FEDERATION_REPLAY,
    *FEDERATION_EXPOSURE,
    *FEDERATION_MEETING,
    *FEDERATION_ANSWERS,
    *FEDERATION_VERIFYING,
    *FEDERATION_MESSAGE,
    *OUTBOUND_URLS,
]
