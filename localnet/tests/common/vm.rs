//! The machine under the market: its clock, its accounts, and money for those who act.

use std::collections::BTreeSet;

use chainference_chain::accounts::{Job, JobStatus, Stored, Vault, Worker};
use chainference_chain::{PROGRAM_ID, Pubkey, Signer};
use solana_account::Account;
use solana_clock::Clock;

use super::{Market, program};

/// The program in the tree. `CHAINFERENCE_PROGRAM` names another one to run the tests on.
const ARTIFACT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/artifacts/chainference.so");

impl Market {
    pub fn clock(&self) -> Clock {
        self.svm.get_sysvar()
    }

    pub fn now_unix_s(&self) -> i64 {
        self.clock().unix_timestamp
    }

    pub fn warp(&mut self, slots: u64, seconds: i64) {
        let mut clock = self.clock();
        clock.slot += slots;
        clock.unix_timestamp += seconds;
        self.svm.set_sysvar(&clock);
    }

    /// Sets the clock, back too.
    pub fn set_clock(&mut self, slot: u64, unix_s: i64) {
        let mut clock = self.clock();
        (clock.slot, clock.unix_timestamp) = (slot, unix_s);
        self.svm.set_sysvar(&clock);
    }

    /// Gives money, and remembers it.
    pub fn mint(&mut self, to: &Pubkey, lamports: u64) {
        self.svm.airdrop(&to.to_bytes().into(), lamports).unwrap();
        self.minted += lamports;
        self.holders.insert(*to);
    }

    pub fn account(&self, key: &Pubkey) -> Option<Account> {
        self.svm.get_account(&key.to_bytes().into())
    }

    pub fn balance(&self, key: &Pubkey) -> u64 {
        self.svm.get_balance(&key.to_bytes().into()).unwrap_or(0)
    }

    pub fn rent(&self, key: &Pubkey) -> u64 {
        let bytes = self.account(key).map_or(0, |account| account.data.len());
        self.svm.minimum_balance_for_rent_exemption(bytes)
    }

    pub fn exists(&self, key: &Pubkey) -> bool {
        self.balance(key) > 0
    }

    /// An account of the program, read as it lies on chain.
    #[track_caller]
    pub fn load<T: Stored>(&self, key: &Pubkey) -> T {
        let account = self.account(key).expect("the account exists");
        T::read(&account.data).expect("an account of this kind")
    }

    /// All accounts of this kind.
    pub fn list<T: Stored>(&self) -> Vec<(Pubkey, T)> {
        let accounts = self.svm.get_program_accounts(&PROGRAM_ID.to_bytes().into());
        let read = accounts.iter().filter_map(|(key, account)| {
            T::read(&account.data).map(|read| (Pubkey::new_from_array(key.to_bytes()), read))
        });
        read.collect()
    }

    /// Replaces an account's bytes: only for what no instruction can bring about.
    pub fn overwrite(&mut self, key: &Pubkey, change: impl FnOnce(&mut Account)) {
        let mut account = self.account(key).expect("the account exists");
        change(&mut account);
        self.svm.set_account(key.to_bytes().into(), account).unwrap();
    }

    /// What all who were given money, and all accounts of the program, hold together.
    pub fn held(&self) -> u64 {
        let records = self.svm.get_program_accounts(&PROGRAM_ID.to_bytes().into());
        let records = records.iter().map(|(key, _)| Pubkey::new_from_array(key.to_bytes()));
        let keys: BTreeSet<Pubkey> = records.chain(self.holders.iter().copied()).collect();
        keys.iter().map(|key| self.balance(key)).sum()
    }

    /// What is held and what the chain took is what was given, to the lamport.
    #[track_caller]
    pub fn check_conservation(&self) {
        assert_eq!(self.held() + self.fees, self.minted, "lamports came or went");
    }

    /// Each record counts its jobs as they are.
    #[track_caller]
    pub fn check_books(&self) {
        let jobs = self.list::<Job>();
        let is_live = |job: &Job| job.status() != JobStatus::Settled;
        for (key, vault) in self.list::<Vault>() {
            let own = || jobs.iter().map(|(_, job)| job).filter(|job| job.vault == key);
            let promised = own().filter(|job| is_live(job)).map(|job| job.stake - job.credited);
            assert_eq!(vault.reserved, promised.sum::<u64>(), "reserved in {key}");
            assert_eq!(vault.unclosed_jobs as usize, own().count(), "unclosed jobs of {key}");
        }
        for (key, worker) in self.list::<Worker>() {
            let locked = |job: &Job| job.worker == key && job.status() == JobStatus::Locked;
            let live = jobs.iter().filter(|(_, job)| locked(job)).count();
            assert_eq!(worker.live_jobs as usize, live, "live jobs of {key}");
        }
    }

    pub(super) fn deploy(&mut self) {
        let elf = std::env::var_os("CHAINFERENCE_PROGRAM").unwrap_or(ARTIFACT.into());
        let programs = [(PROGRAM_ID.to_bytes().into(), elf.into())];
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
