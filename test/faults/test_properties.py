# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Every reader gives a finite result or the package's error, whatever comes."""

import pytest
from promise import Reader
from readers import READERS


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_sound_inputs_are_read(reader: Reader) -> None:
    reader.read(reader.sound())
