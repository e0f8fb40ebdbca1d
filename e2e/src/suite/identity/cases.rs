//! The certificates that are tried, as data: name, how made, what must come of it.
//!
//! A case is named after its rule: `X1` to `X13` are those for an X.509 SVID that
//! `docs/security.md` lists, `ID` is the grammar of SPIFFE IDs. A case that must be served stands
//! beside each family, so that the refusals are not those of a gate that refuses everything. Each
//! refusal has its cause, so that they are not those of another rule either.

use anyhow::Result;

use super::certificate::{Authority, Draft, uri};
use super::connect::Shown;
use super::der::Der;
use super::keys::Key;
use crate::site::unix_now;

mod chain;
mod domains;
pub(super) mod grammar;
mod names;
mod usage;

/// How a certificate is made; done right before it is shown, so that its dates are those of now.
type Made = Box<dyn Fn(&Mint) -> Result<Shown> + Send + Sync>;

/// One certificate and what must come of showing it.
pub(super) struct Case {
    pub(super) id: String,
    pub(super) made: Made,
    pub(super) expected: Expected,
}

/// What must come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The call is served, and nothing is on record against it.
    Served,
    /// The call is answered `UNAUTHENTICATED` with this code; the record has it too, and names
    /// this cause.
    Unauthenticated(&'static str, &'static str),
    /// The handshake fails; the record names this cause.
    NoHandshake(&'static str),
}

/// What certificates are made with.
#[derive(Debug)]
pub(super) struct Mint {
    /// The key of every client that needs none of its own.
    pub(super) key: Key,
    /// An authority that the gate trusts.
    pub(super) root: Authority,
    /// An authority that the gate trusts and that signs with RSA.
    pub(super) rsa_root: Authority,
    /// An authority that the gate trusts, with a URI constraint in the root itself.
    pub(super) constrained_root: Authority,
    /// A good authority below the root.
    pub(super) intermediate: Authority,
    /// The authority of another trust domain that the gate trusts too.
    pub(super) partner_root: Authority,
}

impl Mint {
    pub(super) fn new() -> Result<Self> {
        let now = unix_now();
        let root = Draft::authority(now, "root").root(Key::ecdsa()?)?;
        let intermediate = Draft::authority(now, "intermediate").below(&root)?;
        let constrained = Draft::authority(now, "constrained root");
        let constrained = constrained.with(super::certificate::permitted(&uri("other.org")));
        Ok(Self {
            key: Key::ecdsa()?,
            rsa_root: Draft::authority(now, "RSA root").root(Key::rsa_2048()?)?,
            constrained_root: constrained.root(Key::ecdsa()?)?,
            partner_root: Draft::authority(now, "partner root").root(Key::ecdsa()?)?,
            root,
            intermediate,
        })
    }

    /// Begins with a good leaf of the agent.
    pub(super) fn leaf(&self) -> Draft {
        self.named(&[uri(ID)])
    }

    /// Begins with a good leaf of any names.
    #[expect(clippy::unused_self, reason = "leaves are made by the mint")]
    pub(super) fn named(&self, names: &[Der]) -> Draft {
        Draft::leaf(unix_now(), names)
    }

    /// Begins with a good authority.
    #[expect(clippy::unused_self, reason = "authorities are made by the mint")]
    pub(super) fn authority(&self) -> Draft {
        Draft::authority(unix_now(), "below")
    }

    /// Has the root sign a leaf.
    pub(super) fn show(&self, leaf: &Draft) -> Result<Shown> {
        self.show_by(leaf, &self.root)
    }

    /// Has some authority sign a leaf, which is shown with all that leads to it.
    pub(super) fn show_by(&self, leaf: &Draft, by: &Authority) -> Result<Shown> {
        let chain = [vec![leaf.sign(&self.key, by)?], by.chain.clone()].concat();
        Ok(Shown { chain, key: self.key.clone() })
    }

    /// Shows a good leaf below an authority that is itself below the root.
    pub(super) fn show_below(&self, authority: &Draft) -> Result<Shown> {
        self.show_by(&self.leaf(), &authority.below(&self.root)?)
    }
}

/// Returns all of them.
pub(super) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    names::add(&mut all);
    usage::add(&mut all);
    chain::add(&mut all);
    domains::add(&mut all);
    grammar::add(&mut all);
    all
}

fn case(
    id: &str,
    expected: Expected,
    made: impl Fn(&Mint) -> Result<Shown> + Send + Sync + 'static,
) -> Case {
    Case { id: id.to_owned(), made: Box::new(made), expected }
}

/// A leaf by the root with these alternative names.
fn of_names(id: &str, names: Vec<Der>, expected: Expected) -> Case {
    case(id, expected, move |mint| mint.show(&mint.named(&names)))
}

/// The agent of most cases, which is allowed to ask.
pub(super) const ID: &str = "spiffe://mas/agent/alice";
/// An agent of another trust domain, which is allowed to ask.
pub(super) const PARTNER: &str = "spiffe://other.org/billing";
pub(super) const PARTNER_DOMAIN: &str = "other.org";
