"""What C is given are arrays that lie in one piece."""

import ctypes

import numpy as np
import pytest

from suimon.model.compiled import place


def test_an_array_is_where_its_first_byte_is() -> None:
    for array in (np.arange(7, 20), np.frombuffer(bytes([7, 8]), np.uint8)):
        assert ctypes.c_uint8.from_address(place(array)).value == 7
    assert place(np.empty(0)) > 0


def test_what_lies_in_pieces_is_nowhere() -> None:
    for array in (np.arange(9)[::2], np.arange(9).reshape(3, 3)[:, 0], np.broadcast_to(np.int64(1), 9)):
        with pytest.raises(AssertionError, match="one number after the other"):
            place(array)
