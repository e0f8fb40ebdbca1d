//! A folder with an authority, a server's and an agent's certificate, and a clock that stands
//! still.

use std::path::PathBuf;
use std::sync::Arc;

use identity::{
    DevCa, Issued, Material, MaterialFiles, Overwrite, ServerIdentity, SpiffeId, TlsError,
    Validity, load_client, server_config,
};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use tempfile::TempDir;

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const DAY: i64 = 86_400;

pub(crate) struct Site {
    folder: TempDir,
    pub(crate) ca: DevCa,
}

impl Site {
    /// Makes a site with `server` on localhost as `spiffe://mas/server`, and agent `helpdesk`.
    pub(crate) fn new() -> Self {
        let site = Self { folder: TempDir::new().unwrap(), ca: DevCa::create("CA", NOW).unwrap() };
        site.ca.save(site.folder.path(), Overwrite::Refuse).unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = site.ca.issue_server(&names, Some(&server_id()), valid()).unwrap();
        site.save("server", &server);
        site.save("helpdesk", &site.ca.issue_agent(&agent_id(), valid()).unwrap());
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn save(&self, name: &str, issued: &Issued) {
        issued.save(self.folder.path(), name, Overwrite::Replace).unwrap();
    }

    /// Returns the files of the server, of trust domain `mas` alone and without revocation lists.
    pub(crate) fn files(&self) -> MaterialFiles {
        let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| self.path(name));
        MaterialFiles::new(cert, key, "mas", ca)
    }

    pub(crate) fn load_server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        server_config(&Material::load(&self.files(), NOW)?)
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let mut config = (*self.load_server().unwrap()).clone();
        config.time_provider = Arc::new(Standing(NOW));
        Arc::new(config)
    }

    /// Loads the pair called `name` at `now`, and connects at [`NOW`].
    pub(crate) fn client(&self, name: &str, server: ServerIdentity, now: i64) -> Arc<ClientConfig> {
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        let (cert, key) = (self.path(&cert), self.path(&key));
        let config = load_client(&self.path("ca.pem"), &cert, &key, server, now).unwrap();
        let mut config = (*config).clone();
        config.time_provider = Arc::new(Standing(NOW));
        Arc::new(config)
    }
}

pub(crate) fn valid() -> Validity {
    Validity::from_days(NOW, 30).unwrap()
}

pub(crate) fn expired() -> Validity {
    Validity { not_before_unix: NOW - 30 * DAY, not_after_unix: NOW - 1 }
}

pub(crate) fn server_id() -> SpiffeId {
    SpiffeId::parse("spiffe://mas/server").unwrap()
}

pub(crate) fn agent_id() -> SpiffeId {
    SpiffeId::parse("spiffe://mas/agent/helpdesk").unwrap()
}

#[derive(Debug)]
pub(crate) struct Standing(pub(crate) i64);

impl TimeProvider for Standing {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}
