//! A market in the real VM: the built program, its configuration, one client and one worker.
#![allow(dead_code, reason = "each test file uses its own part")]

use chainference_chain::accounts::*;
use chainference_chain::instruction::{self, ClaimRequest};
use chainference_chain::{
    Blockhash, Hash, Instruction, JobTerms, Keypair, Lamports, PROGRAM_ID, Pubkey, Quote,
    Signature, SignedTransaction, Signer, Totals, address,
};
use chainference_market::Voucher;
use litesvm::LiteSVM;
use solana_clock::Clock;
use solana_transaction::versioned::VersionedTransaction;

#[path = "../../src/program.rs"]
mod program;

pub const SOL: u64 = 1_000_000_000;
pub const FEE_PER_SIGNATURE: u64 = 5_000;
pub const DEPOSIT: u64 = SOL;
pub const BOND: u64 = SOL / 10;
pub const STAKE: u64 = 1_000_000;
pub const PRICE_IN: u64 = 600_000;
pub const PRICE_OUT: u64 = 1_200_000;
pub const CHARGE_MIN: u64 = 2_000;
pub const GRACE_S: u32 = 600;
pub const SERVE_S: i64 = 300;
pub const MODEL: (&str, &str) = ("example/Model-1B", "Q4_1");
const ARTIFACT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/artifacts/chainference.so");

/// A refused transaction: the program's name for it, or the runtime's own words.
pub type Refusal = String;

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
    pub platform: Pubkey,
    pub stakers: Pubkey,
    /// Fees that the chain has taken so far, in lamports.
    pub fees: u64,
    /// Everything that was given out at the start, in lamports.
    pub minted: u64,
    /// Compute units of the last transaction.
    pub compute_units: u64,
}

/// A job and the key for its vouchers.
pub struct TestJob {
    pub address: Pubkey,
    pub session: Keypair,
    pub terms: JobTerms,
}

impl Market {
    /// The program alone, and accounts with money.
    pub fn empty() -> Self {
        let mut market = Self {
            svm: LiteSVM::new(),
            admin: Keypair::new(),
            wallet: Keypair::new(),
            gateway: Keypair::new(),
            owner: Keypair::new(),
            operator: Keypair::new(),
            platform: Pubkey::new_unique(),
            stakers: Pubkey::new_unique(),
            fees: 0,
            minted: 0,
            compute_units: 0,
        };
        market.deploy();
        market.warp(2_000, 0);
        for key in market.actors() {
            market.mint(&key, 10 * SOL);
        }
        market
    }

    /// A market with a vault of [`DEPOSIT`], its delegate, a worker and its offer.
    pub fn new() -> Self {
        let mut market = Self::empty();
        market.initialize(SharesBps { worker: 9_000, stakers: 0, platform: 1_000 }).unwrap();
        let [admin, wallet, owner] =
            [&market.admin, &market.wallet, &market.owner].map(Keypair::insecure_clone);
        // The payouts exist: an empty account can't receive less than its own rent.
        let (platform, stakers) = (market.platform, market.stakers);
        market.mint(&platform, SOL);
        market.mint(&stakers, SOL);
        let delegate = SetDelegateArgs {
            delegate: Some(market.gateway.pubkey()),
            limit: 10 * STAKE,
            period_s: 86_400,
        };
        let (key, vault) = (wallet.pubkey(), market.vault());
        let open = [
            instruction::open_vault(&key),
            instruction::deposit(&key, &vault, Lamports(DEPOSIT)),
            instruction::set_delegate(&key, delegate),
        ];
        market.send(&open, &wallet, &[]).unwrap();
        let worker = [
            instruction::register_worker(&owner.pubkey(), market.registration(BOND)),
            instruction::post_offer(&owner.pubkey(), offer_args(MODEL)),
        ];
        market.send(&worker, &owner, &[]).unwrap();
        drop(admin);
        market
    }

    pub fn actors(&self) -> [Pubkey; 5] {
        [&self.admin, &self.wallet, &self.gateway, &self.owner, &self.operator]
            .map(|key| key.pubkey())
    }

    pub fn registration(&self, bond: u64) -> RegisterWorkerArgs {
        RegisterWorkerArgs {
            operator: self.operator.pubkey(),
            x25519: [9; 32],
            endpoint: "http://127.0.0.1:7071".into(),
            bond,
        }
    }

    pub fn initialize_args(&self, shares: SharesBps) -> InitializeArgs {
        InitializeArgs {
            shares,
            platform_payout: self.platform,
            stakers_payout: self.stakers,
            bond_min: BOND,
            reputation_prior: 2_000,
            grace_s: GRACE_S,
        }
    }

    pub fn initialize(&mut self, shares: SharesBps) -> Result<(), Refusal> {
        let admin = self.admin.insecure_clone();
        let args = self.initialize_args(shares);
        self.send(&[instruction::initialize(&admin.pubkey(), args)], &admin, &[])
    }

    pub fn vault(&self) -> Pubkey {
        address::vault(&self.wallet.pubkey())
    }

    pub fn worker(&self) -> Pubkey {
        address::worker(&self.owner.pubkey())
    }

    pub fn offer(&self) -> Pubkey {
        address::offer(&self.worker(), MODEL.0, MODEL.1)
    }

    /// Terms of a new job with this worker.
    pub fn terms(&mut self) -> (JobTerms, Keypair) {
        let session = Keypair::new();
        let clock = self.clock();
        let terms = JobTerms {
            vault: self.vault(),
            authority: self.gateway.pubkey(),
            worker: self.worker(),
            operator: self.operator.pubkey(),
            offer: self.offer(),
            model_hash: model_hash(MODEL.0, MODEL.1),
            session_key: session.pubkey(),
            open_slot: clock.slot,
            stake: STAKE,
            max_price_in_per_mtok: PRICE_IN,
            max_price_out_per_mtok: PRICE_OUT,
            serve_until_unix_s: clock.unix_timestamp + SERVE_S,
            blockhash: self.blockhash().hash,
            last_valid_block_height: u64::MAX,
        };
        (terms, session)
    }

    /// Published and locked in one transaction, which both sides signed.
    pub fn locked_job(&mut self) -> TestJob {
        let (terms, session) = self.terms();
        self.lock_on(&terms).unwrap();
        TestJob { address: terms.job(), session, terms }
    }

    pub fn lock_on(&mut self, terms: &JobTerms) -> Result<(), Refusal> {
        let quote = Quote { signature: terms.sign_as_worker(&self.operator), expires_unix_s: 0 };
        let signed = terms.complete(&quote, &self.gateway).unwrap();
        self.land(&signed)
    }

    /// Published, and open to any worker.
    pub fn open_job(&mut self) -> TestJob {
        let (terms, session) = self.terms();
        let gateway = self.gateway.insecure_clone();
        let publish = instruction::publish(&terms.authority, &terms.vault, publish_args(&terms));
        self.send(&[publish], &gateway, &[]).unwrap();
        TestJob { address: terms.job(), session, terms }
    }

    pub fn lock_instruction(&self, job: &TestJob) -> Instruction {
        let terms = &job.terms;
        instruction::lock(&terms.operator, &terms.worker, &terms.offer, &terms.vault, &job.address)
    }

    /// The claim of a voucher that the job's own session key signed.
    pub fn claim(&mut self, job: &TestJob, totals: Totals, is_final: bool) -> Result<(), Refusal> {
        let operator = self.operator.insecure_clone();
        let instructions = instruction::claim(&job.claim(Some(totals), is_final));
        self.send(&instructions, &operator, &[])
    }

    pub fn close_instruction(
        &self,
        job: &TestJob,
        closer: &Pubkey,
        feedback: Feedback,
    ) -> Instruction {
        let feedback = (feedback != Feedback::None).then_some((job.terms.worker, feedback));
        instruction::close(&instruction::CloseRequest {
            closer: *closer,
            vault: job.terms.vault,
            job: job.address,
            authority: job.terms.authority,
            feedback,
        })
    }

    /// Signs, checks the packet's size, and runs.
    pub fn send(
        &mut self,
        instructions: &[Instruction],
        payer: &Keypair,
        others: &[&Keypair],
    ) -> Result<(), Refusal> {
        let blockhash = self.blockhash();
        let signed = SignedTransaction::sign(instructions, payer, others, &blockhash).unwrap();
        self.land(&signed)
    }

    pub fn land(&mut self, signed: &SignedTransaction) -> Result<(), Refusal> {
        let transaction: VersionedTransaction = bincode::deserialize(&signed.wire).unwrap();
        let result = self.svm.send_transaction(transaction);
        let (meta, refusal) = match result {
            Ok(meta) => (meta, None),
            Err(failed) => {
                let name = refusal_name(&failed.meta.logs);
                (failed.meta, Some(name.unwrap_or(format!("{:?}", failed.err))))
            }
        };
        self.fees += meta.fee;
        self.compute_units = meta.compute_units_consumed;
        refusal.map_or(Ok(()), Err)
    }

    /// A fresh blockhash, so that no two transactions are the same.
    pub fn blockhash(&mut self) -> Blockhash {
        self.svm.expire_blockhash();
        let hash = Hash::new_from_array(self.svm.latest_blockhash().to_bytes());
        Blockhash { hash, last_valid_block_height: u64::MAX }
    }

    pub fn clock(&self) -> Clock {
        self.svm.get_sysvar()
    }

    pub fn warp(&mut self, slots: u64, seconds: i64) {
        let mut clock = self.clock();
        clock.slot += slots;
        clock.unix_timestamp += seconds;
        self.svm.set_sysvar(&clock);
    }

    /// Gives money, and remembers it.
    pub fn mint(&mut self, to: &Pubkey, lamports: u64) {
        self.svm.airdrop(&to.to_bytes().into(), lamports).unwrap();
        self.minted += lamports;
    }

    pub fn balance(&self, key: &Pubkey) -> u64 {
        self.svm.get_balance(&key.to_bytes().into()).unwrap_or(0)
    }

    pub fn rent(&self, key: &Pubkey) -> u64 {
        let data =
            self.svm.get_account(&key.to_bytes().into()).map_or(0, |account| account.data.len());
        self.svm.minimum_balance_for_rent_exemption(data)
    }

    pub fn exists(&self, key: &Pubkey) -> bool {
        self.balance(key) > 0
    }

    /// An account of the program, read as it lies on chain.
    pub fn load<T: anchor_lang::AccountDeserialize>(&self, key: &Pubkey) -> T {
        let account = self.svm.get_account(&key.to_bytes().into()).expect("the account exists");
        T::try_deserialize(&mut account.data.as_slice()).expect("an account of this kind")
    }

    fn deploy(&mut self) {
        let elf = std::path::PathBuf::from(ARTIFACT);
        let programs = [(PROGRAM_ID.to_bytes().into(), elf)];
        let authority = Some(self.admin.pubkey().to_bytes().into());
        for program in program::read(&programs, authority).unwrap() {
            let rent = |bytes| self.svm.minimum_balance_for_rent_exemption(bytes);
            let (data, account) =
                (program.data_account(0, rent).unwrap(), program.account(rent).unwrap());
            self.svm.set_account(program.data_address.to_bytes().into(), data).unwrap();
            self.svm.set_account(program.id.to_bytes().into(), account).unwrap();
        }
    }
}

impl TestJob {
    /// A claim signed as it should be.
    pub fn claim(&self, totals: Option<Totals>, is_final: bool) -> ClaimRequest {
        let terms = &self.terms;
        ClaimRequest {
            operator: terms.operator,
            worker: terms.worker,
            vault: terms.vault,
            job: self.address,
            session_key: terms.session_key,
            voucher: totals.map(|totals| (totals, self.vouch(totals))),
            is_final,
        }
    }

    pub fn vouch(&self, totals: Totals) -> Signature {
        let voucher = Voucher { job: self.address.to_bytes(), totals };
        self.session.sign_message(&voucher.to_bytes())
    }
}

pub fn totals(tokens_in: u64, tokens_out: u64) -> Totals {
    Totals { tokens_in, tokens_out }
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

/// What publishes these terms to any worker.
pub fn publish_args(terms: &JobTerms) -> PublishArgs {
    PublishArgs {
        session_key: terms.session_key,
        open_slot: terms.open_slot,
        model_hash: terms.model_hash,
        stake: terms.stake,
        max_price_in_per_mtok: terms.max_price_in_per_mtok,
        max_price_out_per_mtok: terms.max_price_out_per_mtok,
        serve_until_unix_s: terms.serve_until_unix_s,
        filters: Filters::default(),
        allowed: Vec::new(),
    }
}

fn refusal_name(logs: &[String]) -> Option<String> {
    let rest = logs.iter().find_map(|line| line.split_once("Error Code: "))?.1;
    rest.split_once('.').map(|(name, _)| name.to_string())
}
