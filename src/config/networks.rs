//! `server.allow_networks` and `server.trusted_proxies`: from texts to networks, and what is doubtful about them.

use ipnet::IpNet;
use serde_json::Value;

use crate::config::{Loader, Reported};
use crate::server::networks::{Networks, parse};
use crate::yaml::Severity;

const ALLOWED: &str = "server.allow_networks";
const PROXIES: &str = "server.trusted_proxies";
const BEHIND_PROXY: &str = "server.plain_http_behind_proxy";

impl Loader {
    pub(super) fn networks(&mut self) -> Result<Networks, Reported> {
        let (allowed, proxies) = (self.network_list(ALLOWED), self.network_list(PROXIES));
        if proxies.iter().flatten().any(|network| network.prefix_len() == 0) {
            let message = "it holds every address there is, so whoever comes could say to be somebody else";
            self.report(Severity::Error, PROXIES, message, "name the addresses of the proxies alone");
        }
        let networks = Networks { allowed: allowed?, proxies: proxies? };
        if networks.proxies.is_empty() && self.value(BEHIND_PROXY) == Some(Value::Bool(true)) {
            let message = "nobody says which proxy it is, so all requests seem to come from the proxy: bounds and the brake \
                           for one source hold for everybody together";
            let hint = "name its address in server.trusted_proxies";
            self.report(Severity::Warning, BEHIND_PROXY, message, hint);
        }
        Ok(networks)
    }

    fn network_list(&mut self, key: &str) -> Result<Vec<IpNet>, Reported> {
        let list = self.value(key);
        let texts = list.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        let read: Vec<_> = texts.map(parse).collect();
        for message in read.iter().filter_map(|network| network.as_ref().err()) {
            self.report(Severity::Error, key, message, "");
        }
        read.into_iter().collect::<Result<_, _>>().map_err(|_message| Reported)
    }
}
