//! Reading and writing at the borders: sizes, permissions, files in the way.

use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn names_in(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_secret_is_readable_by_its_owner_alone() {
    let folder = folder();
    let path = folder.path().join("made/for/it.key");
    write(&path, b"secret", Audience::Owner, Overwrite::Refuse).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(*read_secret(&path).unwrap(), b"secret");
    for mode in [0o640, 0o604, 0o610, 0o602, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = read_secret(&path).unwrap_err();
        assert!(matches!(refused, FileError::OpenToOthers { mode: seen, .. } if seen == mode));
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(*read_secret(&path).unwrap(), b"secret");
}

#[test]
fn an_existing_file_is_replaced_only_on_request() {
    let folder = folder();
    let path = folder.path().join("a.pem");
    write(&path, b"old", Audience::Everyone, Overwrite::Refuse).unwrap();
    let refused = write(&path, b"new", Audience::Everyone, Overwrite::Refuse).unwrap_err();
    assert_eq!(refused.code(), "file_exists");
    assert_eq!(read_public(&path).unwrap(), b"old");
    write(&path, b"new", Audience::Owner, Overwrite::Replace).unwrap();
    assert_eq!(read_public(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names_in(&folder), ["a.pem"], "no draft stays behind");
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let folder = folder();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert_eq!(refuse_existing(&[&link]).unwrap_err().code(), "file_exists");
    let refused = write(&link, b"x", Audience::Owner, Overwrite::Refuse).unwrap_err();
    assert_eq!(refused.code(), "file_exists");
    assert!(!target.exists());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    write(&file, b"", Audience::Everyone, Overwrite::Refuse).unwrap();
    for path in [file.join("below"), PathBuf::from("/proc/no/such")] {
        let refused = write(&path, b"x", Audience::Owner, Overwrite::Replace).unwrap_err();
        assert_eq!(refused.code(), "file_unwritable");
        assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    }
}

#[test]
fn what_is_no_ordinary_small_file_is_not_read() {
    let folder = folder();
    let missing = read_public(&folder.path().join("none")).unwrap_err();
    assert_eq!(missing.code(), "file_missing");
    assert_eq!(read_public(folder.path()).unwrap_err().code(), "file_unreadable");
    assert_eq!(read_public(Path::new("/dev/zero")).unwrap_err().code(), "file_unreadable");
    let path = folder.path().join("large");
    write(&path, &vec![b'x'; FILE_BYTES_MAX], Audience::Owner, Overwrite::Refuse).unwrap();
    assert_eq!(read_secret(&path).unwrap().len(), FILE_BYTES_MAX);
    write(&path, &vec![b'x'; FILE_BYTES_MAX + 1], Audience::Owner, Overwrite::Replace).unwrap();
    assert_eq!(read_secret(&path).unwrap_err().code(), "file_too_large");
}
