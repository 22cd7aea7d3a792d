//! Questions to the chain: typed accounts, clocks, balances.

use std::sync::Arc;

use anchor_lang::Discriminator;
use chainference::state::TAG_BYTES;
use solana_account_decoder_client_types::{UiAccount, UiAccountEncoding};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client::rpc_client::RpcClientConfig;
use solana_rpc_client::rpc_sender::RpcSender;
use solana_rpc_client_api::client_error::{Error as RpcError, ErrorKind};
use solana_rpc_client_api::config::{RpcAccountInfoConfig, RpcProgramAccountsConfig};
use solana_rpc_client_api::filter::{Memcmp, RpcFilterType};
use solana_sdk_ids::sysvar;

use crate::accounts::{Config, Job, JobStatus, Offer, Stored, Vault, Worker};
use crate::failover::Failover;
use crate::subscription::{Changes, Subscriptions};
use crate::{Blockhash, ChainError, Commitment, Lamports, PROGRAM_ID, Pubkey, address};

// Where clients' filters look: right behind the type's tag.
const JOB_VAULT_AT: usize = TAG_BYTES;
const JOB_WORKER_AT: usize = JOB_VAULT_AT + 32;
const JOB_MODEL_AT: usize = TAG_BYTES + std::mem::offset_of!(Job, model_hash);
const JOB_STATUS_AT: usize = TAG_BYTES + std::mem::offset_of!(Job, status);
/// The most accounts that a node tells at once.
const ACCOUNTS_MAX: usize = 100;

/// Where the node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// JSON-RPC, `http://` or `https://`.
    pub rpc_url: String,
    /// Subscriptions, `ws://` or `wss://`.
    pub ws_url: String,
}

/// The chain's clock, as the program reads it. Deadlines are compared with this, never with a machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub slot: u64,
    pub unix_s: i64,
}

/// Who offers what, and when the chain said so.
#[derive(Clone, Debug)]
pub struct Market {
    pub clock: Clock,
    /// `None` before `initialize`.
    pub config: Option<Config>,
    pub workers: Vec<(Pubkey, Worker)>,
    /// Resting ones included.
    pub offers: Vec<(Pubkey, Offer)>,
}

/// A published job that no worker has locked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenJob {
    pub address: Pubkey,
    pub job: Job,
    /// Records of the workers that may lock it; none: any that passes its filters.
    pub allowed: Vec<Pubkey>,
}

/// A connection to the chain. Cheap to clone; clones share one websocket.
#[derive(Clone)]
pub struct Chain {
    pub(crate) rpc: Arc<RpcClient>,
    pub(crate) subscriptions: Subscriptions,
    url: Arc<str>,
}

impl Chain {
    /// Connects lazily: nothing is sent before the first question. `commitment` is what every answer and every
    /// [`Chain::submit`] waits for: `Processed` is enough on the embedded chain, elsewhere take `Confirmed`.
    pub fn new(endpoints: Endpoints, commitment: Commitment) -> Self {
        Self::with_fallbacks(endpoints, Vec::new(), commitment)
    }

    /// The same with further nodes of the same cluster, which are asked where the first is away.
    pub fn with_fallbacks(
        endpoints: Endpoints,
        fallbacks: Vec<Endpoints>,
        commitment: Commitment,
    ) -> Self {
        let nodes = std::iter::once(endpoints).chain(fallbacks);
        let (rpc_urls, ws_urls): (Vec<_>, Vec<_>) =
            nodes.map(|node| (node.rpc_url, node.ws_url)).unzip();
        let failover = Failover::new(&rpc_urls);
        let url: Arc<str> = failover.url().into();
        let config = RpcClientConfig::with_commitment(CommitmentConfig { commitment });
        let rpc = RpcClient::new_sender(failover, config);
        Self { rpc: Arc::new(rpc), subscriptions: Subscriptions::new(ws_urls), url }
    }

    /// Whether the node answers and is in step with its cluster.
    pub async fn health(&self) -> Result<(), ChainError> {
        self.rpc.get_health().await.map_err(|error| self.failed(error))
    }

    /// Whether the settlement program is there.
    pub async fn deployed(&self) -> Result<bool, ChainError> {
        let account = self.account(&PROGRAM_ID).await?;
        Ok(account.is_some_and(|account| account.executable))
    }

    /// The market's configuration; `None` before `initialize`.
    pub async fn config(&self) -> Result<Option<Config>, ChainError> {
        self.load(&address::config()).await
    }

    pub async fn worker(&self, address: &Pubkey) -> Result<Option<Worker>, ChainError> {
        self.load(address).await
    }

    pub async fn offer(&self, address: &Pubkey) -> Result<Option<Offer>, ChainError> {
        self.load(address).await
    }

    pub async fn vault(&self, address: &Pubkey) -> Result<Option<Vault>, ChainError> {
        self.load(address).await
    }

    pub async fn job(&self, address: &Pubkey) -> Result<Option<Job>, ChainError> {
        self.load(address).await
    }

    /// These jobs, `None` for each that isn't there.
    pub async fn jobs(&self, addresses: &[Pubkey]) -> Result<Vec<Option<Job>>, ChainError> {
        self.jobs_at(addresses, self.rpc.commitment()).await
    }

    /// The same as the whole cluster will remember it for ever: what is in here can't be rolled back.
    pub async fn finalized_jobs(
        &self,
        addresses: &[Pubkey],
    ) -> Result<Vec<Option<Job>>, ChainError> {
        self.jobs_at(addresses, CommitmentConfig::finalized()).await
    }

    async fn jobs_at(
        &self,
        addresses: &[Pubkey],
        commitment: CommitmentConfig,
    ) -> Result<Vec<Option<Job>>, ChainError> {
        let accounts = self.accounts(addresses, commitment).await?;
        addresses.iter().zip(accounts).map(|(address, account)| ours(address, account)).collect()
    }

    /// Every worker's record in the market.
    pub async fn workers(&self) -> Result<Vec<(Pubkey, Worker)>, ChainError> {
        self.list(&[]).await
    }

    /// Every offer in the market, resting ones included.
    pub async fn offers(&self) -> Result<Vec<(Pubkey, Offer)>, ChainError> {
        self.list(&[]).await
    }

    /// The jobs that a worker has locked and whose accounts still exist.
    pub async fn jobs_of_worker(&self, worker: &Pubkey) -> Result<Vec<(Pubkey, Job)>, ChainError> {
        self.list(&[(JOB_WORKER_AT, worker.as_ref())]).await
    }

    /// The open market: published jobs of a model that nobody has locked.
    pub async fn open_jobs(&self, model_hash: &[u8; 32]) -> Result<Vec<OpenJob>, ChainError> {
        let fields = open_jobs_of(model_hash);
        let found = self.data(Job::DISCRIMINATOR, &fields, self.rpc.commitment()).await?;
        let open = |(address, data): (Pubkey, Vec<u8>)| {
            let allowed = Job::allowed(&data).map(<[Pubkey]>::to_vec);
            let what = "a job with a list of workers";
            let allowed = allowed.ok_or(ChainError::BadAccount { address, what })?;
            Ok(OpenJob { address, job: parse(&address, &data)?, allowed })
        };
        found.into_iter().map(open).collect()
    }

    /// Tells when there may be another open job of a model.
    pub fn watch_open_jobs(&self, model_hash: &[u8; 32]) -> Changes {
        let fields = open_jobs_of(model_hash);
        let commitment = self.rpc.commitment();
        self.subscriptions.changes(accounts_config(Job::DISCRIMINATOR, &fields, commitment))
    }

    /// The jobs of a vault whose accounts still exist.
    pub async fn jobs_of_vault(&self, vault: &Pubkey) -> Result<Vec<(Pubkey, Job)>, ChainError> {
        self.list(&[(JOB_VAULT_AT, vault.as_ref())]).await
    }

    /// The chain's own clock.
    pub async fn clock(&self) -> Result<Clock, ChainError> {
        clock(self.account(&sysvar::clock::ID).await?)
    }

    /// All of the market. The node looks at each account of the program for it, jobs included.
    pub async fn market(&self) -> Result<Market, ChainError> {
        let (workers, offers) = (self.workers().await?, self.offers().await?);
        Ok(Market { workers, offers, ..self.market_of(&[], &[]).await? })
    }

    /// Of these workers and offers, those that are still there. Of 98 together at most it is one question.
    pub async fn market_of(
        &self,
        workers: &[Pubkey],
        offers: &[Pubkey],
    ) -> Result<Market, ChainError> {
        let addresses = [&[sysvar::clock::ID, address::config()], workers, offers].concat();
        let mut found = self.accounts(&addresses, self.rpc.commitment()).await?.into_iter();
        let mut next = || found.next().flatten();
        let clock = clock(next())?;
        let config = ours(&address::config(), next())?;
        Ok(Market {
            clock,
            config,
            workers: there(workers, &mut next)?,
            offers: there(offers, next)?,
        })
    }

    pub async fn slot(&self) -> Result<u64, ChainError> {
        self.rpc.get_slot().await.map_err(|error| self.failed(error))
    }

    /// All lamports of an account; zero where there is none.
    pub async fn balance(&self, address: &Pubkey) -> Result<Lamports, ChainError> {
        self.rpc.get_balance(address).await.map(Lamports).map_err(|error| self.failed(error))
    }

    /// The lamports that keep an account of this many bytes alive.
    pub async fn rent_exempt(&self, bytes: usize) -> Result<Lamports, ChainError> {
        let answer = self.rpc.get_minimum_balance_for_rent_exemption(bytes).await;
        answer.map(Lamports).map_err(|error| self.failed(error))
    }

    pub async fn blockhash(&self) -> Result<Blockhash, ChainError> {
        let commitment = self.rpc.commitment();
        let answer = self.rpc.get_latest_blockhash_with_commitment(commitment).await;
        let (hash, last_valid_block_height) = answer.map_err(|error| self.failed(error))?;
        Ok(Blockhash { hash, last_valid_block_height })
    }

    /// Transactions land up to their last valid one of these.
    pub async fn block_height(&self) -> Result<u64, ChainError> {
        self.rpc.get_block_height().await.map_err(|error| self.failed(error))
    }

    /// Sorts a failure: no node there, or a node that said no.
    pub(crate) fn failed(&self, error: RpcError) -> ChainError {
        match error.kind() {
            ErrorKind::Io(_) | ErrorKind::Reqwest(_) | ErrorKind::Middleware(_) => {
                ChainError::Unreachable { url: self.url.to_string(), source: Box::new(error) }
            }
            _ => ChainError::Refused(Box::new(error)),
        }
    }

    async fn account(&self, address: &Pubkey) -> Result<Option<AccountData>, ChainError> {
        let config = account_config(self.rpc.commitment());
        let answer = self.rpc.get_ui_account_with_config(address, config).await;
        let account = answer.map_err(|error| self.failed(error))?.value;
        account.map(|account| decode(address, &account)).transpose()
    }

    /// As many as were asked for, in that order.
    async fn accounts(
        &self,
        addresses: &[Pubkey],
        commitment: CommitmentConfig,
    ) -> Result<Vec<Option<AccountData>>, ChainError> {
        let mut found = Vec::with_capacity(addresses.len());
        for some in addresses.chunks(ACCOUNTS_MAX) {
            let config = account_config(commitment);
            let answer = self.rpc.get_multiple_ui_accounts_with_config(some, config).await;
            let accounts = answer.map_err(|error| self.failed(error))?.value;
            for (address, account) in some.iter().zip(accounts) {
                found.push(account.map(|account| decode(address, &account)).transpose()?);
            }
        }
        Ok(found)
    }

    async fn load<T: Stored>(&self, address: &Pubkey) -> Result<Option<T>, ChainError> {
        ours(address, self.account(address).await?)
    }

    async fn list<T: Stored>(
        &self,
        fields: &[(usize, &[u8])],
    ) -> Result<Vec<(Pubkey, T)>, ChainError> {
        let found = self.data(T::DISCRIMINATOR, fields, self.rpc.commitment()).await?;
        found.into_iter().map(|(address, data)| Ok((address, parse(&address, &data)?))).collect()
    }

    /// The bytes of the program's accounts of a kind that hold these bytes at these places.
    async fn data(
        &self,
        kind: &[u8],
        fields: &[(usize, &[u8])],
        commitment: CommitmentConfig,
    ) -> Result<Vec<(Pubkey, Vec<u8>)>, ChainError> {
        let config = accounts_config(kind, fields, commitment);
        let answer = self.rpc.get_program_ui_accounts_with_config(&PROGRAM_ID, config).await;
        let accounts = answer.map_err(|error| self.failed(error))?;
        let bytes = |(address, account)| Ok((address, decode(&address, &account)?.data));
        accounts.into_iter().map(bytes).collect()
    }
}

fn open_jobs_of(model_hash: &[u8; 32]) -> [(usize, &[u8]); 2] {
    [(JOB_MODEL_AT, model_hash.as_slice()), (JOB_STATUS_AT, &[JobStatus::Open as u8])]
}

/// The program's accounts of a kind that hold these bytes at these places.
fn accounts_config(
    kind: &[u8],
    fields: &[(usize, &[u8])],
    commitment: CommitmentConfig,
) -> RpcProgramAccountsConfig {
    let filters = std::iter::once((0, kind)).chain(fields.iter().copied());
    let filters = filters.map(|(at, bytes)| Memcmp::new_raw_bytes(at, bytes.to_vec()));
    RpcProgramAccountsConfig {
        filters: Some(filters.map(RpcFilterType::Memcmp).collect()),
        account_config: account_config(commitment),
        ..Default::default()
    }
}

pub(crate) struct AccountData {
    owner: String,
    executable: bool,
    data: Vec<u8>,
}

fn account_config(commitment: CommitmentConfig) -> RpcAccountInfoConfig {
    RpcAccountInfoConfig {
        encoding: Some(UiAccountEncoding::Base64),
        commitment: Some(commitment),
        ..Default::default()
    }
}

pub(crate) fn decode(address: &Pubkey, account: &UiAccount) -> Result<AccountData, ChainError> {
    let data = account
        .data
        .decode()
        .ok_or(ChainError::BadAccount { address: *address, what: "readable bytes" })?;
    Ok(AccountData { owner: account.owner.clone(), executable: account.executable, data })
}

/// What the program keeps in an account; `None` where it has none there.
fn ours<T: Stored>(
    address: &Pubkey,
    account: Option<AccountData>,
) -> Result<Option<T>, ChainError> {
    // Lamports sent to an address make it exist before the program does.
    let account = account.filter(|account| account.owner == PROGRAM_ID.to_string());
    account.map(|account| parse(address, &account.data)).transpose()
}

/// Those of the addresses where the next account is the program's.
fn there<T: Stored>(
    addresses: &[Pubkey],
    mut next: impl FnMut() -> Option<AccountData>,
) -> Result<Vec<(Pubkey, T)>, ChainError> {
    let one = |address| Ok(ours(address, next())?.map(|stored| (*address, stored)));
    addresses.iter().map(one).filter_map(Result::transpose).collect()
}

fn clock(account: Option<AccountData>) -> Result<Clock, ChainError> {
    let data = account.as_ref().map(|account| account.data.as_slice()).unwrap_or_default();
    parse_clock(data)
        .ok_or(ChainError::BadAccount { address: sysvar::clock::ID, what: "the clock sysvar" })
}

fn parse<T: Stored>(address: &Pubkey, data: &[u8]) -> Result<T, ChainError> {
    T::read(data).ok_or(ChainError::BadAccount {
        address: *address,
        what: "an account of the expected kind and version",
    })
}

/// slot (8), epoch start (8), epoch (8), leader schedule epoch (8), unix time (8), little-endian.
pub(crate) fn parse_clock(data: &[u8]) -> Option<Clock> {
    let slot = data.first_chunk::<8>()?;
    let unix_s = data.get(32..40)?.first_chunk::<8>()?;
    Some(Clock { slot: u64::from_le_bytes(*slot), unix_s: i64::from_le_bytes(*unix_s) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_look_where_a_job_keeps_its_vault_and_worker() {
        assert_eq!(JOB_VAULT_AT, TAG_BYTES + std::mem::offset_of!(Job, vault));
        assert_eq!(JOB_WORKER_AT, TAG_BYTES + std::mem::offset_of!(Job, worker));
    }

    #[test]
    fn a_short_clock_is_no_clock() {
        assert_eq!(parse_clock(&[0; 39]), None);
        let mut data = [0; 40];
        data[0] = 7;
        data[32] = 9;
        assert_eq!(parse_clock(&data), Some(Clock { slot: 7, unix_s: 9 }));
    }
}
