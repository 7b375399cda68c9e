"""The checks that mutants take away, by what they guard, each with the test that sees it."""

from __future__ import annotations

from tests.campaign.guards import calls, causality, entries, identity, tokens

MUTANTS = [*entries.MUTANTS, *causality.MUTANTS, *tokens.MUTANTS, *calls.MUTANTS, *identity.MUTANTS]
