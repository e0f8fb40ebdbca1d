//! `palisade top` in a real terminal, and `palisade trace`, against a gate that runs.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Running, command, json as value, run, said};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pseudo-terminal with a program on it, and its screen.
struct Screen {
    child: Child,
    master: File,
    slave: OwnedFd,
    output: Receiver<Vec<u8>>,
    parser: vt100::Parser,
}

impl Screen {
    /// Starts the program as the leader of a session of its own, which the terminal controls.
    fn start(folder: &Path, args: &[&str], (columns, rows): (u16, u16)) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&name, flags, Mode::empty()).unwrap();
        resize(&master, columns, rows);
        let program = command(folder, args);
        let mut setsid = std::process::Command::new("setsid");
        setsid.args(["--ctty", "--wait"]).arg(program.get_program()).args(program.get_args());
        setsid.current_dir(folder).env("TERM", "xterm-256color");
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => setsid.env(name, value),
                None => setsid.env_remove(name),
            };
        }
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = setsid.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let master = File::from(master);
        let mut reading = master.try_clone().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(count) = reading.read(&mut buffer) {
                if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            master,
            slave,
            output,
            parser: vt100::Parser::new(nonzero(rows), nonzero(columns), 0),
        }
    }

    /// Waits until the screen is as it should be, and returns its text.
    fn until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        loop {
            let text = self.parser.screen().contents();
            if is_so(&text) {
                return text;
            }
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.parser.process(&bytes),
                Err(_over) => panic!("{what} was never shown:\n{text}"),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(self.slave.as_fd()).unwrap().local_modes;
        !modes.contains(LocalModes::ICANON) && !modes.contains(LocalModes::ECHO)
    }

    /// Waits for the end and checks that the terminal is as it was.
    fn ended(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(200)) {
            self.parser.process(&bytes);
        }
        let modes = tcgetattr(self.slave.as_fd()).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "{modes:?}");
        let screen = self.parser.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor());
        (code, screen.contents())
    }
}

fn nonzero(size: u16) -> NonZeroU16 {
    NonZeroU16::new(size).unwrap()
}

fn resize(terminal: &impl std::os::fd::AsFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

fn place() -> (TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let gate = Running::start(folder.path(), &["dev", "--listen", "127.0.0.1:0"]);
    (folder, gate)
}

fn send(folder: &Path, addr: &str, target: &str) -> Value {
    let args = ["send", "--as", "alice", target, "note", "{}", "--addr", addr, "--json"];
    value(&run(folder, &args))
}

/// Returns the number behind a word on the screen.
fn number(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(word))?;
    line.split_once(word)?.1.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_terminal_shows_the_gate_as_it_changes_and_is_given_back() {
    let (folder, gate) = place();
    let args = ["top", "--addr", &gate.addr, "--interval", "100ms"];
    let mut screen = Screen::start(folder.path(), &args, (80, 24));
    let text = screen.until("an agent", |text| text.contains("alice") && text.contains("ready"));
    assert!(screen.is_raw() && screen.parser.screen().alternate_screen());
    let before = number(&text, "ALLOWED").unwrap_or(0);
    send(folder.path(), &gate.addr, "bob");
    screen.until("a decision more", |text| {
        number(text, "ALLOWED").is_some_and(|count| count > before) && text.contains("queued 1 ")
    });
    send(folder.path(), &gate.addr, "carol");
    screen.until("the refusal", |text| text.contains("alice > carol"));
    screen.press("?");
    screen.until("the help", |text| text.contains("shift-tab"));
    screen.press("x");
    resize(&screen.master, 120, 40);
    screen.parser.screen_mut().set_size(nonzero(40), nonzero(120));
    screen.until("the larger screen", |text| {
        text.lines().any(|line| line.trim_end().chars().count() > 110)
    });
    screen.press("q");
    let (code, text) = screen.ended();
    assert_eq!((code, text.contains("alice")), (0, false), "{text}");
}

#[test]
fn the_terminal_is_given_back_after_ctrl_c_and_a_signal() {
    let (folder, gate) = place();
    let args = ["top", "--addr", &gate.addr];
    let mut screen = Screen::start(folder.path(), &args, (80, 24));
    screen.until("the gate", |text| text.contains("ready"));
    screen.press("\u{3}");
    assert_eq!(screen.ended().0, 0);
    let mut screen = Screen::start(folder.path(), &args, (80, 24));
    screen.until("the gate", |text| text.contains("ready"));
    let leader = rustix::termios::tcgetpgrp(&screen.master).unwrap();
    rustix::process::kill_process(leader, rustix::process::Signal::TERM).unwrap();
    assert_eq!(screen.ended().0, 0);
}

#[test]
fn a_gate_that_goes_is_said_and_one_that_comes_back_is_shown() {
    let (folder, gate) = place();
    let addr = gate.addr.clone();
    let args = ["top", "--addr", &addr, "--interval", "100ms"];
    let mut screen = Screen::start(folder.path(), &args, (80, 24));
    screen.until("the gate", |text| text.contains("ready"));
    assert_eq!(gate.stop(), 0);
    screen.until("the loss", |text| text.contains("NO CONNECTION"));
    let gate = Running::start(folder.path(), &["dev", "--listen", &addr]);
    screen.until("the gate again", |text| text.contains("ready"));
    screen.press("q");
    assert_eq!(screen.ended().0, 0);
    drop(gate);
}

#[test]
fn without_a_terminal_it_prints_one_picture_or_says_how() {
    let (folder, gate) = place();
    let top = |more: &[&str]| {
        let args = [&["top", "--addr", &gate.addr, "--interval", "100ms"], more].concat();
        run(folder.path(), &args)
    };
    let (code, text, errors) = said(&top(&[]));
    assert_eq!((code, text.as_str()), (2, ""));
    assert!(errors.contains("--once"), "{errors}");
    let (code, text, errors) = said(&top(&["--once"]));
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(text.contains("alice") && text.contains("agents 0/3"), "{text}");
    let picture = value(&top(&["--once", "--json"]));
    assert_eq!((&picture["ready"], &picture["agents_registered"]), (&json!(true), &json!(3)));
    let refused = value(&top(&["--once", "--json", "--as", "alice"]));
    assert_eq!(refused["error"]["code"], "wrong_principal");
    let (code, _, errors) = said(&top(&["--interval", "1ms"]));
    assert_eq!(code, 2, "{errors}");
}

#[test]
fn the_way_of_a_message_is_told_step_by_step() {
    let (folder, gate) = place();
    let sent = send(folder.path(), &gate.addr, "bob");
    let id = sent["message_id"].as_str().unwrap();
    let listen = ["listen", "--as", "bob", "--count", "1", "--addr", &gate.addr];
    assert!(run(folder.path(), &listen).status.success());
    let trace =
        |more: &[&str]| run(folder.path(), &[&["trace", id, "--addr", &gate.addr], more].concat());
    let way = value(&trace(&["--json"]));
    assert_eq!((&way["sender_id"], &way["target_id"]), (&json!("alice"), &json!("bob")));
    assert_eq!((&way["decision"], &way["state"]), (&json!("ALLOWED"), &json!("acknowledged")));
    let steps: Vec<_> = way["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    for step in ["validate", "inspect", "commit", "message.send", "delivered", "acknowledged"] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
    let (code, text, _) = said(&trace(&[]));
    assert_eq!(code, 0);
    let rows: Vec<_> = text.lines().filter(|line| line.contains('+')).collect();
    assert!(rows.len() >= 10 && text.contains("alice"), "{text}");
    let unknown = ["trace", "00000000000000000000000000000000", "--addr", &gate.addr, "--json"];
    let output = run(folder.path(), &unknown);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(value(&output)["error"]["code"], "not_found");
}
