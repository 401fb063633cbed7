"""What `make test` meets of all kinds of registries."""

from __future__ import annotations

import itertools

from registry.tests.sites import AUTHS, CLIENTS, KINDS, SCHEMES, STORAGES, covering, kinds


def test_every_pair_of_client_storage_authentication_and_scheme_is_met() -> None:
    factors = (CLIENTS, STORAGES, AUTHS, SCHEMES)
    met = [(client, *kind) for client in CLIENTS for kind in covering(client)]
    for first, second in itertools.combinations(range(len(factors)), 2):
        pairs = set(itertools.product(factors[first], factors[second]))
        assert {(row[first], row[second]) for row in met} == pairs


def test_every_kind_is_met_by_every_client_in_one_of_the_two_runs() -> None:
    for client in CLIENTS:
        parameters = kinds(client)
        assert [parameter.values[0] for parameter in parameters] == [*KINDS]
        small = {parameter.values[0] for parameter in parameters if not parameter.marks}
        assert small == covering(client)
