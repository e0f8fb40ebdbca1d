//! An authority with certificates and keys in a folder: makes what is missing.
//!
//! It never overwrites; whoever wants a certificate anew deletes the old one or uses
//! `palisade cert`.

use std::path::{Path, PathBuf};

use audit::KeyKind;
use identity::{
    DevCa, IdPattern, Issued, LEAF_DAYS_DEFAULT, OpeningKey, Overwrite, SpiffeId, Validity,
};
use palisade_client::Options;

use crate::clock;
use crate::verbs::audit::key;

/// Makes and finds certificates in one folder.
#[derive(Debug)]
pub(crate) struct Keyring {
    folder: PathBuf,
    authority: DevCa,
    validity: Validity,
}

impl Keyring {
    /// Opens the folder; makes it and its authority if they are missing.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be written or holds a damaged authority.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let now = clock::unix_seconds();
        let authority = if folder.join("ca.pem").exists() {
            DevCa::load(folder)?
        } else {
            let authority = DevCa::create("Palisade development CA", now)?;
            authority.save(folder, Overwrite::Refuse)?;
            authority
        };
        let validity = Validity::from_days(now, LEAF_DAYS_DEFAULT)?;
        Ok(Self { folder: folder.to_owned(), authority, validity })
    }

    /// Makes `server.pem` for the names under which a gate on this machine is reached.
    ///
    /// # Errors
    /// Returns an error if the files cannot be written.
    pub(crate) fn server(&self) -> anyhow::Result<()> {
        let names = LOOPBACK_NAMES.map(str::to_owned);
        let id = gate_id(TRUST_DOMAIN, "server")?;
        self.make("server", || Ok(self.authority.issue_server(&names, Some(&id), self.validity)?))
    }

    /// Makes an agent's certificate and the key that opens what is encrypted to it.
    ///
    /// # Errors
    /// Returns an error if the name is no agent's or the files cannot be written.
    pub(crate) fn agent(&self, name: &str) -> anyhow::Result<()> {
        self.client(name, AGENT_PATH)?;
        let opening = self.opening_file(name);
        if !opening.exists() {
            OpeningKey::generate()?.save(&opening, Overwrite::Refuse)?;
        }
        Ok(())
    }

    /// Makes an operator's certificate.
    ///
    /// # Errors
    /// Returns an error if the name is no operator's or the files cannot be written.
    pub(crate) fn operator(&self, name: &str) -> anyhow::Result<()> {
        self.client(name, OPERATOR_PATH)
    }

    /// Makes the key that signs checkpoints of the audit log.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(crate) fn audit_key(&self) -> anyhow::Result<()> {
        let file = self.folder.join(AUDIT_KEY);
        if !file.exists() {
            key::make(&file, KeyKind::Log, None)?;
        }
        Ok(())
    }

    /// Says how to connect to a gate as one of the names here.
    ///
    /// # Errors
    /// Returns an error if the name has an opening key that cannot be read.
    pub(crate) fn options(&self, addr: &str, name: &str) -> anyhow::Result<Options> {
        let [cert, key] = ["pem", "key"].map(|end| self.folder.join(format!("{name}.{end}")));
        let mut options = Options::new(addr, self.folder.join("ca.pem"), cert, key);
        let opening = self.opening_file(name);
        if opening.exists() {
            options.opening_key = Some(OpeningKey::load(&opening)?);
        }
        Ok(options)
    }

    fn opening_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.seal"))
    }

    fn client(&self, name: &str, path: &str) -> anyhow::Result<()> {
        let id: SpiffeId = IdPattern::new(TRUST_DOMAIN, path)?.format(name)?;
        self.make(name, || Ok(self.authority.issue_agent(&id, self.validity)?))
    }

    fn make(
        &self,
        name: &str,
        issue: impl FnOnce() -> anyhow::Result<Issued>,
    ) -> anyhow::Result<()> {
        if !self.folder.join(format!("{name}.pem")).exists() {
            issue()?.save(&self.folder, name, Overwrite::Refuse)?;
        }
        Ok(())
    }
}

/// The defaults of the configuration under `server.spiffe`.
pub(crate) const TRUST_DOMAIN: &str = "mas";
pub(crate) const AGENT_PATH: &str = "/agent/{agent_id}";
pub(crate) const OPERATOR_PATH: &str = "/operator/{operator}";
/// What the key is called that signs checkpoints.
pub(crate) const AUDIT_KEY: &str = "audit.key";
/// Under which names a gate on this machine is reached.
pub(crate) const LOOPBACK_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Returns the SPIFFE ID of a gate whose certificate is called `name`.
///
/// # Errors
/// Returns an error if the trust domain or the name cannot stand in an ID.
pub(crate) fn gate_id(trust_domain: &str, name: &str) -> anyhow::Result<SpiffeId> {
    Ok(SpiffeId::parse(&format!("spiffe://{trust_domain}/gate/{name}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_kept_and_what_is_missing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(folder.path()).unwrap();
        keyring.agent("alice").unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let before = [read("ca.pem"), read("alice.pem"), read("alice.seal")];
        let keyring = Keyring::open(folder.path()).unwrap();
        keyring.agent("alice").unwrap();
        keyring.server().unwrap();
        keyring.operator("operator").unwrap();
        assert_eq!(before, [read("ca.pem"), read("alice.pem"), read("alice.seal")]);
        assert!(folder.path().join("server.pem").exists());
        assert!(keyring.options("localhost:1", "alice").unwrap().opening_key.is_some());
        assert!(keyring.options("localhost:1", "operator").unwrap().opening_key.is_none());
    }
}
