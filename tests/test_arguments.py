"""What public doors take for a number or an array of numbers, and what they refuse in words."""

import numpy as np
import pytest

from engram_local.arguments import integer, integers
from engram_local.errors import TokenRangeError, UsageError


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_whole_numbers_of_any_kind(value):
    assert integer(value, "n", 0, 3) == 3 and type(integer(value, "n")) is int


@pytest.mark.parametrize("value", [3.0, np.float32(3), True, np.True_, "3", None, [3], 1.5])
def test_what_is_no_whole_number(value):
    with pytest.raises(UsageError, match=r"^n is .*; give a whole number$"):
        integer(value, "n")


@pytest.mark.parametrize(("value", "bounds"), [(-1, (0, None)), (10**400, (0, 5)), (6, (0, 5))])
def test_numbers_out_of_bounds(value, bounds):
    with pytest.raises(UsageError, match=r"n is .*give a number from 0") as caught:
        integer(value, "n", *bounds)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    "values",
    [[1, 2], (1, 2), [np.int32(1), np.uint8(2)], range(1, 3), np.array([1, 2], np.uint16), np.array([1, 0, 2])[::2]],
)
def test_arrays_of_whole_numbers(values):
    array = integers(values, "ids", 1)
    assert array.tolist() == [1, 2] and array.dtype == np.int64 and array.flags.c_contiguous


def test_an_int64_array_is_not_copied():
    array = np.arange(5)
    assert integers(array, "ids") is array and integers([], "ids", 1).shape == (0,)


@pytest.mark.parametrize(
    "values",
    [
        [1.5],
        [1.0],
        np.array([1.0]),
        np.empty(0),
        [True],
        ["1"],
        "12",
        b"12",
        None,
        {1: 2},
        [[1], [2, 3]],
        [None, 1],
        1j,
    ],
)
def test_what_is_no_array_of_whole_numbers(values):
    with pytest.raises(UsageError, match=r"^ids "):
        integers(values, "ids", 1)


@pytest.mark.parametrize("values", [[[1, 2], [3, 4]], 5, np.int64(5), [[]]])
def test_another_number_of_dimensions(values):
    with pytest.raises(UsageError, match=r"ids have shape \[.*\]; give 1 dimension$"):
        integers(values, "ids", 1)


@pytest.mark.parametrize("values", [[2**63], [-1, 2**63], [2**64], [-(2**63) - 1], np.array([2**63], np.uint64)])
def test_numbers_beyond_int64_are_of_the_class_asked_for(values):
    with pytest.raises(TokenRangeError, match=r"ids hold -?[0-9]+, which is beyond 64 bits"):
        integers(values, "ids", 1, TokenRangeError)
