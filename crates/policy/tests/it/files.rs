//! How policy files are read: bounded, once, and as a whole.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use policy::{Document, Fault, FaultCode, Sources};

fn load(paths: &[&Path]) -> Result<Document, Vec<Fault>> {
    Document::load(&Sources(paths.iter().map(|path| path.to_path_buf()).collect()))
}

fn code(paths: &[&Path]) -> FaultCode {
    load(paths).unwrap_err()[0].code
}

#[test]
fn a_folder_is_read_in_the_order_of_its_names_without_tests() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("20-b.yaml", "roles:\n  b: { inherits: [a] }\n");
    write("10-a.yml", "\u{feff}roles:\n  a: {}\n");
    write("30-c.cedar", "");
    write("10-a.test.yaml", "not: [a, policy");
    write(".hidden.yaml", "not: [a, policy");
    write("notes.txt", "not: [a, policy");
    fs::create_dir(folder.path().join("old.yaml")).unwrap();
    let sources = Sources(vec![folder.path().to_owned()]);
    let names: Vec<_> =
        sources.files().unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["10-a.yml", "20-b.yaml", "30-c.cedar"]);
    assert_eq!(Document::load(&sources).unwrap().roles.len(), 2);
    // A file beside it that is named counts too.
    let extra = tempfile::NamedTempFile::new().unwrap();
    fs::write(extra.path(), "roles:\n  c: {}\n").unwrap();
    assert_eq!(load(&[folder.path(), extra.path()]).unwrap().roles.len(), 3);
}

#[test]
fn what_is_no_readable_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert_eq!(code(&[&path("none.yaml")]), FaultCode::Missing);
    symlink(path("nowhere"), path("loose.yaml")).unwrap();
    assert_eq!(code(&[&path("loose.yaml")]), FaultCode::Missing);
    fs::write(path("binary.yaml"), [b'a', 0xff, 0xfe]).unwrap();
    assert_eq!(code(&[&path("binary.yaml")]), FaultCode::Syntax);
    // A device that never ends, and a pipe that nobody writes to.
    assert_eq!(code(&[Path::new("/dev/zero")]), FaultCode::Unreadable);
    let pipe = path("pipe.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(code(&[&pipe]), FaultCode::Unreadable);
}

#[test]
fn nothing_of_a_folder_is_left_out_quietly() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    let fault = load(&[folder.path()]).unwrap_err().remove(0);
    assert_eq!(fault.code, FaultCode::Missing);
    assert!(fault.message.contains("no policy files"), "{fault}");
    // A name that is no UTF-8 is a name.
    let name = std::ffi::OsStr::from_bytes(b"a\xff.yaml");
    fs::write(folder.path().join(name), "roles:\n  r: {}\n").unwrap();
    assert_eq!(load(&[folder.path()]).unwrap().roles.len(), 1);
    for number in 0..10_000 {
        fs::write(folder.path().join(number.to_string()), "").unwrap();
    }
    let fault = load(&[folder.path()]).unwrap_err().remove(0);
    assert_eq!(fault.code, FaultCode::TooLarge);
    assert!(fault.message.contains("10000 entries"), "{fault}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "that it takes no time is what is tested")]
fn a_file_beyond_the_limit_is_refused_before_it_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(100 * 1024 * 1024).unwrap();
    let begun = std::time::Instant::now();
    let fault = load(&[file.path()]).unwrap_err().remove(0);
    assert_eq!(fault.code, FaultCode::TooLarge);
    assert!(fault.message.contains("8388608 bytes"), "{fault}");
    assert!(begun.elapsed().as_millis() < 1_000);
}

#[test]
fn a_link_that_is_turned_while_it_is_read_gives_one_file_or_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str| format!("roles:\n  {name}: {{}}\n{}", "# filler\n".repeat(50_000));
    for name in ["one", "two"] {
        fs::write(folder.path().join(name), text(name)).unwrap();
    }
    let link: PathBuf = folder.path().join("policy.yaml");
    symlink("one", &link).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let next = folder.path().join("next");
                symlink(if turn.is_multiple_of(2) { "two" } else { "one" }, &next).unwrap();
                fs::rename(&next, &link).unwrap();
                turn += 1;
            }
        });
        for _ in 0..100 {
            let sources = Sources(vec![link.clone()]);
            let read = sources.read().unwrap().remove(0).1;
            assert!(read == text("one") || read == text("two"), "a mixture of both");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
