//! Finds a port that is taken before anything is started, and says which setting chooses another.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use crate::{error::CliError, settings::Settings};

/// Children of an `up` that was killed end within this time, and free their ports.
const ORPHANS_END_WITHIN: Duration = Duration::from_secs(8);

pub struct Port {
    address: SocketAddr,
    user: &'static str,
    flag: &'static str,
}

/// All ports that `up` needs; waits for the children of a killed one to let go of theirs.
pub async fn check(settings: &Settings, after_a_kill: bool) -> Result<(), CliError> {
    let patience = Instant::now() + if after_a_kill { ORPHANS_END_WITHIN } else { Duration::ZERO };
    for port in ports(settings) {
        while let Err(error) = port.probe() {
            if Instant::now() >= patience {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Every port that `up` listens on with these settings.
pub fn ports(settings: &Settings) -> Vec<Port> {
    let mut ports = vec![
        Port {
            address: settings.gateway.listen(),
            user: "the gateway",
            flag: "--gateway-listen ADDR:PORT",
        },
        Port {
            address: settings.worker.listen(),
            user: "the worker",
            flag: "--worker-listen ADDR:PORT",
        },
    ];
    if settings.embedded_chain() {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        ports.push(Port {
            address: loopback(settings.chain.rpc_port()),
            user: "the chain's JSON-RPC",
            flag: "--rpc-port PORT",
        });
        ports.push(Port {
            address: loopback(settings.chain.ws_port()),
            user: "the chain's websocket",
            flag: "--ws-port PORT",
        });
    }
    ports
}

impl Port {
    /// Fails where the port can't be had, saying why.
    pub fn probe(&self) -> Result<(), CliError> {
        match TcpListener::bind(self.address) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AddrInUse => Err(CliError::PortTaken {
                host: self.address.ip().to_string(),
                port: self.address.port(),
                user: self.user,
                flag: self.flag,
            }),
            Err(error) => Err(CliError::Setting {
                setting: self.flag,
                message: format!("{} can't be listened on: {error}", self.address),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn taken_port_is_named_with_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut settings = Settings::default();
        settings.gateway.gateway_listen = Some(taken.local_addr().expect("bound"));
        let error = check(&settings, false).await.expect_err("taken");
        assert!(
            error.to_string().contains(&taken.local_addr().expect("bound").port().to_string()),
            "{error}"
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("--gateway-listen")));
        assert_eq!(error.exit_code(), 4);
    }
}
