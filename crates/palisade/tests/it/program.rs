//! Starts the program and collects what it says.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// Prepares a command in a folder, without what the environment says about gates.
pub(crate) fn command<A: AsRef<OsStr>>(folder: &Path, args: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PALISADE_") || text.starts_with("GATEWAY_") {
            command.env_remove(&name);
        }
    }
    command.current_dir(folder).args(args).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run<A: AsRef<OsStr>>(folder: &Path, args: &[A]) -> Output {
    command(folder, args).output().unwrap()
}

/// Runs the program with text on its standard input.
pub(crate) fn run_with_input(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut command = command(folder, args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Returns the exit code and what was printed, as text.
pub(crate) fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Returns the one JSON value that was printed.
pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {:?}", said(output)))
}

/// A gate that runs until it is told to end, and ends with the test.
pub(crate) struct Running {
    child: Child,
    pub(crate) addr: String,
}

impl Running {
    /// Starts a verb that serves and waits for its line.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = command(folder, args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        // The pipe stays open: further lines of `dev` must not meet a closed one.
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        child.stdout = Some(stdout.into_inner());
        let addr = line.trim().strip_prefix("palisade listening on ");
        let addr = addr.unwrap_or_else(|| panic!("no address: {line}")).to_owned();
        Self { child, addr }
    }

    /// Returns the number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a stop there is nothing to kill.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
