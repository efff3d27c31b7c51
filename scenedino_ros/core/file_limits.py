# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How much of a file is read: bounds that stop a damaged or hostile file from filling memory.

Each bound is far above what a real file needs, and small enough that reading up to it does no
harm. A file beyond its bound is refused with one sentence.
"""

from scenedino_ros.core.disk_space import bytes_in_words

MIB = 1 << 20

# Text of one value per line: 256 MiB hold the poses of 400 hours at 10 Hz.
TEXT_BYTES = 256 * MIB
# Text with many values per frame or step, such as COLMAP's points or the metrics of a training.
LONG_TEXT_BYTES = 1024 * MIB
# JSON takes up to twenty times its size in memory. 64 MiB hold the stamps of 3 million frames.
JSON_BYTES = 64 * MIB
# The YAML parser reads about 0.1 MB/s. 4 MiB list 15,000 files of a recording.
YAML_BYTES = 4 * MIB
# Nodes of a YAML document where every alias counts as all that it stands for: programs that walk
# over the values see them so often.
YAML_NODES = 1_000_000
# Nested lists and mappings: real files have less than ten, Python's recursion ends at about 300.
YAML_DEPTH = 50
# Characters of one number in YAML: conversion takes quadratic time.
YAML_NUMBER = 400

# Bytes of one message, or of one image file: a raw image of 8192 x 4320 px in four channels has
# 135 MiB.
MESSAGE_BYTES = 256 * MIB
# Bytes of a chunk of MCAP: recorders close chunks of some megabytes, but a large message makes one
# of its own.
CHUNK_BYTES = 1024 * MIB
# Bytes of the messages that wait until older ones of overlapping chunks are read.
WAITING_BYTES = 1024 * MIB
# Bytes of the text that defines a message type, with all that it contains. The parser reads about
# 6 kB/s of it; definitions of motion planning, the longest in use, have 60 kB.
DEFINITION_BYTES = MIB // 8
# Elements of arrays of fixed length in one definition, for which a decoder is generated.
DEFINITION_ELEMENTS = 10_000
# Bytes of the arrays in one NPZ file: the densest grids that the node takes need half of it.
ARRAYS_BYTES = 2048 * MIB
# Arrays in one NPZ file.
ARRAYS = 1000
# Bytes of the JSON at the start of a safetensors file: the largest backbone needs 0.1 MB.
HEADER_BYTES = 10_000_000
# Files in a PyTorch archive: one for each tensor.
ARCHIVE_MEMBERS = 100_000

# What is decompressed may have this many times the bytes of its compressed form. Camera images
# reach 3 and constant label maps some hundred, a decompression bomb some ten thousand.
RATIO = 200
# ... but so many bytes always: small things that are constant compress better.
ALWAYS = 64 * MIB


def decompression_bound(compressed: int, most: int | None = None) -> int:
    """Return how many bytes may come out of a decompressor.

    Args:
        compressed: Bytes that go in.
        most: Bound whatever goes in; None: there is none.
    """
    bound = max(RATIO * compressed, ALWAYS)
    return bound if most is None else min(bound, most)


def expansion_refused(compressed: int, bound: int) -> str:
    """Return in words that something is larger than `decompression_bound` allows."""
    return (
        f"its {bytes_in_words(compressed)} are more than {bytes_in_words(bound)} decompressed, "
        f"and at most {RATIO} times the size (or {bytes_in_words(ALWAYS)}) is accepted"
    )
