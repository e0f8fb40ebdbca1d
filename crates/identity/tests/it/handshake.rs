//! Whole handshakes between our two configurations over buffers in memory.

use std::sync::Arc;

use identity::{DevCa, Issued, ServerIdentity, check_leaf, peer_leaf};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, SanType,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ServerSessionMemoryCache;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, HandshakeKind, PeerIncompatible,
    ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
};

use crate::site::{DAY, NOW, Site, Standing, agent_id, expired, server_id, valid};

/// Says which side gave up, and why.
#[derive(Debug)]
enum Failed {
    Client(Error),
    Server(Error),
}

struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

fn connect(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Result<Pair, Failed> {
    connect_to("localhost", client, server)
}

fn connect_to(
    name: &str,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<Pair, Failed> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    // Three flights each way are more than TLS 1.3 ever needs.
    for _flight in 0..3 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        feed_server(&mut server, &wire).map_err(Failed::Server)?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            let _state = client.process_new_packets().map_err(Failed::Client)?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Pair { client, server })
}

fn feed_server(server: &mut ServerConnection, mut wire: &[u8]) -> Result<(), Error> {
    while !wire.is_empty() {
        server.read_tls(&mut wire).unwrap();
        let _state = server.process_new_packets()?;
    }
    Ok(())
}

fn server_refusal(client: Arc<ClientConfig>, site: &Site) -> Error {
    match connect(client, site.server()) {
        Err(Failed::Server(refused)) => refused,
        Err(Failed::Client(refused)) => panic!("the client refused: {refused}"),
        Ok(_) => panic!("nobody refused"),
    }
}

fn client_refusal(name: &str, client: Arc<ClientConfig>, site: &Site) -> Error {
    match connect_to(name, client, site.server()) {
        Err(Failed::Client(refused)) => refused,
        Err(Failed::Server(refused)) => panic!("the server refused: {refused}"),
        Ok(_) => panic!("nobody refused"),
    }
}

fn agent(site: &Site) -> Arc<ClientConfig> {
    site.client("helpdesk", ServerIdentity::DnsName, NOW)
}

fn issue_server(ca: &DevCa) -> Issued {
    ca.issue_server(&["localhost".to_owned()], None, valid()).unwrap()
}

#[test]
fn a_good_agent_is_known_by_its_certificate() {
    let site = Site::new();
    let pair = connect(agent(&site), site.server()).unwrap();
    let peer = check_leaf(peer_leaf(&pair.server).unwrap()).unwrap();
    assert_eq!(peer.spiffe_id, agent_id());
    assert_eq!(pair.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(pair.server.alpn_protocol(), Some(b"h2".as_slice()));
    assert_eq!(pair.client.alpn_protocol(), Some(b"h2".as_slice()));
}

#[test]
fn an_rsa_agent_of_a_second_authority_in_the_bundle_is_known() {
    let site = Site::new();
    let rsa = || KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let mut params = leaf_params("MAS Dev CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, rsa()).unwrap();
    let mut params = leaf_params("helpdesk");
    params.subject_alt_names = vec![SanType::URI(agent_id().as_str().try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = rsa();
    let cert_pem = params.signed_by(&key, &authority).unwrap().pem();
    site.save("helpdesk", &Issued { cert_pem, key_pem: key.serialize_pem().into() });
    let bundle = format!("{}{}", site.ca.cert_pem(), authority.pem());
    std::fs::write(site.path("ca.pem"), bundle).unwrap();
    let pair = connect(agent(&site), site.server()).unwrap();
    let peer = check_leaf(peer_leaf(&pair.server).unwrap()).unwrap();
    assert_eq!(peer.spiffe_id, agent_id());
}

/// Sets up a certificate as the openssl command would make it.
fn leaf_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

#[test]
fn before_the_handshake_there_is_no_peer() {
    let server = ServerConnection::new(Site::new().server()).unwrap();
    assert_eq!(peer_leaf(&server), None);
}

#[test]
fn no_connection_is_resumed() {
    let site = Site::new();
    let (client, server) = (agent(&site), site.server());
    for _connection in 0..2 {
        let pair = connect(Arc::clone(&client), Arc::clone(&server)).unwrap();
        let full = [HandshakeKind::Full, HandshakeKind::FullWithHelloRetryRequest];
        assert!(full.contains(&pair.server.handshake_kind().unwrap()));
        assert_eq!(pair.client.tls13_tickets_received(), 0);
    }
}

#[test]
fn a_ticket_and_early_data_are_ignored_and_the_certificate_is_asked_for_anew() {
    let site = Site::new();
    // A server that hands out tickets and takes early data, with the name and key of ours.
    let mut careless = (*site.server()).clone();
    careless.session_storage = ServerSessionMemoryCache::new(8);
    careless.send_tls13_tickets = 2;
    careless.max_early_data_size = 1_024;
    let careless = Arc::new(careless);
    let mut client = (*agent(&site)).clone();
    client.resumption = Resumption::in_memory_sessions(8);
    client.enable_early_data = true;
    let client = Arc::new(client);
    let kind = |server: &Arc<ServerConfig>| {
        let pair = connect(Arc::clone(&client), Arc::clone(server)).unwrap();
        (pair.server.handshake_kind().unwrap(), pair.client.tls13_tickets_received())
    };
    assert_eq!(kind(&careless), (HandshakeKind::Full, 2));
    // The client now has tickets and offers them, as the careless server can tell.
    assert_eq!(kind(&careless).0, HandshakeKind::Resumed);
    let name = ServerName::try_from("localhost").unwrap();
    let mut offering = ClientConnection::new(Arc::clone(&client), name).unwrap();
    assert!(offering.early_data().is_some());
    assert_eq!(kind(&site.server()), (HandshakeKind::Full, 0));
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let site = Site::new();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(site.ca.cert_pem().as_bytes()).unwrap()).unwrap();
    let mut anonymous = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    anonymous.time_provider = Arc::new(Standing(NOW));
    assert_eq!(server_refusal(Arc::new(anonymous), &site), Error::NoCertificatesPresented);
}

#[test]
fn an_agent_of_another_authority_is_refused() {
    let site = Site::new();
    // The same name on purpose: only the key tells the two authorities apart.
    let stranger = DevCa::create("CA", NOW).unwrap();
    site.save("helpdesk", &stranger.issue_agent(&agent_id(), valid()).unwrap());
    assert!(matches!(
        server_refusal(agent(&site), &site),
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)
    ));
}

#[test]
fn an_expired_agent_is_refused() {
    let site = Site::new();
    site.save("helpdesk", &site.ca.issue_agent(&agent_id(), expired()).unwrap());
    let client = site.client("helpdesk", ServerIdentity::DnsName, NOW - DAY);
    assert!(matches!(
        server_refusal(client, &site),
        Error::InvalidCertificate(CertificateError::ExpiredContext { .. })
    ));
}

#[test]
fn a_servers_certificate_does_not_serve_an_agent() {
    let site = Site::new();
    let client = site.client("server", ServerIdentity::DnsName, NOW);
    assert!(matches!(
        server_refusal(client, &site),
        Error::InvalidCertificate(CertificateError::InvalidPurposeContext { .. })
    ));
}

#[test]
fn a_tls_1_2_client_is_refused() {
    // A hello as TLS 1.2 has it: one cipher suite, groups and signatures, no list of versions.
    let extensions: &[u8] = &[
        0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x17, // group secp256r1
        0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03, // ecdsa_secp256r1_sha256
    ];
    let mut hello = vec![0x03, 0x03];
    hello.extend([0x5a; 32]);
    hello.extend([0x00, 0x00, 0x02, 0xc0, 0x2b, 0x01, 0x00, 0x00, 0x10]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).unwrap();
    let mut wire = vec![0x16, 0x03, 0x01, 0x00, length + 4, 0x01, 0x00, 0x00, length];
    wire.extend(hello);
    let mut server = ServerConnection::new(Site::new().server()).unwrap();
    assert_eq!(
        feed_server(&mut server, &wire),
        Err(Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired))
    );
    let mut answer = Vec::new();
    server.write_tls(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&0x15), "an alert and nothing else");
}

#[test]
fn a_server_is_recognised_by_its_name() {
    let site = Site::new();
    assert!(connect_to("127.0.0.1", agent(&site), site.server()).is_ok());
    assert!(matches!(
        client_refusal("example.org", agent(&site), &site),
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
    ));
}

#[test]
fn a_pinned_server_is_recognised_by_its_id_under_any_name() {
    let site = Site::new();
    let client = site.client("helpdesk", ServerIdentity::Spiffe(server_id()), NOW);
    let pair = connect_to("example.org", client, site.server()).unwrap();
    assert!(peer_leaf(&pair.server).is_some());
}

#[test]
fn a_pinned_server_with_another_id_or_none_is_refused() {
    let site = Site::new();
    let client = site.client("helpdesk", ServerIdentity::Spiffe(agent_id()), NOW);
    let refused = client_refusal("localhost", client, &site).to_string();
    assert!(refused.contains("spiffe://mas/server"), "{refused}");
    site.save("server", &issue_server(&site.ca));
    let client = site.client("helpdesk", ServerIdentity::Spiffe(server_id()), NOW);
    let refused = client_refusal("localhost", client, &site).to_string();
    assert!(refused.contains("SPIFFE"), "{refused}");
}

#[test]
fn the_right_id_from_another_authority_is_refused() {
    let site = Site::new();
    let stranger = DevCa::create("CA", NOW).unwrap();
    let forged = stranger.issue_server(&["localhost".to_owned()], Some(&server_id()), valid());
    site.save("server", &forged.unwrap());
    for server in [ServerIdentity::DnsName, ServerIdentity::Spiffe(server_id())] {
        let client = site.client("helpdesk", server, NOW);
        assert!(matches!(
            client_refusal("localhost", client, &site),
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            )
        ));
    }
}

#[test]
fn an_agents_certificate_does_not_serve_a_server() {
    let site = Site::new();
    site.save("server", &site.ca.issue_agent(&server_id(), valid()).unwrap());
    for server in [ServerIdentity::DnsName, ServerIdentity::Spiffe(server_id())] {
        let client = site.client("helpdesk", server, NOW);
        assert!(matches!(
            client_refusal("localhost", client, &site),
            Error::InvalidCertificate(CertificateError::InvalidPurposeContext { .. })
        ));
    }
}
