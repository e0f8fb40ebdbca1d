//! Every way in which the files of a TLS configuration can be wrong has its own code.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use identity::{ServerIdentity, Validity, load_client};

use crate::site::{DAY, NOW, Site, agent_id, expired, server_id, valid};

/// Returns the code of loading the site as a server; the message must name `file`.
fn code(site: &Site, file: &str) -> &'static str {
    let refused = site.load_server().unwrap_err();
    let message = refused.to_string();
    assert!(message.contains(site.path(file).to_str().unwrap()), "{message}");
    assert!(!message.contains("PRIVATE-CONTENT"), "{message}");
    refused.code()
}

fn write_secret(site: &Site, name: &str, text: &str) {
    let path = site.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn good_files_load() {
    let config = Site::new().load_server().unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec()]);
    assert_eq!(config.send_tls13_tickets, 0);
}

#[test]
fn a_missing_file_is_named() {
    for file in ["server.pem", "server.key", "ca.pem"] {
        let site = Site::new();
        fs::remove_file(site.path(file)).unwrap();
        assert_eq!(code(&site, file), "tls_file_missing");
    }
}

#[test]
fn a_folder_is_not_a_file() {
    let site = Site::new();
    fs::remove_file(site.path("ca.pem")).unwrap();
    fs::create_dir(site.path("ca.pem")).unwrap();
    assert_eq!(code(&site, "ca.pem"), "tls_file_unreadable");
}

#[test]
fn an_oversized_file_is_refused() {
    let site = Site::new();
    fs::write(site.path("ca.pem"), vec![b'\n'; 1024 * 1024 + 1]).unwrap();
    assert_eq!(code(&site, "ca.pem"), "tls_file_too_large");
}

#[test]
fn a_key_open_to_others_is_refused() {
    for mode in [0o644, 0o640, 0o604] {
        let site = Site::new();
        fs::set_permissions(site.path("server.key"), Permissions::from_mode(mode)).unwrap();
        assert_eq!(code(&site, "server.key"), "tls_key_world_readable");
    }
}

#[test]
fn broken_pem_is_told_without_its_content() {
    let unended = "-----BEGIN CERTIFICATE-----\nPRIVATE-CONTENT\n";
    let misbegun = "-----BEGIN PRIVATE-CONTENT\n-----END CERTIFICATE-----\n";
    let not_base64 = "-----BEGIN CERTIFICATE-----\n%PRIVATE-CONTENT%\n-----END CERTIFICATE-----\n";
    for text in [unended, misbegun, not_base64] {
        let site = Site::new();
        fs::write(site.path("server.pem"), text).unwrap();
        assert_eq!(code(&site, "server.pem"), "tls_pem_invalid");
        let site = Site::new();
        fs::write(site.path("ca.pem"), text).unwrap();
        assert_eq!(code(&site, "ca.pem"), "tls_pem_invalid");
        let site = Site::new();
        write_secret(&site, "server.key", &text.replace("CERTIFICATE", "PRIVATE KEY"));
        assert_eq!(code(&site, "server.key"), "tls_pem_invalid");
    }
}

#[test]
fn files_without_what_they_are_for_are_told_apart() {
    for text in ["", "PRIVATE-CONTENT"] {
        for (file, expected) in [
            ("server.pem", "tls_certificate_absent"),
            ("server.key", "tls_key_absent"),
            ("ca.pem", "tls_ca_empty"),
        ] {
            let site = Site::new();
            write_secret(&site, file, text);
            assert_eq!(code(&site, file), expected);
        }
    }
}

#[test]
fn swapped_files_are_noticed() {
    let site = Site::new();
    write_secret(&site, "server.key", &fs::read_to_string(site.path("server.pem")).unwrap());
    assert_eq!(code(&site, "server.key"), "tls_key_absent");
    let site = Site::new();
    fs::copy(site.path("server.pem"), site.path("ca.pem")).unwrap();
    assert_eq!(code(&site, "ca.pem"), "tls_ca_unusable");
    let site = Site::new();
    fs::copy(site.path("helpdesk.key"), site.path("server.key")).unwrap();
    assert_eq!(code(&site, "server.key"), "tls_key_mismatch");
}

#[test]
fn sections_that_hold_something_else_are_refused() {
    let section = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
    let site = Site::new();
    fs::write(site.path("server.pem"), section("CERTIFICATE")).unwrap();
    assert_eq!(code(&site, "server.pem"), "tls_certificate_unreadable");
    let site = Site::new();
    fs::write(site.path("ca.pem"), section("CERTIFICATE")).unwrap();
    assert_eq!(code(&site, "ca.pem"), "tls_ca_unusable");
    let site = Site::new();
    write_secret(&site, "server.key", &section("PRIVATE KEY"));
    assert_eq!(code(&site, "server.key"), "tls_key_unusable");
    let site = Site::new();
    write_secret(&site, "server.key", &section("ENCRYPTED PRIVATE KEY"));
    assert_eq!(code(&site, "server.key"), "tls_key_absent");
}

#[test]
fn the_own_certificate_is_valid_now_to_the_second() {
    let site = Site::new();
    let issue = |not_before_unix, not_after_unix| {
        let validity = Validity { not_before_unix, not_after_unix };
        let names = ["localhost".to_owned()];
        site.save("server", &site.ca.issue_server(&names, Some(&server_id()), validity).unwrap());
    };
    issue(NOW, NOW);
    assert!(site.load_server().is_ok());
    issue(NOW - DAY, NOW - 1);
    assert_eq!(code(&site, "server.pem"), "tls_certificate_expired");
    let message = site.load_server().unwrap_err().to_string();
    assert!(message.contains("2027-01-15T07:59:59Z"), "{message}");
    issue(NOW + 1, NOW + DAY);
    assert_eq!(code(&site, "server.pem"), "tls_certificate_not_yet_valid");
}

#[test]
fn a_client_checks_its_files_too() {
    let site = Site::new();
    let load = || {
        let [ca, cert, key] =
            ["ca.pem", "helpdesk.pem", "helpdesk.key"].map(|name| site.path(name));
        load_client(&ca, &cert, &key, ServerIdentity::DnsName, NOW).map(|_config| ())
    };
    assert!(load().is_ok());
    site.save("helpdesk", &site.ca.issue_agent(&agent_id(), expired()).unwrap());
    assert_eq!(load().unwrap_err().code(), "tls_certificate_expired");
    site.save("helpdesk", &site.ca.issue_agent(&agent_id(), valid()).unwrap());
    fs::set_permissions(site.path("helpdesk.key"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(load().unwrap_err().code(), "tls_key_world_readable");
    fs::write(site.path("ca.pem"), "").unwrap();
    assert_eq!(load().unwrap_err().code(), "tls_ca_empty");
}
