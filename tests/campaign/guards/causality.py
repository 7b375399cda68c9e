"""What no honest author writes, and each line of the join."""

from __future__ import annotations

from tests.campaign.mutants import guards, never

CAUSALITY = [
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_refusals.py::test_the_clock_ends_at_the_highest_lamport_and_never_goes_past_it",
        ("the clock ends", never("lamport >= LAMPORT_MAX")),
    ),
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_refusals.py::test_the_clock_counts_local_writes_and_moves_past_what_is_received",
        ("the clock goes past both", ("return tick(max(lamport, received))", "return tick(received)")),
    ),
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_refusals.py::test_the_limit_on_a_lamport_follows_time_and_not_what_one_happens_to_know",
        (
            "the bound is a number of JSON",
            (
                "return min(LAMPORT_MAX, LAMPORTS_A_SECOND * max(now, BUILD_TIME))",
                "return LAMPORTS_A_SECOND * max(now, BUILD_TIME)",
            ),
        ),
        ("the bound of a clock that is stuck", ("LAMPORTS_A_SECOND * max(now, BUILD_TIME)", "LAMPORTS_A_SECOND * now")),
    ),
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_refusals.py::test_what_no_honest_author_writes_is_refused_by_name",
        ("its own lamport is in range", ("    _check_range(dot.lamport)\n", "")),
        ("other lamports are in range", ("        _check_range(lamport)\n", "")),
        ("what was seen is before it", never("lamport >= dot.lamport")),
        ("what was left open is before it", ("*(sibling.lamport for sibling in arrival.open)", "")),
        ("what was seen is looked at", ("[*arrival.vector.values(), ", "[")),
        (
            "what was left open was seen",
            never("sibling.writer != dot.writer and not _covered(sibling, arrival.vector)"),
        ),
        ("a lamport has a range", never("type(lamport) is not int or not 1 <= lamport <= LAMPORT_MAX")),
    ),
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_histories.py::test_every_history_goes_and_ends_as_the_oracle_says",
        (
            "join: an entry has seen itself",
            ("vector = _max(arrival.vector, [arrival.dot])", "vector = dict(arrival.vector)"),
        ),
        ("join: it names itself", ("named = arrival.open | {arrival.dot}", "named = arrival.open")),
        ("join: it names what it leaves open", ("named = arrival.open | {arrival.dot}", "named = {arrival.dot}")),
        (
            "join: what it names stays",
            ("version.dot in named or not _covered(version.dot, vector)", "not _covered(version.dot, vector)"),
        ),
        (
            "join: what it never saw stays",
            ("version.dot in named or not _covered(version.dot, vector)", "version.dot in named"),
        ),
        (
            "join: what was covered stays so",
            ("if dot not in live and not _covered(dot, state.vector):", "if dot not in live:"),
        ),
        ("join: what it names is live", ("            live[dot] = Version(dot, False, None)\n", "            pass\n")),
        ("join: data of a live version is kept", never("arrived is not None and arrived.data is None")),
        (
            "join: both vectors are known",
            (
                "return RowState(_max(state.vector, vector.items()), _ordered(live.values()))",
                "return RowState(vector, _ordered(live.values()))",
            ),
        ),
        (
            "what differs stays open",
            ("version.here and (version.dot in resolves or same_content(shown, version, bookkeeping))", "version.here"),
        ),
        (
            "shown is what is here",
            ("here = [version for version in state.live if version.here]", "here = list(state.live)"),
        ),
        (
            "shown is not deleted",
            (
                "(not version.deleted, version.dot.lamport, version.dot.writer)",
                "(version.dot.lamport, version.dot.writer)",
            ),
        ),
        (
            "shown is the highest",
            (
                "(not version.deleted, version.dot.lamport, version.dot.writer)",
                "(not version.deleted, version.dot.writer)",
            ),
        ),
        (
            "a conflict is of what differs",
            (
                "version is not shown and version.here and not same_content(shown, version, bookkeeping)",
                "version is not shown and version.here",
            ),
        ),
        (
            "a conflict is of what is here",
            ("version is not shown and version.here and not same_content", "version is not shown and not same_content"),
        ),
    ),
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_join.py::test_equal_states_are_equal_when_written_down",
        (
            "join: versions have an order",
            (
                "_max(state.vector, vector.items()), _ordered(live.values()))",
                "_max(state.vector, vector.items()), tuple(live.values()))",
            ),
        ),
        (
            "a vector has an order",
            ("return joined if len(joined) == len(vector) else dict(sorted(joined.items()))", "return joined"),
        ),
    ),
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_refusals.py::test_a_local_write_must_come_after_all_that_the_row_has_seen",
        ("a local write comes after", never("dot.lamport <= max(state.vector.values(), default=0)")),
    ),
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_join.py::test_a_resolution_does_not_cover_what_has_not_come_though_it_names_it",
        (
            "what is not here is never covered",
            (
                "version.here and (version.dot in resolves or same_content(shown, version, bookkeeping))",
                "version.dot in resolves or (version.here and same_content(shown, version, bookkeeping))",
            ),
        ),
    ),
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_join.py::test_shown_is_what_is_here_not_deleted_and_highest_by_lamport_then_writer",
        (
            "a tie is decided by the writer",
            (
                "key=lambda version: (not version.deleted, version.dot.lamport, version.dot.writer)",
                "key=lambda version: (not version.deleted, version.dot.lamport)",
            ),
        ),
    ),
    *guards(
        "crow_plugins.causality",
        "tests/causality/test_join.py::test_contents_are_compared_as_json_without_bookkeeping",
        ("bookkeeping is no content", ("if name not in bookkeeping}", "}")),
        (
            "true is not 1",
            ("    if isinstance(one, bool) or isinstance(other, bool):\n        return one is other\n", ""),
        ),
    ),
]

MUTANTS = [*CAUSALITY]
