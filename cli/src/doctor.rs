//! `chainference doctor`: looks at everything that commonly goes wrong, and says what to do about it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use chainference_chain::{Chain, Commitment, Signer, address};
use chainference_worker::models::{Gguf, ModelSource};
use nix::sys::statvfs::statvfs;

use crate::{
    amount,
    error::CliError,
    home::{Home, KeyName},
    settings::{Settings, reachable},
    status::{answers, ready_url, told},
    upstreams,
};

/// A model, the chain's history and the ledgers need room to grow.
const DISK_FREE_MIN_BYTES: u64 = 2 << 30;
/// Deadlines are judged by the chain's clock; a machine this far off misjudges how long it has.
const CLOCK_SKEW_MAX_S: u64 = 30;
/// Enough for some thousand transactions.
const KEY_BALANCE_MIN: u64 = 20_000_000;

pub enum Finding {
    Well(String),
    /// What is wrong, and what to do.
    Wrong(String, String),
}
use Finding::{Well, Wrong};

pub async fn doctor(home: Home, settings: Settings) -> Result<(), CliError> {
    let running = home.is_running();
    let mut findings = vec![private_home(&home), disk(&home)];
    if settings.market(running) {
        findings.push(chain_binary(&settings));
        findings.extend(models(&settings));
        findings.extend(ports(&settings, running));
        findings.extend(chain(&home, &settings).await?);
        findings.extend(parts(&settings, running).await);
    } else {
        findings.push(Well("no market is served here: calls go to upstreams alone".into()));
        findings.push(gateway_alone(&settings).await);
    }
    findings.extend(upstreams::findings(&settings).await);
    let mut wrong = 0;
    for finding in findings {
        match finding {
            Well(what) => println!("✓ {what}"),
            Wrong(what, remedy) => {
                wrong += 1;
                println!("✗ {what}\n    {remedy}");
            }
        }
    }
    if wrong == 0 { Ok(()) } else { Err(CliError::Doctor(wrong)) }
}

fn private_home(home: &Home) -> Finding {
    let mut open = Vec::new();
    let keys = fs::read_dir(home.keys()).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in [home.root().to_owned(), home.keys(), home.api_key_file()].into_iter().chain(keys) {
        match fs::metadata(&path) {
            Ok(facts) if facts.permissions().mode() & 0o077 != 0 => {
                open.push(path.display().to_string())
            }
            _ => {}
        }
    }
    if !home.root().exists() {
        return Well(format!(
            "home {} is not there yet: `chainference up` makes it",
            home.root().display()
        ));
    }
    if open.is_empty() {
        return Well(format!("home {} is yours alone", home.root().display()));
    }
    Wrong(
        format!("others can read {}", open.join(", ")),
        format!("chmod -R go= {}", home.root().display()),
    )
}

fn disk(home: &Home) -> Finding {
    let existing = home.root().ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match statvfs(existing) {
        Err(error) => Wrong(
            format!("the disk of {} can't be asked: {error}", existing.display()),
            "is the file system mounted?".into(),
        ),
        Ok(facts) => {
            let free = facts.blocks_available().saturating_mul(facts.fragment_size());
            let text = format!("{:.1} GB free for {}", free as f64 / 1e9, home.root().display());
            if free >= DISK_FREE_MIN_BYTES {
                Well(text)
            } else {
                Wrong(text, "make room: models/ and chain/ are the largest".into())
            }
        }
    }
}

fn chain_binary(settings: &Settings) -> Finding {
    if !settings.embedded_chain() {
        return Well("another chain is used; the embedded one isn't needed".into());
    }
    match crate::serve::chain_binary(settings) {
        Ok(path) if path.exists() => Well(format!("embedded chain: {}", path.display())),
        Ok(path) => Wrong(
            format!("{} is not there", path.display()),
            "correct CHAINFERENCE_CHAIN_BIN".into(),
        ),
        Err(error) => Wrong(error.to_string(), error.hint().unwrap_or_default()),
    }
}

/// A file of one's own is looked into; what is fetched by name was checked when it came.
fn models(settings: &Settings) -> Vec<Finding> {
    match crate::serve::model_sources(settings) {
        Err(error) => {
            vec![Wrong(error.to_string(), "correct --model, or the line in config.toml".into())]
        }
        Ok(sources) => sources.into_iter().map(model).collect(),
    }
}

fn model(source: ModelSource) -> Finding {
    match source {
        ModelSource::File(path) => match Gguf::open(&path) {
            Ok(gguf) => Well(format!("model {}: {}", path.display(), gguf.abilities)),
            Err(error) => {
                Wrong(error.to_string(), "fetch the file again, or choose another".into())
            }
        },
        source => Well(format!("model {source} is fetched when it isn't there")),
    }
}

/// While a market runs, its ports are rightly taken.
fn ports(settings: &Settings, running: bool) -> Vec<Finding> {
    if running {
        return Vec::new();
    }
    let taken = crate::up::ports(settings).into_iter().filter_map(|port| port.probe().err());
    let mut findings: Vec<_> =
        taken.map(|error| Wrong(error.to_string(), error.hint().unwrap_or_default())).collect();
    if findings.is_empty() {
        findings.push(Well("all ports are free".into()));
    }
    findings
}

async fn chain(home: &Home, settings: &Settings) -> Result<Vec<Finding>, CliError> {
    let endpoints = settings.endpoints()?;
    let url = endpoints.rpc_url.clone();
    let chain = Chain::new(endpoints, Commitment::Processed);
    let mut findings = Vec::new();
    let clock = match chain.clock().await {
        Ok(clock) => clock,
        Err(error) => {
            let remedy = if settings.embedded_chain() {
                "chainference up starts it"
            } else {
                "check --rpc-url, and the network"
            };
            return Ok(vec![Wrong(format!("the chain doesn't answer: {error}"), remedy.into())]);
        }
    };
    findings.push(Well(format!("chain {url} at slot {}", clock.slot)));
    findings.push(skew(clock.unix_s, now_unix_s(), settings.embedded_chain()));
    findings.push(match chain.deployed().await {
        Ok(true) => Well(format!("program {} is deployed", chainference_chain::PROGRAM_ID)),
        _ => Wrong(
            format!("program {} isn't deployed", chainference_chain::PROGRAM_ID),
            "programs/README.md says how to deploy it".into(),
        ),
    });
    findings.push(match chain.config().await {
        Ok(Some(config)) if config.paused() => {
            Wrong("the market is paused".into(), "its admin ends that".into())
        }
        Ok(Some(_)) => Well("the market is initialised".into()),
        _ => Wrong(
            "the market isn't initialised".into(),
            "`chainference up` does that on the embedded chain".into(),
        ),
    });
    findings.extend(balances(home, &chain).await?);
    Ok(findings)
}

fn skew(chain_unix_s: i64, machine_unix_s: i64, embedded: bool) -> Finding {
    let apart = chain_unix_s.abs_diff(machine_unix_s);
    let text = format!("the chain's clock and this machine's are {apart} s apart");
    if apart <= CLOCK_SKEW_MAX_S {
        return Well(text);
    }
    let remedy = if embedded {
        "restart `chainference up`: the embedded chain stands still while the machine sleeps"
    } else {
        "set this machine's clock (NTP)"
    };
    Wrong(text, remedy.into())
}

#[expect(clippy::disallowed_methods, reason = "the machine's clock is what is examined")]
fn now_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

async fn balances(home: &Home, chain: &Chain) -> Result<Vec<Finding>, CliError> {
    let mut findings = Vec::new();
    for name in KeyName::ALL {
        if !home.has_key(name) {
            continue;
        }
        let key = home.keypair(name)?.pubkey();
        let Ok(held) = chain.balance(&key).await else { continue };
        let text = format!("{} {key} holds {}", name.as_str(), amount::sol(held.0));
        findings.push(if held.0 >= KEY_BALANCE_MIN {
            Well(text)
        } else {
            Wrong(text, format!("send SOL to {key}: it pays fees and rent"))
        });
    }
    if home.has_key(KeyName::Wallet) {
        let vault = address::vault(&home.keypair(KeyName::Wallet)?.pubkey());
        findings.push(match chain.vault(&vault).await {
            Ok(Some(found)) => {
                Well(format!("vault {vault} is open, {} reserved", amount::sol(found.reserved)))
            }
            _ => Wrong("no vault is open".into(), "chainference wallet deposit 1sol".into()),
        });
    }
    Ok(findings)
}

async fn parts(settings: &Settings, running: bool) -> Vec<Finding> {
    if !running {
        return vec![Well("nothing runs in this home now".into())];
    }
    let worker = format!("http://{}/health", reachable(settings.worker.listen()));
    let mut findings = Vec::new();
    for (name, url) in [("worker", worker), ("gateway", ready_url(settings))] {
        let remedy = format!("its log says why: logs/{name}.log in the home folder");
        findings.push(if answers(&url).await {
            Well(format!("the {name} answers"))
        } else {
            Wrong(format!("the {name} doesn't answer at {url}"), remedy)
        });
    }
    findings
}

/// A gateway that nobody supervises, where one runs.
async fn gateway_alone(settings: &Settings) -> Finding {
    let url = ready_url(settings);
    if told(&url).await.is_some() {
        Well(format!("the gateway answers at {url}"))
    } else {
        Wrong(
            format!("the gateway doesn't answer at {url}"),
            "start it: chainference gateway".into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_apart_are_noticed_in_both_directions() {
        assert!(matches!(skew(1_000, 1_030, false), Well(_)));
        assert!(matches!(skew(1_000, 1_031, false), Wrong(..)));
        assert!(matches!(skew(1_031, 1_000, true), Wrong(..)));
    }

    #[test]
    fn files_that_others_can_read_are_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::locate(Some(folder.path().join("home"))).expect("located");
        home.create().expect("created");
        home.make_keys().expect("keys");
        assert!(matches!(private_home(&home), Well(_)));
        let key = home.keys().join("wallet.json");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(matches!(private_home(&home), Wrong(what, _) if what.contains("wallet.json")));
    }
}
