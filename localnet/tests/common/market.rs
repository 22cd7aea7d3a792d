//! A market with two clients and two workers.

use std::collections::BTreeSet;

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Lamports, Pubkey, Signer, instruction};
use litesvm::LiteSVM;

use super::keys::{Client, Provider, key};
use super::*;

pub struct Market {
    pub svm: LiteSVM,
    /// Upgrade authority, then admin.
    pub admin: Keypair,
    /// The client's cold key.
    pub wallet: Keypair,
    /// The client's hot key.
    pub gateway: Keypair,
    /// The worker's cold key.
    pub owner: Keypair,
    /// The worker's hot key.
    pub operator: Keypair,
    pub other_client: Client,
    pub other_worker: Provider,
    /// Holds money and nothing else.
    pub stranger: Keypair,
    pub platform: Pubkey,
    pub stakers: Pubkey,
    /// Fees that the chain has taken so far, in lamports.
    pub fees: u64,
    /// Everything that was given out at the start, in lamports.
    pub minted: u64,
    /// Of the last transaction.
    pub compute_units: u64,
    /// Of the last transaction.
    pub logs: Vec<String>,
    /// Session keys that were tried.
    pub(super) sessions: u64,
    /// All who were given money.
    pub(super) holders: BTreeSet<Pubkey>,
}

impl Market {
    /// The program alone, and wallets with money.
    pub fn empty() -> Self {
        let Client { wallet, gateway } = Client::new("client");
        let Provider { owner, operator } = Provider::new("worker");
        let mut market = Self {
            svm: LiteSVM::new(),
            admin: key("admin"),
            wallet,
            gateway,
            owner,
            operator,
            other_client: Client::new("other client"),
            other_worker: Provider::new("other worker"),
            stranger: key("stranger"),
            platform: key("platform").pubkey(),
            stakers: key("stakers").pubkey(),
            fees: 0,
            minted: 0,
            compute_units: 0,
            logs: Vec::new(),
            sessions: 0,
            holders: BTreeSet::new(),
        };
        market.deploy();
        market.set_clock(START_SLOT, START_UNIX_S);
        for key in market.wallets() {
            market.mint(&key, 10 * SOL);
        }
        // The payouts exist: an empty account can't receive less than its own rent.
        for key in [market.platform, market.stakers] {
            market.mint(&key, SOL);
        }
        market
    }

    /// Vaults of [`DEPOSIT`] with their delegates, workers with their offers.
    pub fn new() -> Self {
        Self::with_preset(Preset::Open)
    }

    pub fn with_preset(preset: Preset) -> Self {
        let mut market = Self::empty();
        market.initialize(preset).unwrap();
        for client in [market.client(), market.second_client()] {
            market.open_vault(&client);
        }
        for provider in [market.provider(), market.second_provider()] {
            market.register(&provider);
        }
        market
    }

    /// The same market at this moment: what happens to one does not happen to the other.
    pub fn fork(&self) -> Self {
        Self {
            svm: self.svm.clone(),
            admin: self.admin.insecure_clone(),
            wallet: self.wallet.insecure_clone(),
            gateway: self.gateway.insecure_clone(),
            owner: self.owner.insecure_clone(),
            operator: self.operator.insecure_clone(),
            other_client: self.second_client(),
            other_worker: self.second_provider(),
            stranger: self.stranger.insecure_clone(),
            logs: self.logs.clone(),
            holders: self.holders.clone(),
            ..*self
        }
    }

    /// All who sign; each begins with 10 SOL.
    pub fn wallets(&self) -> Vec<Pubkey> {
        let (client, worker) = (&self.other_client, &self.other_worker);
        let others = [&client.wallet, &client.gateway, &worker.owner, &worker.operator];
        let others = others.map(|key| key.pubkey());
        [&self.actors(), others.as_slice(), &[self.stranger.pubkey()]].concat()
    }

    pub fn actors(&self) -> [Pubkey; 5] {
        [&self.admin, &self.wallet, &self.gateway, &self.owner, &self.operator]
            .map(|key| key.pubkey())
    }

    pub fn client(&self) -> Client {
        Client { wallet: self.wallet.insecure_clone(), gateway: self.gateway.insecure_clone() }
    }

    pub fn second_client(&self) -> Client {
        let Client { wallet, gateway } = &self.other_client;
        Client { wallet: wallet.insecure_clone(), gateway: gateway.insecure_clone() }
    }

    pub fn provider(&self) -> Provider {
        Provider { owner: self.owner.insecure_clone(), operator: self.operator.insecure_clone() }
    }

    pub fn second_provider(&self) -> Provider {
        let Provider { owner, operator } = &self.other_worker;
        Provider { owner: owner.insecure_clone(), operator: operator.insecure_clone() }
    }

    pub fn vault(&self) -> Pubkey {
        chainference_chain::address::vault(&self.wallet.pubkey())
    }

    pub fn worker(&self) -> Pubkey {
        chainference_chain::address::worker(&self.owner.pubkey())
    }

    pub fn offer(&self) -> Pubkey {
        chainference_chain::address::offer(&self.worker(), MODEL.0, MODEL.1)
    }

    pub fn registration(&self, bond: u64) -> RegisterWorkerArgs {
        registration(&self.operator.pubkey(), bond)
    }

    pub fn initialize_args(&self, preset: Preset) -> InitializeArgs {
        InitializeArgs {
            preset,
            platform_payout: self.platform,
            stakers_payout: self.stakers,
            bond_min: BOND,
            reputation_prior: REPUTATION_PRIOR,
            rated_fees_min: RATED_FEES_MIN,
            bond_cooldown_s: BOND_COOLDOWN_S,
            grace_s: GRACE_S,
            heartbeat_s: HEARTBEAT_S,
        }
    }

    #[track_caller]
    pub fn initialize(&mut self, preset: Preset) -> Result<(), Refusal> {
        let admin = self.admin.insecure_clone();
        let args = self.initialize_args(preset);
        self.send(&[instruction::initialize(&admin.pubkey(), args)], &admin, &[])
    }

    /// Changes the market's settings, as the admin.
    #[track_caller]
    pub fn configure(&mut self, change: UpdateConfigArgs) {
        let admin = self.admin.insecure_clone();
        self.send(&[instruction::update_config(&admin.pubkey(), change)], &admin, &[]).unwrap();
    }

    /// A vault of [`DEPOSIT`] and its delegate.
    pub fn open_vault(&mut self, client: &Client) {
        let key = client.wallet.pubkey();
        let delegate = delegation(Some(client.gateway.pubkey()));
        let open = [
            instruction::open_vault(&key),
            instruction::deposit(&key, &client.vault(), Lamports(DEPOSIT)),
            instruction::set_delegate(&key, delegate),
        ];
        self.send(&open, &client.wallet, &[]).unwrap();
    }

    /// A worker's record and its offer of [`MODEL`].
    pub fn register(&mut self, provider: &Provider) {
        let key = provider.owner.pubkey();
        let worker = [
            instruction::register_worker(&key, registration(&provider.operator.pubkey(), BOND)),
            instruction::post_offer(&key, &provider.worker(), offer_args(MODEL)),
        ];
        self.send(&worker, &provider.owner, &[]).unwrap();
    }
}

pub fn delegation(delegate: Option<Pubkey>) -> SetDelegateArgs {
    SetDelegateArgs { delegate, limit: 10 * STAKE, period_s: PERIOD_S }
}

pub fn registration(operator: &Pubkey, bond: u64) -> RegisterWorkerArgs {
    RegisterWorkerArgs {
        operator: *operator,
        x25519: [9; 32],
        endpoint: "http://127.0.0.1:7071".into(),
        bond,
    }
}

pub fn offer_args(model: (&str, &str)) -> PostOfferArgs {
    PostOfferArgs {
        model: model.0.into(),
        revision: "main".into(),
        quantisation: model.1.into(),
        gguf_sha256: [1; 32],
        tokenizer_sha256: [2; 32],
        price_in_per_mtok: PRICE_IN,
        price_out_per_mtok: PRICE_OUT,
        charge_min: CHARGE_MIN,
        context_tokens: 2_048,
        abilities: 0,
    }
}
