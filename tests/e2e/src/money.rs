//! The books: who holds how many lamports, and which fees were paid.

use chainference_chain::{Pubkey, address};

use crate::{
    eventually,
    history::Fees,
    market::{Market, block_on},
};

/// All accounts that take part in a call, at one moment, in lamports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Books {
    pub wallet: u64,
    pub gateway: u64,
    pub worker_owner: u64,
    pub worker_operator: u64,
    pub vault: u64,
    /// The worker's record: rent, bond, earnings and fees of the market.
    pub worker: u64,
    /// Rent in job accounts that are not closed yet.
    pub jobs: u64,
    /// Transaction fees that the gateway has paid so far.
    pub gateway_fees: u64,
    pub operator_fees: u64,
    /// As the worker's record counts them.
    pub earnings: u64,
    pub fees_platform: u64,
    pub fees_stakers: u64,
    /// As the vault counts it.
    pub reserved: u64,
}

/// Addresses of a market's keys.
pub struct Keys {
    pub wallet: Pubkey,
    pub gateway: Pubkey,
    pub worker_owner: Pubkey,
    pub worker_operator: Pubkey,
    gateway_fees: Fees,
    operator_fees: Fees,
}

impl Keys {
    pub fn of(market: &Market) -> Self {
        let wallet = market.place.json(&["wallet", "--json", "--rpc-url", &market.rpc_url()]);
        let key = |name: &str| {
            wallet["keys"][name]["address"].as_str().expect("an address").parse().expect("base58")
        };
        let (gateway, worker_operator) = (key("gateway"), key("worker-operator"));
        Self {
            wallet: key("wallet"),
            gateway,
            worker_owner: key("worker-owner"),
            worker_operator,
            gateway_fees: Fees::of(gateway),
            operator_fees: Fees::of(worker_operator),
        }
    }

    pub fn vault(&self) -> Pubkey {
        address::vault(&self.wallet)
    }

    pub fn worker(&self) -> Pubkey {
        address::worker(&self.worker_owner)
    }
}

impl Books {
    /// Jobs are made and let go ahead of calls at any moment: takes them until two are the same, and all
    /// that is reserved is what live jobs of the ledger hold.
    pub fn take(market: &Market, keys: &Keys) -> Self {
        eventually("the books stand still", 60, || {
            let (first, staked) = (Self::look(market, keys), market.staked());
            let again = Self::look(market, keys);
            (first == again && again.reserved == staked).then_some(again)
        })
    }

    /// One look, which may fall between two steps of a job.
    pub fn look(market: &Market, keys: &Keys) -> Self {
        let chain = market.chain();
        block_on(async {
            let balance = |key: Pubkey| {
                let chain = chain.clone();
                async move { chain.balance(&key).await.expect("a balance").0 }
            };
            let mut jobs = 0;
            for (job, _) in chain.jobs_of_vault(&keys.vault()).await.expect("jobs") {
                jobs += balance(job).await;
            }
            let record = chain.worker(&keys.worker()).await.expect("answered").expect("registered");
            Self {
                wallet: balance(keys.wallet).await,
                gateway: balance(keys.gateway).await,
                worker_owner: balance(keys.worker_owner).await,
                worker_operator: balance(keys.worker_operator).await,
                vault: balance(keys.vault()).await,
                worker: balance(keys.worker()).await,
                jobs,
                gateway_fees: keys.gateway_fees.paid(market),
                operator_fees: keys.operator_fees.paid(market),
                earnings: record.earnings,
                fees_platform: record.fees_platform,
                fees_stakers: record.fees_stakers,
                reserved: chain
                    .vault(&keys.vault())
                    .await
                    .expect("answered")
                    .expect("open")
                    .reserved,
            }
        })
    }

    /// Everything there is, and everything that was burnt: never changes.
    pub fn total(&self) -> u64 {
        self.wallet
            + self.gateway
            + self.worker_owner
            + self.worker_operator
            + self.vault
            + self.worker
            + self.jobs
            + self.gateway_fees
            + self.operator_fees
    }
}

/// The gateway's double-entry books, once all is at rest, against the chain: whatever happened, each account is what the
/// chain says to the lamport. (What a wallet deposits or withdraws is no movement of the gateway's.)
pub fn audit(market: &Market, keys: &Keys) {
    crate::eventually("the books equal the chain", 60, || {
        let told = market.json(&["spend", "--json"]);
        let book = |account: &str| told["books"][account].as_i64().expect("lamports");
        let sum = |column: &str| -> i64 {
            market.jobs().iter().filter_map(|job| job[column].as_i64()).sum()
        };
        let chain = Books::take(market, keys);
        let signed = |lamports: u64| i64::try_from(lamports).expect("lamports");
        let accounts = ["vault", "reserved", "workers", "gateway", "rent", "fees", "unseen"];
        assert_eq!(accounts.iter().map(|account| book(account)).sum::<i64>(), 0, "{told}");
        assert_eq!(book("unseen"), 0, "{told}");
        let equal = book("reserved") == signed(chain.reserved)
            && book("rent") == signed(chain.jobs)
            && book("fees") == signed(chain.gateway_fees)
            && book("gateway") == -signed(chain.gateway_fees + chain.jobs)
            && book("workers") == sum("paid")
            && book("vault") == -(sum("paid") + signed(chain.reserved));
        equal.then_some(())
    });
}
