//! `palisade cert`: certificates for local work, and a look at any certificate.
//!
//! It is a small authority in a folder for development and tests; a real installation brings its
//! own authority and needs only `cert show`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use identity::{
    CaError, DevCa, FileError, IdPattern, LEAF_DAYS_DEFAULT, OpeningKey, Overwrite, SpiffeId,
    TlsError, Validity,
};
use serde::Serialize;

use crate::clock;
use crate::failure::Failure;
use crate::keyring::{AGENT_PATH, LOOPBACK_NAMES, OPERATOR_PATH, TRUST_DOMAIN, gate_id};
use crate::output::Output;

mod show;

/// What `palisade cert` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make an authority: `ca.pem`, which others trust, and `ca.key`, which stays here.
    Ca(CaArgs),
    /// Issue a certificate for the gate itself.
    Server(ServerArgs),
    /// Issue certificates for agents.
    Agent(AgentArgs),
    /// Issue a certificate for an operator, who may use `palisade agents` and `palisade dlq`.
    Operator(OperatorArgs),
    /// Show whose a certificate is, how long it is valid, and whether the gate would take it.
    Show(show::ShowArgs),
}

#[derive(Debug, clap::Args)]
struct CaArgs {
    /// The folder to write to; it is made if need be.
    #[arg(long)]
    dir: PathBuf,
    /// The authority's common name.
    #[arg(long)]
    name: Option<String>,
    /// The trust domain that the default name mentions.
    #[arg(long, default_value = TRUST_DOMAIN)]
    trust_domain: String,
    /// Replace an authority that is there: every certificate that it issued ends with it.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, clap::Args)]
struct ServerArgs {
    #[command(flatten)]
    issue: IssueArgs,
    /// A DNS name under which agents reach the gate; may be repeated. Without `--dns` and `--ip`
    /// these are `localhost` and `127.0.0.1`.
    #[arg(long)]
    dns: Vec<String>,
    /// An IP address under which agents reach the gate; may be repeated.
    #[arg(long)]
    ip: Vec<std::net::IpAddr>,
    /// The SPIFFE ID of the gate, for clients that pin it by `--server-id` [default:
    /// `spiffe://TRUST_DOMAIN/gate/NAME`]
    #[arg(long, value_name = "ID")]
    spiffe_id: Option<SpiffeId>,
    #[command(flatten)]
    domain: DomainArgs,
    /// The files' name.
    #[arg(long, default_value = "server")]
    name: String,
}

#[derive(Debug, clap::Args)]
struct AgentArgs {
    /// The agents' ids: 1 to 64 letters, digits, `_` and `-`.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    issue: IssueArgs,
    #[command(flatten)]
    domain: DomainArgs,
    /// Also make a key pair for encrypted fields: ID.seal opens them; the public key is printed.
    #[arg(long)]
    seal: bool,
}

#[derive(Debug, clap::Args)]
struct OperatorArgs {
    /// The operator's name: 1 to 64 letters, digits, `_` and `-`.
    name: String,
    #[command(flatten)]
    issue: IssueArgs,
    #[command(flatten)]
    domain: DomainArgs,
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    /// The folder with the authority; the certificate is written there too.
    #[arg(long)]
    dir: PathBuf,
    /// How long the certificate is valid, in days.
    #[arg(long, default_value_t = LEAF_DAYS_DEFAULT)]
    days: u32,
    /// Replace files that are there.
    #[arg(long)]
    overwrite: bool,
}

impl IssueArgs {
    fn authority(&self) -> anyhow::Result<DevCa> {
        DevCa::load(&self.dir).map_err(|error| missing_authority(error, &self.dir))
    }

    fn validity(&self) -> anyhow::Result<Validity> {
        Ok(Validity::from_days(clock::unix_seconds(), self.days)?)
    }

    fn overwrite(&self) -> Overwrite {
        overwrite(self.overwrite)
    }
}

#[derive(Debug, clap::Args)]
struct DomainArgs {
    /// The trust domain, as under `server.spiffe` in the configuration.
    #[arg(long, default_value = TRUST_DOMAIN)]
    trust_domain: String,
}

/// What was made, for programs.
#[derive(Debug, Serialize)]
struct Made {
    name: String,
    certificate: PathBuf,
    key: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opening_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealing_key: Option<String>,
}

impl Made {
    fn new(dir: &Path, name: &str, spiffe_id: Option<&SpiffeId>) -> Self {
        Self {
            name: name.to_owned(),
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}.key")),
            spiffe_id: spiffe_id.map(ToString::to_string),
            opening_key: None,
            sealing_key: None,
        }
    }

    fn print(&self, out: &Output) -> anyhow::Result<()> {
        if out.json {
            return Ok(out.json(self)?);
        }
        let id = self.spiffe_id.as_deref().unwrap_or(&self.name);
        out.line(&format!("{id}: {} {}", self.certificate.display(), self.key.display()))?;
        if let (Some(file), Some(key)) = (&self.opening_key, &self.sealing_key) {
            out.line(&format!("  opens encrypted fields: {}", file.display()))?;
            out.line(&format!("  sealing_key: {key}"))?;
        }
        Ok(())
    }
}

/// Makes or shows certificates.
#[expect(clippy::unused_async, reason = "all verbs have one shape")]
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Ca(args) => authority(&args)?.print(out)?,
        Action::Server(args) => server(&args)?.print(out)?,
        Action::Agent(args) => {
            for id in &args.ids {
                agent(id, &args)?.print(out)?;
            }
        }
        Action::Operator(args) => operator(&args)?.print(out)?,
        Action::Show(args) => return show::run(&args, out),
    }
    Ok(ExitCode::SUCCESS)
}

fn authority(args: &CaArgs) -> anyhow::Result<Made> {
    let default = || format!("Palisade development CA for {}", args.trust_domain);
    let name = args.name.clone().unwrap_or_else(default);
    let authority = DevCa::create(&name, clock::unix_seconds())?;
    authority.save(&args.dir, overwrite(args.overwrite)).map_err(coded)?;
    Ok(Made::new(&args.dir, "ca", None))
}

fn server(args: &ServerArgs) -> anyhow::Result<Made> {
    let mut names = args.dns.clone();
    names.extend(args.ip.iter().map(ToString::to_string));
    if names.is_empty() {
        names = LOOPBACK_NAMES.map(str::to_owned).to_vec();
    }
    let authority = args.issue.authority()?;
    let id = match &args.spiffe_id {
        Some(id) => id.clone(),
        None => gate_id(&args.domain.trust_domain, &args.name)?,
    };
    let issued = authority.issue_server(&names, Some(&id), args.issue.validity()?)?;
    issued.save(&args.issue.dir, &args.name, args.issue.overwrite()).map_err(coded)?;
    Ok(Made::new(&args.issue.dir, &args.name, Some(&id)))
}

fn agent(name: &str, args: &AgentArgs) -> anyhow::Result<Made> {
    let id = IdPattern::new(&args.domain.trust_domain, AGENT_PATH)?.format(name)?;
    let issued = args.issue.authority()?.issue_agent(&id, args.issue.validity()?)?;
    issued.save(&args.issue.dir, name, args.issue.overwrite()).map_err(coded)?;
    let mut made = Made::new(&args.issue.dir, name, Some(&id));
    if args.seal {
        let opening = OpeningKey::generate()?;
        let path = args.issue.dir.join(format!("{name}.seal"));
        opening.save(&path, args.issue.overwrite())?;
        made.opening_key = Some(path);
        made.sealing_key = Some(opening.sealing_key().to_string());
    }
    Ok(made)
}

fn operator(args: &OperatorArgs) -> anyhow::Result<Made> {
    let id = IdPattern::new(&args.domain.trust_domain, OPERATOR_PATH)?.format(&args.name)?;
    let issued = args.issue.authority()?.issue_agent(&id, args.issue.validity()?)?;
    issued.save(&args.issue.dir, &args.name, args.issue.overwrite()).map_err(coded)?;
    Ok(Made::new(&args.issue.dir, &args.name, Some(&id)))
}

fn overwrite(replace: bool) -> Overwrite {
    if replace { Overwrite::Replace } else { Overwrite::Refuse }
}

/// Says what to do if there is no authority in the folder yet.
fn missing_authority(error: CaError, dir: &Path) -> anyhow::Error {
    if matches!(error, CaError::Tls(TlsError::File(FileError::Missing { .. }))) {
        let dir = dir.display();
        let text = format!("`{dir}` has no authority: run `palisade cert ca --dir {dir}` first");
        return Failure::failed("ca_missing", text).into();
    }
    error.into()
}

fn coded(error: CaError) -> anyhow::Error {
    if let CaError::File(file @ FileError::Exists { .. }) = &error {
        return Failure::failed(file.code(), format!("{file} with `--overwrite`")).into();
    }
    error.into()
}
