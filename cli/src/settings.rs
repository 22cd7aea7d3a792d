//! Every setting, declared once: as a flag, an environment variable and a line of config.toml.
//! A flag beats the environment, that beats config.toml, that beats the default.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use chainference_chain::Endpoints;
use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{error::CliError, home::Home};

mod chain;
mod engine;
mod gateway;
mod mistake;
mod model;
mod upstream;
mod vault;
mod worker;

pub use chain::ChainSettings;
pub use engine::EngineSettings;
pub use gateway::{GatewaySettings, SettlementMode};
pub use model::ModelSetting;
pub use upstream::UpstreamSetting;
pub use vault::VaultSettings;
pub use worker::{PricingMode, WorkerSettings};

use chain::node;

#[derive(Args, Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    #[command(flatten)]
    pub chain: ChainSettings,
    #[command(flatten)]
    pub gateway: GatewaySettings,
    #[command(flatten)]
    pub worker: WorkerSettings,
    #[command(flatten)]
    pub engine: EngineSettings,
    #[command(flatten)]
    pub vault: VaultSettings,
}

impl Settings {
    /// Lays what was given by flag and environment over what stands in the file.
    ///
    /// `file` names config.toml; it may be missing unless `required`.
    pub fn load(self, file: &Path, required: bool) -> Result<Self, CliError> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                return Ok(self);
            }
            other => other.map_err(CliError::file(file))?,
        };
        let below: Self = toml::from_str(&text).map_err(|error| CliError::Config {
            path: file.to_owned(),
            message: mistake::explained(&error),
        })?;
        self.over(below)
            .map_err(|error| CliError::Config { path: file.to_owned(), message: error.to_string() })
    }

    /// These settings, and those of `below` where these say nothing.
    fn over(self, below: Self) -> Result<Self, toml::ser::Error> {
        let mut merged = toml::Table::try_from(below)?;
        for (section, settings) in toml::Table::try_from(self)? {
            match (merged.get_mut(&section), settings) {
                (Some(toml::Value::Table(below)), toml::Value::Table(above)) => below.extend(above),
                (_, settings) => drop(merged.insert(section, settings)),
            }
        }
        merged.try_into().map_err(serde::ser::Error::custom)
    }

    /// Whether this home runs a chain of its own.
    pub fn embedded_chain(&self) -> bool {
        self.chain.rpc_url.is_none()
    }

    /// Whether a gateway serves the market, `supervised` by `up`, which has one, or not.
    pub fn market(&self, supervised: bool) -> bool {
        self.gateway.market(supervised || !self.embedded_chain())
    }

    pub fn endpoints(&self) -> Result<Endpoints, CliError> {
        let chain = &self.chain;
        match &chain.rpc_url {
            None => Ok(Endpoints {
                rpc_url: format!("http://127.0.0.1:{}", chain.rpc_port()),
                ws_url: format!("ws://127.0.0.1:{}", chain.ws_port()),
            }),
            Some(rpc_url) => node("--rpc-url", rpc_url, chain.ws_url.clone()),
        }
    }

    /// The nodes that are asked where the first is away.
    pub fn fallbacks(&self) -> Result<Vec<Endpoints>, CliError> {
        self.chain.rpc_fallback.iter().map(|url| node("--rpc-fallback", url, None)).collect()
    }
}

/// Where the settings of the `up` that lives in this home stand, whole.
pub fn running_file(home: &Home) -> PathBuf {
    home.run().join("settings.toml")
}

/// An address that a client on this machine can connect to: the unspecified one becomes loopback.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { loopback(listen.port()) } else { listen }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn flag_beats_file_and_file_beats_default() {
        let file = file("[chain]\nrpc_port = 1\nws_port = 2\n[worker]\nlisten = \"127.0.0.1:9\"\n");
        let flags = Settings {
            chain: ChainSettings { rpc_port: Some(7), ..Default::default() },
            ..Default::default()
        };
        let settings = flags.load(file.path(), true).expect("read");
        assert_eq!(
            (settings.chain.rpc_port(), settings.chain.ws_port(), settings.chain.slot_ms()),
            (7, 2, 400)
        );
        assert_eq!(settings.worker.endpoint(), "http://127.0.0.1:9");
    }

    #[test]
    fn mistakes_in_the_file_are_named_with_their_line() {
        for (text, expected) in [
            ("[chain]\nslot = 400\n", "did you mean `slot_ms`?"),
            ("[gateway]\n\nlow_balance = 1\n", "did you mean `low_balance_lamports`?"),
            ("[gatewy]\n", "did you mean `gateway`?"),
            ("[gateway]\nlisten = 7070\n", "line 2"),
            ("[chain\n", "line 1"),
        ] {
            let error =
                Settings::default().load(file(text).path(), true).expect_err("refused").to_string();
            assert!(error.contains(expected) && error.contains("line"), "{error}");
        }
        let far = Settings::default().load(file("[chain]\nzzz = 1\n").path(), true);
        assert!(!far.expect_err("refused").to_string().contains("did you mean"));
    }

    #[test]
    fn missing_file_matters_only_where_it_was_named() {
        let nowhere = Path::new("/nonexistent/config.toml");
        assert_eq!(
            Settings::default().load(nowhere, false).expect("defaults"),
            Settings::default()
        );
        assert!(Settings::default().load(nowhere, true).is_err());
    }

    #[test]
    fn settings_survive_being_written_for_the_children() {
        let settings = Settings {
            chain: ChainSettings { slot_ms: Some(50), ..Default::default() },
            worker: WorkerSettings {
                model: vec!["/a b.gguf".parse().expect("a source")],
                pricing: Some(PricingMode::Utilisation),
                allow_client: Some(vec!["a".into(), "b".into()]),
                ..Default::default()
            },
            gateway: GatewaySettings {
                upstream: vec!["http://a:1/v1".parse().expect("a URL")],
                ..Default::default()
            },
            ..Default::default()
        };
        let text = toml::to_string(&settings).expect("serialised");
        assert_eq!(Settings::default().load(file(&text).path(), true).expect("read"), settings);
    }

    #[test]
    fn a_gateway_with_upstreams_serves_the_market_only_where_a_chain_is_named() {
        let settings = |upstream: &[&str], market, rpc_url: Option<&str>| Settings {
            chain: ChainSettings { rpc_url: rpc_url.map(str::to_owned), ..Default::default() },
            gateway: GatewaySettings {
                upstream: upstream.iter().map(|url| url.parse().expect("a URL")).collect(),
                market,
                ..Default::default()
            },
            ..Default::default()
        };
        let own = &["http://a:1/v1"][..];
        assert!(settings(&[], None, None).market(false));
        assert!(!settings(own, None, None).market(false));
        assert!(settings(own, None, None).market(true), "`up` brings a chain");
        assert!(settings(own, None, Some("http://a")).market(false));
        assert!(settings(own, Some(true), None).market(false));
        assert!(!settings(&[], Some(false), Some("http://a")).market(true));
    }
}
