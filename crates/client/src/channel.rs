//! One HTTP/2 connection as the service that generated clients call.
//!
//! It never connects by itself and never again: when the connection is gone every call fails, and
//! the session brings a new one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tonic::body::Body;
use tower::Service;

/// Sends requests into one connection; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Channel(SendRequest<Body>);

impl Channel {
    pub(crate) const fn new(sender: SendRequest<Body>) -> Self {
        Self(sender)
    }
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // The sender itself fails when the connection is gone; asking it here would turn that
        // failure into a status without a source, which looks like an answer of the gate.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
