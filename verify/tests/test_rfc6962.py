"""The published test vectors of Certificate Transparency's Merkle trees, and RFC 6962's definitions at many sizes."""

from __future__ import annotations

import pytest

import small_log
from millrace_verify.merkle import Growing, ProofError, check_consistency, check_inclusion, leaf_hash

LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
N01 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N03 = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
N4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
N47 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
N67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
N45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
LEAF0 = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
LEAF1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
N02 = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"


def hashes(*texts: str) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def test_roots_of_the_vectors() -> None:
    tree = Growing()
    assert tree.root() == ROOTS[0]
    for leaf, root in zip(LEAVES, ROOTS[1:], strict=True):
        tree.add(leaf_hash(leaf))
        assert tree.root() == root


@pytest.mark.parametrize(
    ("index", "size", "proof"),
    [
        (0, 1, ()),
        (0, 8, (LEAF1, N01, N47)),
        (5, 8, (N4, N67, N03)),
        (2, 3, (N02,)),
        (1, 5, (LEAF0, N01, N4)),
    ],
)
def test_inclusion_proofs_of_the_vectors(index: int, size: int, proof: tuple[str, ...]) -> None:
    check_inclusion(leaf_hash(LEAVES[index]), index, size, hashes(*proof), ROOTS[size])


@pytest.mark.parametrize(
    ("old", "new", "proof"), [(1, 1, ()), (1, 8, (LEAF1, N01, N47)), (6, 8, (N45, N67, N03)), (2, 5, (N01, N4))]
)
def test_consistency_proofs_of_the_vectors(old: int, new: int, proof: tuple[str, ...]) -> None:
    check_consistency(old, new, ROOTS[old], ROOTS[new], hashes(*proof))


ENTRIES = [f"entry {number}".encode() for number in range(40)]


@pytest.mark.parametrize("size", range(1, len(ENTRIES) + 1))
def test_every_proof_holds_and_no_wrong_one_does(size: int) -> None:
    entries = ENTRIES[:size]
    root, other = small_log.mth(entries), small_log.mth([*entries[:-1], b"other"])
    for index, entry in enumerate(entries):
        proof = small_log.path(index, entries)
        check_inclusion(leaf_hash(entry), index, size, proof, root)
        wrong = [
            (leaf_hash(b"another"), index, proof, root),
            (leaf_hash(entry), index, [*proof, root], root),
            (leaf_hash(entry), index, proof, other),
        ]
        if proof:
            wrong += [(leaf_hash(entry), index, proof[:-1], root), (leaf_hash(entry), (index + 1) % size, proof, root)]
        for leaf, at, steps, top in wrong:
            with pytest.raises(ProofError):
                check_inclusion(leaf, at, size, steps, top)
    for old in range(1, size + 1):
        proof, before = small_log.proof(old, entries), small_log.mth(entries[:old])
        check_consistency(old, size, before, root, proof)
        forked = small_log.mth([*entries[: old - 1], b"other"])
        longer, shorter = [*proof, root], proof[:-1]
        cases = [(forked, root, proof), (before, other, proof), (before, root, longer)]
        for first, last, steps in [*cases, *([(before, root, shorter)] if proof else [])]:
            with pytest.raises(ProofError):
                check_consistency(old, size, first, last, steps)


def test_a_newer_log_is_not_shorter() -> None:
    with pytest.raises(ProofError, match="it was cut"):
        check_consistency(8, 5, ROOTS[8], ROOTS[5], [])
