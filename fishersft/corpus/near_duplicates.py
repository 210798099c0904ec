"""Near-duplicates: texts that share most of their words in the same order, whatever their case, spacing or punctuation.

A text is compared as the set of its words and of its pairs of neighbouring words; in scripts that are written without spaces a
character stands for a word.  A word or a pair weighs 3 if one text has it, and 1 if all of many do, so boilerplate counts least.
Two texts are near-duplicates

    where what both have weighs at least 0.6 of what either has (a weighted Jaccard index; one changed word in 25 leaves 0.7), or
    where one has at least five words, and 0.9 of it is in the other, which weighs at most three times as much.

Groups are transitive: a near-duplicate of a near-duplicate belongs to them.

Pairs are found by prefix filtering (Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007): near-duplicates
share one of the rarest words or pairs that either has.  It is exact unless more than 1,000 texts share one of those; each of
these is then compared with the first of up to 10 groups.  On 100,000 paragraphs of English books it takes about 15 s of one
core, less than half of what MinHash LSH takes in Python; the groups of many texts are kept beside the store, so that a corpus is
searched once.  Knows no corpus and no model.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from fishersft.corpus.normalized import normalized
from fishersft.paths import home, read_whole, replacing

NEAR = 0.6
WITHIN, LARGER, FIVE_WORDS = 0.9, 3, 9  # five words and the four pairs between them
RAREST = 3.0  # how much a word of one text weighs; a word of all texts weighs 1
MANY = 1_000  # texts; how many of a few have a word says little about it
COMMON, PIVOTS = 1_000, 10
ROWS, PAIRS = 1_024, 1 << 14  # looked up and compared at a time
KEPT, VERSION = 20_000, 1  # texts from which the groups are kept; another version finds others
SLACK = 1 - 1e-9  # sums of weights are rounded
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
Pairs = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Repeats:
    """Which records are near-duplicates of each other, and which of them stand on both sides of a held-out split."""

    group: np.ndarray  # (N,) the first record of each record's group
    held_out: np.ndarray  # (N,) bool
    pool: np.ndarray  # the records that can be picked, ascending

    @cached_property
    def groups(self) -> list[np.ndarray]:
        """The records of each group of several, the largest group first."""
        order = np.argsort(self.group, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.group[order])) + 1)
        return sorted((part for part in parts if len(part) > 1), key=lambda part: -len(part))

    @cached_property
    def leaking(self) -> np.ndarray:
        """Held-out records that have a near-duplicate in the pool: what is measured on them was partly trained on."""
        return np.flatnonzero(self.held_out & np.isin(self.group, self.group[self.pool]))

    @cached_property
    def spare(self) -> np.ndarray:
        """(N,) bool: records of the pool that have a near-duplicate held out, or earlier in the pool."""
        _, first = np.unique(self.group[self.pool], return_index=True)
        kept = self.pool[first]
        out = np.zeros(len(self.group), dtype=bool)
        out[self.pool] = True
        out[kept[~np.isin(self.group[kept], self.group[self.held_out])]] = False
        return out

    @property
    def dropped(self) -> int:
        """The number of records that are neither held out nor in the pool."""
        return len(self.group) - int(self.held_out.sum()) - len(self.pool)

    def as_json(self) -> dict[str, int]:
        return {
            "groups": len(self.groups),
            "records": sum(map(len, self.groups)),
            "held_out": int(self.held_out.sum()),
            "held_out_with_one_in_the_pool": len(self.leaking),
            "dropped": self.dropped,
        }

    @property
    def sentence(self) -> str:
        """All of it in words."""
        return repeats_sentence(self.as_json())


def repeats_sentence(repeats: Mapping[str, int]) -> str:
    """Near-duplicates in words, from what `Repeats.as_json` gives."""
    if not repeats["groups"]:
        return "No record is a near-duplicate of another."
    groups, leaking, held_out, dropped = (repeats[k] for k in ("groups", "held_out_with_one_in_the_pool", "held_out", "dropped"))
    said = [f"{repeats['records']:,} records are near-duplicates, in {groups:,} group{'s' * (groups != 1)}"]
    if held_out:
        some = f"{leaking:,} of the {held_out:,} held-out records {'has' if leaking == 1 else 'have'} one in the pool"
        said.append(some if leaking else f"none of the {held_out:,} held-out records has one in the pool")
    if dropped:
        said.append(f"{dropped:,} were left out of the pool")
    return "; ".join(said) + "."


def kept_groups(texts: Sequence[str]) -> np.ndarray:
    """`near_duplicate_groups`, of many texts from the file of an earlier call where there is one."""
    if len(texts) < KEPT:
        return near_duplicate_groups(texts)
    digest = hashlib.sha256(f"{VERSION} {len(texts)}".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    file = home() / "near-duplicates" / f"{digest.hexdigest()}.npy"
    with contextlib.suppress(OSError):
        content = read_whole(file)
        if hashlib.sha256(digest.digest() + content[:-32]).digest() == content[-32:]:
            return np.load(io.BytesIO(content), allow_pickle=False).astype(np.int64)
    groups = near_duplicate_groups(texts)
    with contextlib.suppress(OSError):  # it is found again next time
        file.parent.mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        np.save(out, groups.astype(np.int32))
        with replacing(file) as partial:  # ends with a checksum, which numpy does not read
            partial.write_bytes(out.getvalue() + hashlib.sha256(digest.digest() + out.getvalue()).digest())
    return groups


def near_duplicate_groups(texts: Sequence[str]) -> np.ndarray:
    """(N,) int64: for each text the position of the first text of its group, its own where it has no near-duplicate.

    A text without a word is a near-duplicate of none.  100,000 texts of 56 words take about 1 GB.
    """
    groups = np.arange(len(texts), dtype=np.int64)
    sets = _shingles(texts)
    filled = np.flatnonzero(np.diff(sets.indptr))
    if not len(filled):
        return groups
    # equal sets are compared once; they are found by a sum of random numbers, one for each element
    names = np.random.default_rng(0).integers(1, 2**63, sets.shape[1], dtype=np.uint64)
    sums = np.add.reduceat(names[sets.indices], sets.indptr[filled])
    _, first, equal = np.unique(sums, return_index=True, return_inverse=True)
    found = list(_Sets.of(sets[filled[first]]).near_pairs())
    i, j = (np.concatenate([pair[side] for pair in found]) for side in (0, 1))
    _, label = connected_components(csr_matrix((np.ones(len(i), dtype=bool), (i, j)), shape=(len(first),) * 2), directed=False)
    _, earliest, group = np.unique(label[equal], return_index=True, return_inverse=True)
    groups[filled] = filled[earliest][group]
    return groups


def joined(groups: np.ndarray, other: Sequence[str]) -> np.ndarray:
    """(N,) the number of each record's group where groups (N,) that share a value of `other` are one."""
    n = len(groups)
    values = np.unique(np.asarray(other, dtype=object), return_inverse=True)[1]
    links = csr_matrix((np.ones(n), (groups, n + values)), shape=(2 * n, 2 * n))
    return np.unique(connected_components(links, directed=False)[1][groups], return_inverse=True)[1]


def near_duplicates_of(known: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """(N,) bool: whether each text is in a group with one of the known ones."""
    groups = near_duplicate_groups([*known, *texts])
    return np.isin(groups[len(known) :], groups[: len(known)])


def without_repeats(texts: Sequence[str]) -> np.ndarray:
    """Positions of the first text of each group, ascending."""
    return np.flatnonzero(near_duplicate_groups(texts) == np.arange(len(texts)))


def _shingles(texts: Sequence[str]) -> csr_matrix:
    """(N, K) with 1 where a text has a word or a pair of neighbouring words."""
    numbers: dict[str, int] = {}
    words: list[int] = []
    lengths = np.zeros(len(texts), dtype=np.int64)
    for position, text in enumerate(texts):
        found = WORD.findall(normalized(text).casefold())
        lengths[position] = len(found)
        words.extend([numbers.setdefault(word, len(numbers)) for word in found])
    ids, rows = np.array(words, dtype=np.int64), np.repeat(np.arange(len(texts)), lengths)
    within = rows[1:] == rows[:-1]
    pairs = ((ids[:-1] + 1) * len(numbers) + ids[1:])[within]
    codes, columns = np.unique(np.concatenate([ids, pairs]), return_inverse=True)
    place = np.concatenate([rows, rows[1:][within]]), columns
    sets = csr_matrix((np.ones(len(columns), dtype=np.float32), place), shape=(len(texts), len(codes)))
    sets.sum_duplicates()
    sets.data[:] = 1
    return sets


@dataclass(frozen=True)
class _Sets:
    """Different sets of words and pairs, none empty; the columns are ordered from the rarest to the most common."""

    weighted: csr_matrix  # (n, K) weights of what each set holds
    plain: csr_matrix  # (n, K) the same with ones
    whole: np.ndarray  # (n,) what each set weighs
    row: np.ndarray  # (nnz,) the row of each entry
    before: np.ndarray  # (nnz,) what the rarer ones of its set weigh

    @classmethod
    def of(cls, sets: csr_matrix) -> _Sets:
        having = np.bincount(sets.indices, minlength=sets.shape[1])
        rank = np.empty(sets.shape[1], dtype=np.int64)
        rank[np.argsort(having, kind="stable")] = np.arange(sets.shape[1])
        weights = RAREST - (RAREST - 1) * np.log(np.maximum(having, 1)) / np.log(max(sets.shape[0], MANY))
        weighted = csr_matrix((weights[sets.indices], rank[sets.indices], sets.indptr), shape=sets.shape)
        weighted.sort_indices()
        plain = csr_matrix((np.ones(weighted.nnz), weighted.indices, weighted.indptr), shape=sets.shape)
        row = np.repeat(np.arange(sets.shape[0]), np.diff(weighted.indptr))
        upto = np.append(0, np.cumsum(weighted.data))
        return cls(weighted, plain, np.asarray(weighted.sum(1)).ravel(), row, upto[:-1] - upto[weighted.indptr[row]])

    def near_pairs(self) -> Iterator[Pairs]:
        """All pairs of near-duplicates, or enough of them to connect their groups."""
        # What two near sets share weighs NEAR of each or more, so the rarest that they share is not in the common end of
        # either, which weighs less than that; and likewise with what is WITHIN the other.
        heads = self.before <= (1 - NEAR) * self.whole[self.row] / SLACK
        sharing = np.bincount(self.weighted.indices[heads], minlength=self.weighted.shape[1])
        yield from self._of_common(heads, np.flatnonzero(sharing > COMMON))
        yield from self._alike(heads, heads & (sharing[self.weighted.indices] <= COMMON))
        yield from self._within(self.before <= (1 - WITHIN) * self.whole[self.row] / SLACK)

    def _near(self, i: np.ndarray, j: np.ndarray) -> Pairs:
        """Those of the pairs that are near-duplicates."""
        less, more = np.minimum(self.whole[i], self.whole[j]), np.maximum(self.whole[i], self.whole[j])
        possible = less * LARGER >= more * SLACK
        i, j, less, more = i[possible], j[possible], less[possible], more[possible]
        both = np.zeros(len(i))
        for start in range(0, len(i), PAIRS):
            part = slice(start, start + PAIRS)
            both[part] = np.asarray(self.weighted[i[part]].multiply(self.plain[j[part]]).sum(1)).ravel()
        size = np.diff(self.weighted.indptr)
        within = (both >= WITHIN * less * SLACK) & (np.minimum(size[i], size[j]) >= FIVE_WORDS)
        near = (both >= NEAR * (less + more - both) * SLACK) | within
        return i[near], j[near]

    def _only(self, entries: np.ndarray) -> csr_matrix:
        """The sets with only these of their entries."""
        place = self.row[entries], self.weighted.indices[entries]
        return csr_matrix((self.weighted.data[entries], place), shape=self.weighted.shape)

    def _of_common(self, heads: np.ndarray, columns: np.ndarray) -> Iterator[Pairs]:
        """Pairs that share what many sets have among their rarest."""
        for column in columns:
            those = self.row[heads & (self.weighted.indices == column)]
            for _ in range(PIVOTS):
                if len(those) > 1:
                    alike = self._near(np.full(len(those) - 1, those[0]), those[1:])
                    yield alike
                    those = np.setdiff1d(those[1:], alike[1])

    def _alike(self, heads: np.ndarray, searched: np.ndarray) -> Iterator[Pairs]:
        """Pairs whose heads share one of the entries that are searched for."""
        last = np.zeros(len(self.whole), dtype=np.int64)
        np.maximum.at(last, self.row[heads], self.weighted.indices[heads])
        head = self._only(searched)
        rest = self.whole - np.asarray(head.sum(1)).ravel()
        for i, j, shared in _products(head, head):
            # beyond the end of the head that ends first, they share at most the rest of its set
            most = shared + np.where(last[i] <= last[j], rest[i], rest[j])
            possible = (i < j) & (most * (1 + NEAR) >= NEAR * (self.whole[i] + self.whole[j]) * SLACK)
            yield self._near(i[possible], j[possible])

    def _within(self, heads: np.ndarray) -> Iterator[Pairs]:
        """Pairs of which the second set holds one of the rarest entries of the first."""
        having = np.bincount(self.weighted.indices, minlength=self.weighted.shape[1])
        for i, j, _ in _products(self._only(heads), self._only(having[self.weighted.indices] <= COMMON)):
            possible = (i != j) & (self.whole[i] <= self.whole[j])
            yield self._near(i[possible], j[possible])


def _products(left: csr_matrix, right: csr_matrix) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows i of `left` and j of `right` that have a column in common, and the weights of `left` there, some rows at a time."""
    across = csr_matrix((np.ones(right.nnz), right.indices, right.indptr), shape=right.shape).T.tocsr()
    for start in range(0, left.shape[0], ROWS):
        product = (left[start : start + ROWS] @ across).tocoo()
        yield product.row.astype(np.int64) + start, product.col.astype(np.int64), product.data
