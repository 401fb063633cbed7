"""Which tokens an upload still stands for."""

from __future__ import annotations

import pytest

from storagedriver_core import ConflictError, UploadCuts


def good(cuts: UploadCuts, known: UploadCuts, offset: int) -> bool:
    try:
        cuts.require(known.data(), offset)
    except ConflictError:
        return False
    return True


def test_token_is_good_until_bytes_below_its_offset_were_cut_off() -> None:
    none = UploadCuts()
    one = none.at(10)
    assert good(none, none, 20)
    assert good(one, none, 10)
    assert not good(one, none, 11)
    assert good(one, one, 20)


def test_lower_cut_says_all_that_higher_ones_said() -> None:
    first = UploadCuts().at(30)
    second = first.at(20)
    assert second.cuts == ((2, 20),)
    assert not good(second, UploadCuts(), 25)
    assert not good(second, first, 25)
    assert good(second, UploadCuts(), 20)
    assert second.at(50).cuts == ((2, 20), (3, 50))


def test_cuts_go_through_text() -> None:
    cuts = UploadCuts().at(10).at(25)
    assert UploadCuts.from_text(cuts.to_text()) == cuts
    assert UploadCuts.from_text("") == UploadCuts.from_text("nonsense") == UploadCuts()


@pytest.mark.parametrize("forged", ["", "x", "-1", "99999999999999999999"])
def test_forged_number_is_no_error_of_its_own(forged: str) -> None:
    UploadCuts().at(10).require({"cuts": forged}, 5)
