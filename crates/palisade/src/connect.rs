//! How verbs connect to a gate: where it is, as whom, and what a failure looks like.
//!
//! It makes no certificates; errors say which command does.

use std::num::ParseFloatError;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use palisade_client::{
    Client, Endpoint, Error, OpeningKey, Operator, Options, Receive, SOCKET_VARIABLE,
    ServerIdentity, SpiffeId,
};
use serde_json::json;

use crate::configuration::DEV_FOLDER;
use crate::failure::{EXIT_FAILED, Failure};
use crate::output::Output;
use crate::telemetry;

#[cfg(test)]
mod tests;

/// Where the gate is and who asks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connect {
    /// The gate's address.
    #[arg(long, global = true, env = "PALISADE_ADDR", default_value = "127.0.0.1:50051")]
    addr: String,
    /// Whose certificate to use: NAME.pem and NAME.key in the folder of `--dir`.
    #[arg(long = "as", global = true, value_name = "NAME")]
    name: Option<String>,
    /// A folder made by `palisade dev` or `palisade cert` [default: .palisade]
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    /// The authority of the gate's certificate, instead of DIR/ca.pem.
    #[arg(long, global = true, value_name = "FILE", env = "PALISADE_CA")]
    ca: Option<PathBuf>,
    /// The own certificate, instead of DIR/NAME.pem.
    #[arg(long, global = true, value_name = "FILE", env = "PALISADE_CERT")]
    cert: Option<PathBuf>,
    /// The key of the own certificate, instead of DIR/NAME.key.
    #[arg(long, global = true, value_name = "FILE", env = "PALISADE_KEY")]
    key: Option<PathBuf>,
    /// Take identity and authorities from this SPIFFE Workload API instead of files; without a
    /// value from the one that the variable `SPIFFE_ENDPOINT_SOCKET` names.
    #[arg(long, global = true, value_name = "SOCKET", num_args = 0..=1, default_missing_value = "")]
    #[arg(conflicts_with_all = ["name", "ca", "cert", "key"])]
    workload_api: Option<String>,
    /// The name in the gate's certificate, where it is not the host of the address.
    #[arg(long, global = true, value_name = "HOST")]
    server_name: Option<String>,
    /// Recognise the gate by this SPIFFE ID instead of its name.
    #[arg(long, global = true, value_name = "ID")]
    server_id: Option<SpiffeId>,
    /// Export traces of what this agent does as `gateway.telemetry` of this configuration says;
    /// variables such as `GATEWAY_TELEMETRY__ENABLED` do so without a file.
    #[arg(long, global = true, value_name = "FILE")]
    telemetry: Option<PathBuf>,
}

impl Connect {
    /// Connects as an agent.
    ///
    /// # Errors
    /// Returns which argument or file is missing, or why there is no session.
    pub(crate) async fn client(&self, adjust: impl FnOnce(&mut Options)) -> anyhow::Result<Client> {
        let mut options = self.options(None)?;
        options.tracer = telemetry::start(self.telemetry.as_deref())?;
        adjust(&mut options);
        Ok(Client::connect(options).await?)
    }

    /// Connects as an agent that will receive no message, so that it need not register a key.
    ///
    /// # Errors
    /// Returns which argument or file is missing, or why there is no session.
    pub(crate) async fn sender(&self) -> anyhow::Result<Client> {
        self.client(|options| {
            options.receive = Receive::Replies;
            options.opening_key = None;
        })
        .await
    }

    /// Connects as an operator.
    ///
    /// # Errors
    /// Returns which argument or file is missing, or why there is no connection.
    pub(crate) async fn operator(&self) -> anyhow::Result<Operator> {
        Ok(Operator::connect(self.options(Some(OPERATOR))?).await?)
    }

    /// Returns where the gate is.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    fn options(&self, default_name: Option<&str>) -> anyhow::Result<Options> {
        if let Some(socket) = &self.workload_api {
            let mut options = Options::from_workload_api(&self.addr, endpoint(socket)?);
            self.recognise(&mut options);
            return Ok(options);
        }
        let name = self.name.as_deref().or(default_name);
        let ca = match &self.ca {
            Some(ca) => ca.clone(),
            None => self.folder()?.join("ca.pem"),
        };
        let (cert, key) = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (None, None) => self.pair(name, default_name.is_some())?,
            (Some(_), None) => return Err(usage("key_missing", "`--cert` needs `--key` with it")),
            (None, Some(_)) => return Err(usage("cert_missing", "`--key` needs `--cert` with it")),
        };
        let seal = cert.with_extension("seal");
        let mut options = Options::new(&self.addr, ca, cert, key);
        self.recognise(&mut options);
        if default_name.is_none() && seal.exists() {
            options.opening_key =
                Some(OpeningKey::load(&seal).map_err(|error| Failure::usage(error.code(), error))?);
        }
        Ok(options)
    }

    /// Says how the gate is recognised.
    fn recognise(&self, options: &mut Options) {
        options.server_name.clone_from(&self.server_name);
        if let Some(id) = &self.server_id {
            options.server = ServerIdentity::Spiffe(id.clone());
        }
    }

    /// Finds the certificate and key of a name in the folder.
    fn pair(&self, name: Option<&str>, operator: bool) -> anyhow::Result<(PathBuf, PathBuf)> {
        let Some(name) = name else {
            let what = "say as whom: `--as NAME`, or `--cert FILE --key FILE`";
            return Err(usage("name_missing", what));
        };
        let folder = self.folder()?;
        let [cert, key] = ["pem", "key"].map(|end| folder.join(format!("{name}.{end}")));
        if !cert.exists() {
            let kind = if operator { "operator" } else { "agent" };
            let (cert, folder) = (cert.display(), folder.display());
            let what = format!(
                "there is no `{cert}`: make it with `palisade cert {kind} {name} --dir {folder}`"
            );
            return Err(usage("cert_missing", &what));
        }
        Ok((cert, key))
    }

    fn folder(&self) -> anyhow::Result<PathBuf> {
        let folder = self.dir.clone().unwrap_or_else(|| PathBuf::from(DEV_FOLDER));
        if folder.is_dir() {
            return Ok(folder);
        }
        let what = format!(
            "there is no folder `{}`: run `palisade dev` here, name another with `--dir`, or give \
             `--ca`, `--cert` and `--key`",
            folder.display()
        );
        Err(usage("dir_missing", &what))
    }
}

/// Ends a verb: a refusal of the gate is printed with all that the gate said about it.
///
/// # Errors
/// Hands on what is no refusal, with its code.
pub(crate) fn conclude(result: anyhow::Result<ExitCode>, out: &Output) -> anyhow::Result<ExitCode> {
    let error = match result {
        Ok(code) => return Ok(code),
        Err(error) => error,
    };
    let Some(cause) = error.downcast_ref::<Error>() else { return Err(error) };
    if let Error::Refused(refused) = cause {
        if out.json {
            out.json(&json!({ "error": {
                "code": cause.code(),
                "message": refused.to_string(),
                "decision": refused.decision,
                "reason": refused.reason,
                "retry_after_ms": refused.retry_after.map(|wait| wait.as_millis()),
            }}))?;
            return Ok(ExitCode::from(EXIT_FAILED));
        }
        let again =
            refused.retry_after.map(|wait| format!(" [retry after {} ms]", wait.as_millis()));
        let message = format!("{refused}{}", again.unwrap_or_default());
        return Err(Failure::failed(cause.code(), message).into());
    }
    if matches!(cause, Error::Invalid(_) | Error::Tls(_)) {
        return Err(Failure::usage(cause.code(), cause).into());
    }
    Err(Failure::failed(cause.code(), cause).into())
}

/// Parses a time such as `5s`, `1.5s`, `250ms` or `2m`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write a time such as `5s`, `250ms` or `2m`".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|error: ParseFloatError| error.to_string())?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|time| (Duration::from_millis(1)..=DAY).contains(time))
        .ok_or_else(|| "a time is 1 ms to 24 h".to_owned())
}

/// Reads the address of a Workload API: the one given, or else the environment's.
fn endpoint(given: &str) -> anyhow::Result<Endpoint> {
    let refuse = |what: String| usage("workload_api", &what);
    let (place, text) = if given.is_empty() {
        let text = std::env::var(SOCKET_VARIABLE).map_err(|_unset| {
            refuse(format!("`--workload-api` needs a socket, or one in {SOCKET_VARIABLE}"))
        })?;
        (SOCKET_VARIABLE, text)
    } else {
        ("--workload-api", given.to_owned())
    };
    Endpoint::parse(&text).map_err(|cause| refuse(format!("`{place}` {cause}")))
}

fn usage(code: &str, message: &str) -> anyhow::Error {
    Failure::usage(code, message).into()
}

/// Whose certificate the operator's verbs use; `palisade dev` makes it.
const OPERATOR: &str = "operator";
/// LIMIT: what a request may wait.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
