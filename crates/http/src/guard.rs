//! Makes connections to addresses within a [`Reach`] and to no other.

use std::future::{Future, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::{NotPublic, Reach};

/// Connects. A host that is an address is judged here, a name when it is resolved, and what
/// that lets pass is what is connected to: nobody resolves it again in between.
#[derive(Debug, Clone)]
pub struct Guarded {
    http: HttpConnector<Resolver>,
    reach: Reach,
}

/// Resolves names, and keeps the addresses that may be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    system: GaiResolver,
    reach: Reach,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;
type Later<T> = Pin<Box<dyn Future<Output = Result<T, AnyError>> + Send>>;

// === impl Guarded ===

impl Guarded {
    /// What connects, set up by `set_up`.
    pub(crate) fn new(reach: Reach, set_up: impl FnOnce(&mut HttpConnector<Resolver>)) -> Self {
        let mut http = HttpConnector::new_with_resolver(Resolver { system: GaiResolver::new(), reach });
        set_up(&mut http);
        Self { http, reach }
    }
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = AnyError;
    type Future = Later<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        if let Err(refused) = self.reach.check_host(to.host().unwrap_or_default()) {
            return Box::pin(ready(Err(refused.into())));
        }
        let connecting = self.http.call(to);
        Box::pin(async move { connecting.await.map_err(Into::into) })
    }
}

// === impl Resolver ===

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = AnyError;
    type Future = Later<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.system.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, reach) = (self.system.call(name), self.reach);
        Box::pin(async move { within(reach, resolving.await?.collect()).map(Vec::into_iter) })
    }
}

/// Of some addresses those that may be connected to.
fn within(reach: Reach, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, AnyError> {
    let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| reach.allows(found.ip()));
    if good.is_empty() && !bad.is_empty() {
        let bad: Vec<IpAddr> = bad.iter().map(SocketAddr::ip).collect();
        return Err(NotPublic(bad).into());
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_with_several_addresses_only_the_public_ones_are_left() {
        let of = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = of(&["10.0.0.1:443", "1.1.1.1:443", "[::1]:443"]);
        assert_eq!(within(Reach::Public, mixed.clone()).unwrap(), of(&["1.1.1.1:443"]));
        assert_eq!(within(Reach::Anywhere, mixed.clone()).unwrap(), mixed);
        assert_eq!(within(Reach::Public, Vec::new()).unwrap(), []);
        let refused = within(Reach::Public, of(&["10.0.0.1:443", "[::1]:443"])).unwrap_err();
        let refused = refused.downcast::<NotPublic>().unwrap();
        assert_eq!(*refused, NotPublic(vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]));
    }
}
