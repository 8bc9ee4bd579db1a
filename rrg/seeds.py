"""Random numbers that depend on nothing but the seed, the command and the record."""

import hashlib

import numpy as np


def rng_for(seed: int, command: str, key: str) -> np.random.Generator:
    """A generator of its own for one record: independent of order, workers and shard."""
    digest = hashlib.sha256(f"{seed}\0{command}\0{key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
