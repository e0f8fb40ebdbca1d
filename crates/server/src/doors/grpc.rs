//! The gRPC door: TLS connections in, calls of the pipeline out.

mod accept;
mod admin;
mod body;
mod bucket;
mod bus;
mod calls;
mod connection;
mod cut;
mod descriptors;
mod failures;
mod frames;
mod items;
mod lasting;
mod mas;
mod measures;
mod memory;
mod metered;
mod peer;
mod places;
mod share;
mod standing;
mod status;
mod turns;

use std::sync::Arc;

use gate::Gate;
use tonic_health::ServingStatus;
use wire::mas::runtime::v1::runtime_service_server::RuntimeServiceServer;
use wire::palisade::admin::v1::admin_service_server::AdminServiceServer;
use wire::palisade::bus::v1::bus_service_server::BusServiceServer;

pub(crate) use accept::Listener;
pub(crate) use measures::DoorMeasures;
pub(crate) use peer::Identifier;
pub(crate) use status::code as status_code;

use crate::config::ServerLimits;
use crate::readiness::Readiness;

/// The path prefix of the MAS service.
pub(crate) const MAS_PATH: &str = "/mas.runtime.v1.RuntimeService/";

/// The path prefix under which MAS 0.4 clients ask for the same service.
pub(crate) const MAS_PATH_OLD: &str = "/mas.v1.MasService/";

/// The path of the native session.
pub(crate) const NATIVE_PATH: &str = "/palisade.bus.v1.BusService/Session";

/// The path prefix of the health service.
pub(crate) const HEALTH_PATH: &str = "/grpc.health.v1.Health/";

// LIMIT: bytes of a request that brings nothing to keep, and of an event of a session.
const SMALL_BYTES_MAX: usize = 64 * 1024;

// LIMIT: bytes of a delivery: the largest envelope that can be configured, and its frame. What an
// earlier configuration let in is still delivered.
const DELIVERY_BYTES_MAX: usize = 64 * 1024 * 1024 + 1024;

// LIMIT: bytes of an operator's answer beside the largest envelope that it can hold; operators'
// clients take as much.
const ANSWER_ROOM: usize = 64 * 1024;

/// The services, once for each size that a request may have.
#[derive(Clone)]
pub(crate) struct Routes {
    /// For calls that bring a message.
    large: tonic::service::Routes,
    /// For calls that bring state.
    state: tonic::service::Routes,
    /// For calls of a few names: what they hold is bounded before it is decoded, because empty
    /// fields take many times their bytes.
    small: tonic::service::Routes,
}

/// Puts the services of the door together; `state_bytes_max` is how large an agent's state may be.
pub(crate) async fn routes(
    gate: &Arc<Gate>,
    limits: &ServerLimits,
    state_bytes_max: usize,
    readiness: &Readiness,
) -> (Routes, HealthReporter) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reporter = HealthReporter(reporter);
    reporter.tell(true).await;
    let services = |bytes_max: usize| {
        let (bytes_out_max, bytes_max) = (limits.message_bytes_max, bytes_max);
        let mas = mas::MasDoor::new(Arc::clone(gate), limits.first_request_timeout);
        let mas = RuntimeServiceServer::new(mas)
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(DELIVERY_BYTES_MAX);
        let hello_timeout = limits.first_request_timeout;
        let bus = bus::BusDoor::new(Arc::clone(gate), hello_timeout, bytes_max);
        let bus = BusServiceServer::new(bus)
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(DELIVERY_BYTES_MAX);
        let admin = admin::AdminDoor::new(Arc::clone(gate), readiness.clone());
        let admin = AdminServiceServer::new(admin)
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(bytes_out_max.saturating_add(ANSWER_ROOM));
        let health = health.clone().max_decoding_message_size(bytes_max);
        tonic::service::Routes::new(mas)
            .add_service(bus)
            .add_service(admin)
            .add_service(health)
            .prepare()
    };
    let bytes_max = limits.message_bytes_max;
    let small_max = SMALL_BYTES_MAX.min(bytes_max);
    // Beside the texts, each field has its own head, of which small fields have many.
    let state_max = state_bytes_max.saturating_mul(4).clamp(small_max, bytes_max);
    let routes = Routes {
        large: services(bytes_max),
        state: services(state_max),
        small: services(small_max),
    };
    (routes, reporter)
}

/// Tells health clients whether the door serves.
pub(crate) struct HealthReporter(tonic_health::server::HealthReporter);

impl HealthReporter {
    /// Tells health clients whether calls are taken.
    pub(crate) async fn tell(&self, is_serving: bool) {
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in [
            "",
            wire::mas::runtime::v1::runtime_service_server::SERVICE_NAME,
            wire::palisade::bus::v1::bus_service_server::SERVICE_NAME,
            wire::palisade::admin::v1::admin_service_server::SERVICE_NAME,
        ] {
            self.0.set_service_status(name, status).await;
        }
    }
}
