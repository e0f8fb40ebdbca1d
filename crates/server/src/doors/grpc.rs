//! The gRPC door: TLS connections in, calls of the pipeline out.

mod accept;
mod admin;
mod bus;
mod connection;
mod mas;
mod peer;
mod places;
mod standing;
mod status;

use std::sync::Arc;

use gate::Gate;
use tonic::service::Routes;
use wire::mas::runtime::v1::runtime_service_server::RuntimeServiceServer;
use wire::palisade::admin::v1::admin_service_server::AdminServiceServer;
use wire::palisade::bus::v1::bus_service_server::BusServiceServer;

pub(crate) use accept::Listener;
pub(crate) use peer::Identifier;

use crate::config::ServerLimits;

/// The path prefix of the MAS service.
pub(crate) const MAS_PATH: &str = "/mas.runtime.v1.RuntimeService/";

/// The path prefix under which MAS 0.4 clients ask for the same service.
pub(crate) const MAS_PATH_OLD: &str = "/mas.v1.MasService/";

// LIMIT: bytes of an operator's answer beside the largest envelope that it can hold; operators'
// clients take as much.
const ANSWER_ROOM: usize = 64 * 1024;

/// Puts the services of the door together.
pub(crate) async fn routes(gate: &Arc<Gate>, limits: &ServerLimits) -> (Routes, HealthReporter) {
    let bytes_max = limits.message_bytes_max;
    let mas = RuntimeServiceServer::new(mas::MasDoor::new(
        Arc::clone(gate),
        limits.first_request_timeout,
    ))
    .max_decoding_message_size(bytes_max)
    .max_encoding_message_size(usize::MAX);
    let bus = BusServiceServer::new(bus::BusDoor::new(Arc::clone(gate)))
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(bytes_max);
    let admin = AdminServiceServer::new(admin::AdminDoor::new(Arc::clone(gate)))
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(bytes_max.saturating_add(ANSWER_ROOM));
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in [
        "",
        wire::mas::runtime::v1::runtime_service_server::SERVICE_NAME,
        wire::palisade::bus::v1::bus_service_server::SERVICE_NAME,
        wire::palisade::admin::v1::admin_service_server::SERVICE_NAME,
    ] {
        reporter.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    }
    let routes = Routes::new(mas).add_service(bus).add_service(admin).add_service(health).prepare();
    (routes, HealthReporter(reporter))
}

/// Tells health clients whether the door serves.
#[derive(Clone)]
pub(crate) struct HealthReporter(tonic_health::server::HealthReporter);

impl HealthReporter {
    /// Tells health clients that the door is closing.
    pub(crate) async fn stop(&self) {
        for name in [
            "",
            wire::mas::runtime::v1::runtime_service_server::SERVICE_NAME,
            wire::palisade::bus::v1::bus_service_server::SERVICE_NAME,
            wire::palisade::admin::v1::admin_service_server::SERVICE_NAME,
        ] {
            self.0.set_service_status(name, tonic_health::ServingStatus::NotServing).await;
        }
    }
}
