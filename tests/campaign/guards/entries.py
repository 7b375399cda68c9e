"""The pipeline of an entry: from the bytes of a block to a row."""

from __future__ import annotations

from tests.campaign.mutants import guards, never

REPLICATOR_APPLYING = [
    *guards(
        "crow_plugins.replicator.applying",
        "tests/replicator/test_hostile_entries.py::test_no_hostile_entry_changes_anything_but_the_feed_that_it_stands_in",
        ("an entry stands in its writer's feed", never("author != batch.source.instance_id")),
        (
            "a rescued entry is of somebody known",
            never("found.rescued_by and not batch.trust.knows(found.entry.instance_id)"),
        ),
        ("a lamport has a bound", never("entry.version.lamport > causality.lamport_limit(transaction.now)")),
        ("an entry fits its table", ("            batch.transaction.check(entry)\n", "            pass\n")),
        (
            "what is parked is kept",
            (
                "                park(transaction.db, place, why.reason, str(why), transaction.now)\n",
                "                pass\n",
            ),
        ),
    ),
    *guards(
        "crow_plugins.replicator.applying",
        "tests/replicator/test_hostile_entries.py::test_a_name_that_swan_gave_is_not_taken_and_the_feed_that_tries_is_frozen",
        (
            "one name for two writes is an alarm",
            ("            if other.original == found.original:\n                continue\n", "            continue\n"),
        ),
        ("every place of a name is looked at", ("for there in batch.index.places(entry.version):", "for there in ():")),
    ),
    *guards(
        "crow_plugins.replicator.applying",
        "tests/replicator/test_intake.py::test_an_entry_of_a_plugin_that_is_off_is_parked_and_applied_when_it_is_on",
        ("the plugin of the table is on", never("not batch.is_on(entry.table)")),
    ),
    *guards(
        "crow_plugins.replicator.applying",
        "tests/replicator/test_intake.py::test_a_plugin_whose_own_file_finds_the_disk_full_parks_nothing",
        (
            "a disk that is full parks nothing",
            (
                "            if is_out_of_service(error):\n                raise\n            log.exception",
                "            log.exception",
            ),
        ),
    ),
    *guards(
        "crow_plugins.replicator.applying",
        "tests/replicator/test_intake.py::test_an_entry_that_its_table_cannot_take_is_parked_alone_and_leaves_nothing_behind",
        (
            "a careful batch puts a savepoint around each",
            (
                "            with transaction.savepoint():\n                transaction.join(entry)",
                "            transaction.join(entry)",
            ),
        ),
    ),
    *guards(
        "crow_plugins.replicator.applying",
        "tests/replicator/test_revoking.py::test_what_was_rescued_counts_up_to_the_lamport_that_the_revocation_names",
        (
            "what a revocation cuts off does not count",
            never(
                "not batch.trust.counts(found, batch.source.instance_id, place.seq, other_branch=batch.other_branch)"
            ),
        ),
    ),
]

REPLICATOR_NAMING = [
    *guards(
        "crow_plugins.replicator.naming",
        "tests/replicator/test_hostile_entries.py::test_a_name_that_swan_gave_is_not_taken_and_the_feed_that_tries_is_frozen",
        (
            "a feed with one name for two writes is marked",
            never("entry.instance_id not in revoked and not disputes.is_known(db, entry.instance_id)"),
        ),
    ),
    *guards(
        "crow_plugins.replicator.naming",
        "tests/replicator/test_one_name_twice.py::test_what_the_writers_own_feed_says_stands_and_of_what_others_rescued_always_the_same",
        ("the writer's own feed decides", never("found.rescued_by is None and not disputes.is_disputed(db, place)")),
        ("else the bytes decide", ("return True, 0, found.original", "return True, 0, b''")),
        (
            "what gives way is in no row",
            ("        transaction.rebuild(entry.table, entry.row_id, entries, [entry.version])\n", "        pass\n"),
        ),
        (
            "who is to blame is known after a revocation",
            ("UPDATE feeds SET frozen = NULL WHERE", "SELECT 1 FROM feeds WHERE"),
        ),
    ),
]

REPLICATOR_BRANCHES = [
    *guards(
        "crow_plugins.replicator.branches",
        "tests/replicator/test_one_name_twice.py::test_nothing_is_rescued_before_all_of_the_new_branch_is_applied",
        (
            "what is rescued stands nowhere, and that is known",
            (
                "    return intake.cursor(db, source.instance_id).length >= DatabaseStorage(db, source.feed).contiguous()",
                "    return True",
            ),
        ),
    ),
    *guards(
        "crow_plugins.replicator.branches",
        "tests/replicator/test_one_name_twice.py::test_a_shorter_branch_with_the_names_of_the_one_that_counts_leaves_nothing_behind",
        (
            "an orphan whose name another write has is in no row",
            ("            naming.give_way(transaction, index, read(block).entry)\n", "            pass\n"),
        ),
    ),
]

REPLICATOR_ENTRY = [
    *guards(
        "crow_plugins.replicator.entry",
        "tests/replicator/test_entry.py::test_an_entry_at_the_limit_is_written_and_read_and_one_byte_more_is_refused",
        (
            "an entry is bounded",
            (
                " if len(block) > ENTRY_BYTES_MAX:\n            raise Malformed",
                " if False:\n            raise Malformed",
            ),
        ),
        (
            "a local entry is bounded",
            (
                "    if len(block) > ENTRY_BYTES_MAX:\n        raise EntryTooLarge",
                "    if False:\n        raise EntryTooLarge",
            ),
        ),
        ("a block is bounded before it is parsed", never("len(data) > bytes_max")),
    ),
    *guards(
        "crow_plugins.replicator.entry",
        "tests/replicator/test_entry.py::test_what_no_writer_of_ours_makes_is_malformed",
        (
            "a rescued entry has its fields only",
            never('fields.keys() != RESCUED_KEYS or not isinstance(fields["entry"], str)'),
        ),
        (
            "a rescuer is an instance",
            ('original, _matching(fields, "instance_id", INSTANCE_ID))', 'original, fields["instance_id"])'),
        ),
        (
            "a block is an object",
            (
                '    if not isinstance(value, dict):\n        raise Malformed("it is no object")',
                '    if False:\n        raise Malformed("it is no object")',
            ),
        ),
        ("an entry has its fields only", ("fields.keys() - OPTIONAL != REQUIRED or ", "")),
        ("an entry is of this format", (' or fields["v"] != FORMAT or fields["v"] is True:', ":")),
        ("true is no format", (' or fields["v"] is True:', ":")),
        ("a type is a name", ('type = _matching(fields, "type", NAME)', 'type = fields["type"]')),
        ("a table is a name", ('table=_matching(fields, "table", NAME)', 'table=fields["table"]')),
        ("a row's id has a form", ('row_id=_matching(fields, "row_id", ROW_ID)', 'row_id=fields["row_id"]')),
        (
            "an instance has an id",
            (
                '_matching(fields, "instance_id", INSTANCE_ID), _matching(fields, "epoch", EPOCH)',
                'fields["instance_id"], _matching(fields, "epoch", EPOCH)',
            ),
        ),
        ("an epoch has a form", ('_matching(fields, "epoch", EPOCH)\n', 'fields["epoch"]\n')),
        ("who wrote has a form", ('by=_matching(fields, "by", BY)', 'by=fields["by"]')),
        ("a lamport is an integer", ('_integer(fields["lamport"], "lamport")', 'fields["lamport"]')),
        (
            "a time is an integer",
            ('timestamp=_integer(fields["timestamp"], "timestamp")', 'timestamp=fields["timestamp"]'),
        ),
        ("a name is text of its form", never("not isinstance(value, str) or not pattern.fullmatch(value)")),
        ("an integer is no truth and no text", never("type(value) is not int")),
        (
            "data is an object",
            (
                '    if not isinstance(value, dict):\n        raise Malformed("data',
                '    if False:\n        raise Malformed("data',
            ),
        ),
        ("data is measured", ("    _check_size(value, DEPTH_MAX)\n", "")),
        ("data has a depth", never("depth == 0")),
        ("data has a width", never("len(value) > KEYS_MAX")),
        (
            "a vector is an object",
            (
                '    if not isinstance(value, dict):\n        raise Malformed("vv',
                '    if False:\n        raise Malformed("vv',
            ),
        ),
        (
            "a vector names writers",
            ("not WRITER.fullmatch(writer) or type(lamport) is not int", "type(lamport) is not int"),
        ),
        (
            "a vector names lamports",
            ("not WRITER.fullmatch(writer) or type(lamport) is not int", "not WRITER.fullmatch(writer)"),
        ),
        (
            "what is open is a list",
            ("not isinstance(value, list) or not 0 < len(value) <= OPEN_MAX", "not 0 < len(value) <= OPEN_MAX"),
        ),
        ("a list of nothing open is left out", ("not 0 < len(value) <= OPEN_MAX", "not len(value) <= OPEN_MAX")),
        (
            "what is open names writers",
            (" if WRITER.fullmatch(writer) and type(lamport) is int:", " if type(lamport) is int:"),
        ),
        (
            "what is open names lamports",
            (" if WRITER.fullmatch(writer) and type(lamport) is int:", " if WRITER.fullmatch(writer):"),
        ),
        (
            "a rescued entry is Unicode",
            (
                '    try:\n        return text.encode()\n    except UnicodeEncodeError as error:\n        raise Malformed("a rescued entry is not valid Unicode") from error',
                "    return text.encode()",
            ),
        ),
        ("no key stands twice", never("len(fields) != len(pairs)")),
        ("what is read fast is what was written", ("is_plain = to_json(value) == data", "is_plain = True")),
        ("NaN is no number where it is read fast", ("allow_inf_nan=False", "allow_inf_nan=True")),
        ("what is no text is no name", ("except TypeError as error:  # a list", "except EOFError as error:  # a list")),
        ("NaN is no number", ('    raise ValueError(f"{name} is no number")', "    return float(name)")),
        (
            "what is no JSON has a name",
            ("except (ValueError, RecursionError) as error:", "except UnicodeDecodeError as error:"),
        ),
    ),
    *guards(
        "crow_plugins.replicator.entry",
        "tests/replicator/test_entry.py::test_a_newer_format_is_told_apart_whatever_else_it_has",
        ("a newer format is told apart", never('type(value.get("v")) is int and value["v"] > FORMAT')),
    ),
    *guards(
        "crow_plugins.replicator.entry",
        "tests/replicator/test_limits.py::test_an_entry_is_read_at_a_limit_and_is_malformed_one_past_it",
        ("what is open is bounded", ("not 0 < len(value) <= OPEN_MAX", "not 0 < len(value)")),
    ),
]

STORE_SYNCED = [
    *guards(
        "crow_plugins.store.synced",
        "tests/store/test_synced.py::test_the_columns_are_exactly_those_declared",
        ("columns are exactly those declared", never("data.keys() != self.columns.keys()")),
    ),
    *guards(
        "crow_plugins.store.synced",
        "tests/store/test_synced.py::test_a_row_with_another_id_than_its_key_makes_is_refused_here_and_from_elsewhere",
        ("an id follows from its key", never("natural is not None and row_id != row_id_of(str(data[natural]))")),
    ),
    *guards(
        "crow_plugins.store.synced",
        "tests/store/test_synced.py::test_a_row_as_a_whole_is_bounded",
        (
            "a row is bounded",
            never(
                "bytes_held * 6 + JSON_BYTES_A_COLUMN * len(data) > ROW_BYTES_MAX and len(canonical(data)) > ROW_BYTES_MAX"
            ),
        ),
    ),
    *guards(
        "crow_plugins.store.synced",
        "tests/store/test_synced.py::test_a_natural_key_is_a_text_that_every_row_has",
        (
            "a natural key is a column that can be one",
            never("table.natural_key is not None and table.natural_key not in keys"),
        ),
    ),
    *guards(
        "crow_plugins.store.synced",
        "tests/store/test_synced.py::test_what_does_not_fit_is_refused_by_name",
        ("null only where it may be", never("not column.nullable")),
        ("a value is of its kind", never("not FITS[column.kind](value)")),
        (
            "a text is checked",
            ('        return _check_text(where, column, value, "\\0" in value)\n', "        return 0\n"),
        ),
        (
            "a text is Unicode",
            (
                "        size = len(text) if text.isascii() else len(text.encode())",
                '        size = len(text.encode("utf-8", "surrogatepass"))',
            ),
        ),
        (
            "a text is bounded by its column",
            ("if size > column.bytes_max or size > STRING_BYTES_MAX:", "if size > STRING_BYTES_MAX:"),
        ),
        (
            "a text is bounded everywhere",
            ("if size > column.bytes_max or size > STRING_BYTES_MAX:", "if size > column.bytes_max:"),
        ),
        ("a text is measured in bytes", ("len(text) if text.isascii() else len(text.encode())", "len(text)")),
        ("a text has no NUL", never("has_nul")),
        ("no NUL in JSON", ('any("\\0" in each for each in _strings(value))', "False")),
        ("no NUL in the keys of JSON", ("            yield from _strings(key)\n", "")),
        ("JSON has a depth", never("_depth(value) > DEPTH_MAX")),
        (
            "what is no JSON has a name",
            (
                '    except (TypeError, ValueError):\n        raise Invalid(f"{column.name} of {where} must be of type json',
                '    except ZeroDivisionError:\n        raise Invalid(f"{column.name} of {where} must be of type json',
            ),
        ),
        ("an integer is one everywhere", ("type(value) is int and abs(value) <= INTEGER_MAX", "type(value) is int")),
        (
            "true is no integer",
            (
                "type(value) is int and abs(value) <= INTEGER_MAX",
                "isinstance(value, int) and abs(value) <= INTEGER_MAX",
            ),
        ),
        ("a real is finite", ("type(value) in (int, float) and math.isfinite(value)", "type(value) in (int, float)")),
    ),
]

STORE_DOOR = [
    *guards(
        "crow_plugins.store.door",
        "tests/replicator/test_hostile_entries.py::test_no_hostile_entry_changes_anything_but_the_feed_that_it_stands_in",
        (
            "a table syncs",
            (
                "        if shape is None:\n            raise UnknownTable(table)",
                "        if shape is None:\n            shape = next(iter(self._door.shapes.values()))",
            ),
        ),
        ("a change type is of its table", never("type not in shape.table.change_types")),
        ("an arrival is possible", ("        causality.check(arriving.arrival_of(entry))\n", "")),
        ("an arriving row fits", ("        shape.check(entry.row_id, entry.data)\n", "")),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_a_row_that_breaks_its_declaration_is_not_written",
        (
            "a new local row fits",
            (
                "        shape.check(row_id, image)\n        state, arrival = causality.write(known,",
                "        state, arrival = causality.write(known,",
            ),
        ),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_rows_that_are_inserted_fit_are_new_and_come_all_or_none",
        ("an inserted row fits", ("        shape.check(row_id, data)\n", "")),
        ("an inserted row is new", never("shown is not None and not shown.deleted")),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_a_row_that_is_written_twice_in_one_transaction_fits_each_time_and_carries_the_later_version",
        (
            "a row that is written again fits",
            (
                "        shape.check(row_id, image)\n        dot = self.clock.tick()\n        state, arrival = causality.write(\n",
                "        dot = self.clock.tick()\n        state, arrival = causality.write(\n",
            ),
        ),
        (
            "a second write is of its own time",
            (
                "shape.restamp(self.db, row_id, dot.lamport,",
                "shape.restamp(self.db, row_id, known.state.live[0].dot.lamport,",
            ),
        ),
        (
            "a second write covers the first",
            (
                "state, arrival = causality.write(\n            known.state, dot,",
                "state, arrival = causality.write(\n            RowState({}, known.state.live), dot,",
            ),
        ),
    ),
    *guards(
        "crow_plugins.store.numbering",
        "tests/store/test_numbering.py::test_rows_that_want_the_same_number_have_the_same_ones_in_every_order",
        ("the smaller id has the number", ("if row_id < holder[0]:", "if False:")),
        ("who gives way asks for the next", ("_attempt(number, other_id, other_at) + 1", "2")),
    ),
    *guards(
        "crow_plugins.store.synced",
        "tests/store/test_numbering.py::test_a_row_gets_another_number_with_another_time",
        (
            "an applied row has the number of its time",
            ("                numbering.settle(db, self.table.name, self.table.numbered_by, row[0])\n", ""),
        ),
        (
            "a local row has the number of its time",
            ("            numbering.settle(db, self.table.name, by, row_id)\n", "            pass\n"),
        ),
    ),
    *guards(
        "crow_plugins.rows.kind",
        "tests/memories/test_search_alike.py::test_the_order_in_which_memories_came_makes_no_difference",
        ("rows of a kind are numbered", ("numbered_by=NUMBERED_BY", "numbered_by=None")),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_a_resolution_that_names_the_version_shown_and_one_that_is_not_live_is_refused",
        ("a resolution names what is live", ("settled - live or shown is None", "shown is None")),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_a_resolution_that_had_not_seen_the_version_shown_now_is_refused",
        ("a resolution names what is shown", (" or shown.dot not in settled", "")),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/replicator/test_one_name_twice.py::test_a_shorter_branch_with_the_names_of_the_one_that_counts_leaves_nothing_behind",
        (
            "a row that is made anew is shown anew",
            (
                "self._show_current(shape, row_id, causality.EMPTY, after)",
                "self._show_current(shape, row_id, before, after)",
            ),
        ),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_a_row_in_conflict_is_not_deleted_before_it_is_settled",
        (
            "a delete settles no conflict by the way",
            never(
                "deleted and not settled and causality.open_conflicts(shape.table.name, row_id, state, shape.bookkeeping)"
            ),
        ),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_a_merge_that_is_no_row_of_the_table_is_refused_and_the_conflict_stays",
        ("a merge fits", ("                shape.check(conflict.row_id, data)\n", "")),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_a_refused_write_cannot_be_caught_and_committed",
        ("a write that failed is not committed", never("self._failed")),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_a_savepoint_that_is_undone_takes_the_clock_back",
        (
            "a savepoint sets the clock back",
            (
                "clock.lamport, clock.entered, self._before, self._failed = lamport, entered, before, failed",
                "clock.entered, self._before, self._failed = entered, before, failed",
            ),
        ),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_a_write_that_changes_nothing_is_no_change",
        (
            "a write that changes nothing is none",
            never("not settled and digest is not None and digest == known.digest"),
        ),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/store/test_door.py::test_the_event_loop_may_neither_read_nor_write",
        (
            "no transaction on the event loop",
            ("        refuse_event_loop()\n        refuse_writing()\n", "        refuse_writing()\n"),
        ),
    ),
    *guards(
        "crow_plugins.store.door",
        "tests/federation/test_inbound_parts.py::test_a_call_that_reads_cannot_open_the_write_door_nor_can_what_it_starts",
        ("who may only read does not write", ("        refuse_writing()\n", "")),
    ),
]

STORE_CONNECTIONS = [
    *guards(
        "crow_plugins.store.connections",
        "tests/store/test_log.py::test_a_commit_stands_though_the_log_cannot_be_copied_back",
        (
            "a commit stands whatever comes of copying back",
            ("            with contextlib.suppress(apsw.Error):  # it is", "            if True:  # it is"),
        ),
    ),
    *guards(
        "crow_plugins.store.connections",
        "tests/store/test_door.py::test_a_write_that_a_full_disk_ended_is_not_taken_for_a_commit_whoever_overlooks_the_error",
        ("a transaction that ended by itself is no commit", ('                self.execute_sql("COMMIT")\n', "")),
    ),
    *guards(
        "crow_plugins.store.connections",
        "tests/store/test_door.py::test_what_is_written_after_an_overlooked_full_disk_is_refused_and_not_committed_alone",
        ("nothing is written after it by a statement", never("state.transactions and connection.getautocommit()")),
        ("nor past peewee", never("state.transactions and state.conn.getautocommit()")),
    ),
    *guards(
        "crow_plugins.store.connections",
        "tests/store/test_door.py::test_a_damaged_file_is_one_sentence_when_it_is_opened_and_when_it_is_read",
        (
            "a failing disk is known behind what came of it",
            (
                "        found = found.__cause__ or found.__context__\n    return False",
                "        break\n    return False",
            ),
        ),
    ),
    *guards(
        "crow_plugins.store.connections",
        "tests/store/test_door.py::test_the_event_loop_may_neither_read_nor_write",
        ("the event loop does not wait for the disk", ("    raise WrongThread\n", "    return\n")),
    ),
]

STORE_ARRIVING = [
    *guards(
        "crow_plugins.store.arriving",
        "tests/store/test_door.py::test_an_entry_is_applied_and_the_clock_moves_past_it",
        ("the clock goes past what is received", ("        transaction.clock.witness(entry.version.lamport)\n", "")),
    ),
]

REPLICATOR_DISPUTES = [
    *guards(
        "crow_plugins.replicator.applying",
        "tests/replicator/test_disputes.py::test_what_does_not_show_two_branches_changes_nothing",
        ("who shows two branches does so in its own feed", never("heads.shown_by != batch.source.instance_id")),
        ("whose branches are shown is somebody known", never("not batch.trust.knows(heads.instance_id)")),
        (
            "what shows two branches proves it",
            (
                "            found = disputes.check(heads, batch.trust.known[heads.instance_id])\n",
                "            found = disputes.Conflict(0, 0, disputes._proof(heads.one), disputes._proof(heads.other))\n",
            ),
        ),
    ),
    *guards(
        "crow_plugins.replicator.applying",
        "tests/replicator/test_disputes.py::test_a_writer_that_is_revoked_has_nothing_of_it_rescued_that_does_not_count",
        ("a revocation has decided which branch counts", never("heads.instance_id in batch.trust.revoked")),
    ),
    *guards(
        "crow_plugins.replicator.revoking",
        "tests/replicator/test_disputes.py::test_a_writer_that_is_revoked_has_nothing_of_it_rescued_that_does_not_count",
        ("and ends the dispute", ("    disputes.settle(db, revoked)\n", "")),
    ),
    *guards(
        "crow_plugins.replicator.disputes",
        "tests/replicator/test_disputes.py::test_what_does_not_show_two_branches_changes_nothing",
        ("two heads of which one extends the other show nothing", never("found is None")),
    ),
    *guards(
        "crow_plugins.replicator.disputes",
        "tests/replicator/test_disputes.py::test_a_shorter_beginning_that_is_shown_later_counts_and_the_rest_is_rescued_then",
        ("the shortest common beginning counts", ("row[0] <= found.common:", "True:")),
        ("a longer one says nothing new", ("row is not None and row[0] <= found.common:", "False:")),
        ("what is disputed later is rescued, too", ("rescued = min(rescued, excluded.common)", "rescued = rescued")),
    ),
    *guards(
        "crow_plugins.replicator.naming",
        "tests/replicator/test_disputes.py::test_of_the_writes_that_have_one_name_all_show_the_same_in_whatever_order_they_hear",
        ("a disputed place decides nothing", (" and not disputes.is_disputed(db, place):", ":")),
    ),
    *guards(
        "crow_plugins.replicator.branches",
        "tests/replicator/test_disputes.py::test_what_gave_way_is_there_when_who_rescued_the_other_write_of_its_name_is_revoked",
        (
            "of two writes of one name both are rescued",
            (
                "{read(block_at(db, place.feed, place.seq)).original for place in places} | parked",
                "{found.original for place in places} | parked",
            ),
        ),
    ),
    *guards(
        "crow_plugins.replicator.branches",
        "tests/replicator/test_disputes.py::test_all_end_with_both_branches_and_what_is_shown_to_be_in_both_is_not_rescued",
        ("both heads are shown before anything is rescued", ("[] if dispute.told else", "[] if True else")),
    ),
    *guards(
        "crow_plugins.replicator.branches",
        "tests/replicator/test_disputes.py::test_who_is_killed_while_it_rescues_loses_nothing_and_rescues_nothing_twice",
        (
            "where rescuing goes on is kept",
            ("    disputes.rescued_up_to(db, dispute, max(end, dispute.rescued))\n", "    pass\n"),
        ),
    ),
    *guards(
        "crow_plugins.replicator.branches",
        "tests/replicator/test_disputes.py::test_nothing_is_rescued_while_our_own_feed_is_in_doubt",
        (
            "nothing is rescued while our own feed is in doubt",
            never("not own.may_append(db) or not is_disputed_and_waits(db, intake, source)"),
        ),
    ),
    *guards(
        "crow_plugins.replicator.branches",
        "tests/replicator/test_disputes.py::test_what_waits_for_a_plugin_or_a_newer_release_is_rescued_all_the_same",
        (
            "what only a newer release can read is kept for it",
            ("            _keep_unread(db, source.feed, block, transaction.now)\n", "            pass\n"),
        ),
    ),
    *guards(
        "crow_plugins.replicator.branches",
        "tests/replicator/test_disputes.py::test_what_was_told_in_a_part_of_our_own_feed_that_is_gone_is_told_again",
        ("what is cut of our own feed is told again", never("source.instance_id == own.instance_id")),
    ),
    *guards(
        "crow_plugins.replicator.healing",
        "tests/replicator/test_disputes.py::test_what_was_told_in_a_part_of_our_own_feed_that_is_gone_is_told_again",
        (
            "what was rescued is rescued again",
            ("block if entry.instance_id == own.instance_id else", "block if True else"),
        ),
    ),
    *guards(
        "crow_plugins.replicator.healing",
        "tests/replicator/test_disputes.py::test_a_higher_fork_ends_it_and_nothing_is_there_twice",
        ("two branches end under a higher fork", (" or disputes.is_known(db, own.instance_id):", ":")),
    ),
    *guards(
        "crow_plugins.replicator.branches",
        "tests/replicator/test_disputes.py::test_what_was_cut_off_does_not_wait_for_ever_for_a_head_whose_blocks_nobody_has",
        ("what was cut off does not wait for ever", ("now - waiting[0] >= PATIENCE_SECONDS or ", "")),
    ),
    *guards(
        "crow_plugins.feed.answering",
        "tests/feed/test_replication_hostile.py::test_a_feed_with_two_branches_shows_its_head_and_gives_no_blocks_but_those_of_both",
        ("of two branches only what is in both is given", ("wanted.block.index < end", "True")),
    ),
    *guards(
        "crow_plugins.feed.exchange",
        "tests/feed/test_replication_many.py::test_of_two_branches_what_is_in_both_still_comes_and_nothing_else",
        ("of two branches what is in both is taken", ("self._both = found.common", "self._both = 0")),
    ),
    *guards(
        "crow_plugins.feed.exchange",
        "tests/feed/test_replication_many.py::test_a_branch_is_followed_along_a_line_also_by_who_asks_before_its_blocks_are_there",
        ("what leads to another branch is asked for again when blocks come", never("self._peer.lacks_hashes")),
    ),
    *guards(
        "crow_plugins.feed.exchange",
        "tests/feed/test_replication_many.py::test_branches_are_told_apart_by_what_is_there_of_a_head_whose_blocks_are_not",
        ("what is there of a copy is compared", ("            length = feed.comparable(length)\n", "")),
    ),
    *guards(
        "crow_plugins.replicator.standing",
        "tests/replicator/test_two_branches.py::test_both_branches_of_a_machine_that_does_not_come_back_reach_everybody_and_it_mends_them_if_it_does",
        ("the other branch is not waited for", never("held is not None and held.disputed")),
    ),
    *guards(
        "crow_plugins.replicator.mending",
        "tests/replicator/test_two_branches.py::test_both_branches_of_a_machine_that_does_not_come_back_reach_everybody_and_it_mends_them_if_it_does",
        ("who hears of its own two branches mends them", never("is_news")),
    ),
]

MUTANTS = [
    *REPLICATOR_APPLYING,
    *REPLICATOR_NAMING,
    *REPLICATOR_BRANCHES,
    *REPLICATOR_DISPUTES,
    *REPLICATOR_ENTRY,
    *STORE_SYNCED,
    *STORE_DOOR,
    *STORE_CONNECTIONS,
    *STORE_ARRIVING,
]
