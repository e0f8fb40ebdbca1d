//! Where identity and trust come from: files or the Workload API, alike to the rest of the server.

use std::sync::Arc;

use gate::Gate;
use tokio::sync::watch;

use crate::config::{Server, TlsSource};
use crate::reload::TlsFiles;
use crate::serve::ServeError;
use crate::trust::InForce;
use crate::workload_api::WorkloadApi;

/// What keeps the material in force up to date.
pub(crate) enum Source {
    Files(Box<TlsFiles>),
    WorkloadApi(Box<WorkloadApi>),
}

impl Source {
    /// Takes the first material.
    pub(crate) async fn open(server: &Server, now_unix: i64) -> Result<Self, ServeError> {
        match &server.tls.source {
            TlsSource::Files(files) => {
                Ok(Self::Files(Box::new(TlsFiles::load(server, files, now_unix)?)))
            }
            TlsSource::WorkloadApi(endpoint) => {
                let api = WorkloadApi::open(server, endpoint, now_unix).await?;
                Ok(Self::WorkloadApi(Box::new(api)))
            }
        }
    }

    /// Returns what is in force, now and later.
    pub(crate) fn in_force(&self) -> watch::Receiver<InForce> {
        match self {
            Self::Files(files) => files.in_force(),
            Self::WorkloadApi(api) => api.in_force(),
        }
    }

    /// Keeps it up to date until `closing` becomes true.
    pub(crate) async fn follow(self, gate: Arc<Gate>, closing: watch::Receiver<bool>) {
        match self {
            Self::Files(files) => files.follow(gate, closing).await,
            Self::WorkloadApi(api) => api.follow(gate, closing).await,
        }
    }
}
