//! The reference vectors of certificate transparency, and every size against the definition.

use super::*;
use crate::{from_hex, to_hex};

/// The leaves of the reference implementation's tests.
fn reference() -> Vec<Hash> {
    let inputs: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    inputs.into_iter().map(leaf_hash).collect()
}

const REFERENCE_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hashes(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| from_hex(text).unwrap()).collect()
}

/// The root as the definition has it, from all leaves.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(naive_split(more.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_split(len: usize) -> usize {
    let mut at = 1;
    while at * 2 < len {
        at *= 2;
    }
    at
}

/// PATH of RFC 6962, 2.1.1.
fn naive_path(at: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(naive_split(leaves.len()));
    let (mut path, sibling) = if at < left.len() {
        (naive_path(at, left), right)
    } else {
        (naive_path(at - left.len(), right), left)
    };
    path.push(naive_root(sibling));
    path
}

/// SUBPROOF of RFC 6962, 2.1.2.
fn naive_subproof(old: usize, leaves: &[Hash], is_whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if is_whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(naive_split(leaves.len()));
    let (mut proof, sibling) = if old <= left.len() {
        (naive_subproof(old, left, is_whole), right)
    } else {
        (naive_subproof(old - left.len(), right, false), left)
    };
    proof.push(naive_root(sibling));
    proof
}

/// Gives the perfect subtrees over these leaves; anything else is asked for in vain.
fn nodes(leaves: &[Hash]) -> impl FnMut(u32, u64) -> Result<Hash, ()> {
    move |level, index| {
        let from = usize::try_from(index << level).unwrap();
        leaves.get(from..from + (1 << level)).map(naive_root).ok_or(())
    }
}

fn many(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

#[test]
fn roots_are_those_of_the_reference() {
    let mut frontier = Frontier::new();
    let mut roots = vec![to_hex(&frontier.root())];
    for leaf in reference() {
        frontier.append(leaf);
        roots.push(to_hex(&frontier.root()));
    }
    assert_eq!(roots, REFERENCE_ROOTS);
}

#[test]
fn inclusion_proofs_are_those_of_the_reference() {
    let cases: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        (
            1,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    let leaves = reference();
    for (index, size, expected) in cases {
        let proof = inclusion_proof(index, size, nodes(&leaves)).unwrap();
        assert_eq!(proof, Some(hashes(expected)), "{index} in {size}");
    }
}

#[test]
fn consistency_proofs_are_those_of_the_reference() {
    let cases: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    let leaves = reference();
    for (old, new, expected) in cases {
        let proof = consistency_proof(old, new, nodes(&leaves)).unwrap();
        assert_eq!(proof, Some(hashes(expected)), "{old} to {new}");
    }
}

#[test]
fn every_size_has_the_root_of_the_definition_and_resumes() {
    let leaves = many(300);
    let mut frontier = Frontier::new();
    for (size, leaf) in leaves.iter().enumerate() {
        assert_eq!(frontier.root(), naive_root(&leaves[..size]), "size {size}");
        assert_eq!(tree_root(size as u64, nodes(&leaves)), Ok(frontier.root()));
        let resumed = Frontier::resume(frontier.size(), frontier.nodes().to_vec());
        frontier = resumed.unwrap();
        let mut whole = vec![(0, size as u64, *leaf)];
        frontier.append_with(*leaf, |level, index, hash| whole.push((level, index, *hash)));
        for (level, index, hash) in whole {
            assert_eq!(nodes(&leaves)(level, index), Ok(hash), "{level} {index}");
        }
    }
    assert_eq!(Frontier::resume(5, vec![[0; 32]]), None);
}

#[test]
fn every_inclusion_proof_is_that_of_the_definition_and_holds() {
    let leaves = many(300);
    for size in (1..=40).chain([63, 64, 65, 129, 257]) {
        let root = naive_root(&leaves[..size]);
        let size = size as u64;
        for at in 0..size {
            let index = usize::try_from(at).unwrap();
            let proof = inclusion_proof(at, size, nodes(&leaves)).unwrap().unwrap();
            assert_eq!(proof, naive_path(index, &leaves[..usize::try_from(size).unwrap()]));
            assert_eq!(verify_inclusion(&leaves[index], at, size, &root, &proof), Ok(()));
        }
    }
    assert_eq!(inclusion_proof(7, 7, nodes(&leaves)), Ok(None));
}

#[test]
fn every_consistency_proof_is_that_of_the_definition_and_holds() {
    let leaves = many(70);
    let roots: Vec<Hash> = (0..=leaves.len()).map(|size| naive_root(&leaves[..size])).collect();
    for new in 1..=leaves.len() {
        for old in 0..=new {
            let proof = consistency_proof(old as u64, new as u64, nodes(&leaves)).unwrap().unwrap();
            if old > 0 {
                assert_eq!(proof, naive_subproof(old, &leaves[..new], true), "{old} to {new}");
            }
            let (from, to) = ((old as u64, &roots[old]), (new as u64, &roots[new]));
            assert_eq!(verify_consistency(from, to, &proof), Ok(()), "{old} to {new}");
        }
    }
    assert_eq!(consistency_proof(8, 7, nodes(&leaves)), Ok(None));
}

#[test]
fn a_changed_inclusion_proof_proves_nothing() {
    let leaves = many(70);
    for size in 1..=70_u64 {
        let root = naive_root(&leaves[..usize::try_from(size).unwrap()]);
        for at in [0, size / 2, size - 1] {
            let leaf = leaves[usize::try_from(at).unwrap()];
            let proof = inclusion_proof(at, size, nodes(&leaves)).unwrap().unwrap();
            let holds = |leaf, at, size, root, proof: &[Hash]| {
                verify_inclusion(leaf, at, size, root, proof).is_ok()
            };
            assert!(!holds(&[9; 32], at, size, &root, &proof), "another leaf");
            assert!(!holds(&leaf, at, size, &[9; 32], &proof), "another root");
            assert!(!holds(&leaf, size, size, &root, &proof), "no such place");
            assert!(!holds(&leaf, at, 0, &root, &proof), "no tree");
            if size > 1 {
                assert!(!holds(&leaf, (at + 1) % size, size, &root, &proof), "another place");
            }
            assert!(!holds(&leaf, at, size, &root, &[&proof[..], &[root]].concat()), "longer");
            for step in 0..proof.len() {
                let mut changed = proof.clone();
                changed[step][0] ^= 1;
                assert!(!holds(&leaf, at, size, &root, &changed), "step {step}");
                assert!(!holds(&leaf, at, size, &root, &proof[..step]), "shorter");
            }
        }
    }
}

#[test]
fn a_changed_consistency_proof_proves_nothing() {
    let leaves = many(40);
    let roots: Vec<Hash> = (0..=leaves.len()).map(|size| naive_root(&leaves[..size])).collect();
    for new in 1..=leaves.len() {
        for old in 1..=new {
            let proof = consistency_proof(old as u64, new as u64, nodes(&leaves)).unwrap().unwrap();
            let holds = |old_root: &Hash, new_root: &Hash, proof: &[Hash]| {
                verify_consistency((old as u64, old_root), (new as u64, new_root), proof).is_ok()
            };
            let (from, to) = (&roots[old], &roots[new]);
            assert!(!holds(&[9; 32], to, &proof), "another older root");
            assert!(!holds(from, &[9; 32], &proof), "another newer root");
            assert!(!holds(from, to, &[&proof[..], &[*from]].concat()), "longer");
            for step in 0..proof.len() {
                let mut changed = proof.clone();
                changed[step][31] ^= 0x80;
                assert!(!holds(from, to, &changed), "step {step}");
                assert!(!holds(from, to, &proof[..step]), "shorter");
            }
        }
    }
    let backwards = verify_consistency((2, &roots[2]), (1, &roots[1]), &[]);
    assert_eq!(backwards, Err(ProofError::OutOfRange));
    let from_nothing = verify_consistency((0, &[9; 32]), (1, &roots[1]), &[]);
    assert_eq!(from_nothing, Err(ProofError::WrongRoot));
}

#[test]
fn trees_of_the_largest_sizes_are_checked_without_overflow() {
    let hash = [7; 32];
    let proof = vec![hash; 64];
    for size in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1] {
        for at in [0, 1, size / 2, size - 1] {
            assert!(verify_inclusion(&hash, at, size, &hash, &proof).is_err());
            let path: Result<_, ()> = inclusion_proof(at, size, |_, _| Ok(hash));
            let path = path.unwrap().unwrap();
            let root = tree_root(size, |_, _| Ok::<_, ()>(hash)).unwrap();
            // All subtrees are the same here, so only the length has a meaning.
            let checked = verify_inclusion(&hash, at, size, &root, &path);
            assert_ne!(checked, Err(ProofError::WrongLength), "{at} in {size}");
            let proof: Result<_, ()> = consistency_proof(at, size, |_, _| Ok(hash));
            let checked = verify_consistency((at, &hash), (size, &root), &proof.unwrap().unwrap());
            assert_ne!(checked, Err(ProofError::WrongLength), "{at} to {size}");
        }
    }
}
