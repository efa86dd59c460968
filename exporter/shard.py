"""Deals targets out to several exporters: each target belongs to one shard, by its name alone.

The hash never changes: with another one a new version would move targets, and count their messages anew. It is the jump
consistent hash of Lamping and Veach (2014), as kube-state-metrics has it, so that one shard more moves no more targets
than it must: one in n.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

MOST_SHARDS: Final = 100

_FORM: Final = re.compile(r"([0-9]{1,3})/([0-9]{1,3})")
_MULTIPLIER: Final = 2862933555777941757
_MASK: Final = (1 << 64) - 1


class ShardError(Exception):
    """What was given is no shard; the text says what is one."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` exporters; ``number`` counts from 0."""

    number: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``0/2`` means: the first of two. Raises ShardError."""
        found = _FORM.fullmatch(text)
        shard = cls(0, 0) if found is None else cls(int(found[1]), int(found[2]))
        if not 0 <= shard.number < shard.count <= MOST_SHARDS:
            raise ShardError(
                f'--shard: must be i/n with i from 0 to n - 1 and n up to {MOST_SHARDS}, such as 0/2, got "{text}"'
            )
        return shard

    def has(self, target: str) -> bool:
        """Return whether a target belongs to this shard."""
        return shard_of(target, self.count) == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def shard_of(target: str, count: int) -> int:
    """Return the number of the shard that a target belongs to, of ``count``."""
    return jump(int.from_bytes(hashlib.blake2b(target.encode(), digest_size=8).digest(), "big"), count)


def jump(key: int, count: int) -> int:
    """Return the jump consistent hash of a number of 64 bits."""
    shard, following = 0, 0
    while following < count:
        shard = following
        key = (key * _MULTIPLIER + 1) & _MASK
        following = int((shard + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return shard
