"""A bounded, seeded round of every fuzz target; `make fuzz` searches for longer, guided by coverage."""

import zlib

import pytest
from fuzz.mutations import mutations
from fuzz.targets import SEEDS

from engram_local.errors import EngramError

N_INPUTS = 1000


@pytest.mark.parametrize("target", SEEDS, ids=lambda target: target.__name__)
def test_hostile_input_is_refused_or_harmless(target):
    target(SEEDS[target])  # the good one is good
    refused = 0
    for data in mutations(SEEDS[target], N_INPUTS, zlib.crc32(target.__name__.encode())):
        try:
            target(data)
        except EngramError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 1000
        except Exception as error:
            raise AssertionError(f"{target.__name__}({data[:1000]!r}) raised {error!r}") from error
    assert refused > N_INPUTS / 4  # the mutations reach the checks
