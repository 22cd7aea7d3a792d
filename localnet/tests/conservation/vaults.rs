//! A client's deposit: who may take of it, and what of it is promised.

use chainference::SetDelegateArgs;
use chainference::state::Stored;
use chainference_chain::{Pubkey, address};

use crate::model::{Broken, Model};
use crate::rules::Outcome;
use crate::state::{State, Vault};

impl Model {
    pub fn open_vault(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        let &[owner, vault, ..] = k else { unreachable!() };
        let bytes = chainference::state::Vault::BYTES;
        let missing = self.can_make(&owner, &vault, address::vault(&owner), bytes, &mut broken);
        broken.done()?;
        let state = Vault {
            owner,
            delegate: None,
            rent: self.rent(bytes),
            reserved: 0,
            limit: 0,
            settled: 0,
            period_start_unix_s: self.now_unix_s,
            period_s: 0,
            unclosed_jobs: 0,
        };
        self.make(&owner, &vault, missing, State::Vault(state));
        Ok(())
    }

    pub fn set_delegate(
        &mut self,
        k: &[Pubkey],
        args: &SetDelegateArgs,
        mut broken: Broken,
    ) -> Outcome {
        broken.unless(self.vault(&k[1]).owner == k[0], "NotVaultOwner");
        broken.done()?;
        let vault = self.vault_mut(&k[1]);
        vault.delegate = args.delegate.filter(|key| *key != Pubkey::default());
        (vault.limit, vault.period_s) = (args.limit, args.period_s);
        Ok(())
    }

    pub fn withdraw(&mut self, k: &[Pubkey], lamports: u64, mut broken: Broken) -> Outcome {
        broken.unless(self.vault(&k[1]).owner == k[0], "NotVaultOwner");
        broken.unless(lamports <= self.free(&k[1]), "InsufficientBalance");
        broken.done()?;
        self.pay(&k[1], &k[0], lamports);
        Ok(())
    }

    pub fn close_vault(&mut self, k: &[Pubkey], mut broken: Broken) -> Outcome {
        broken.unless(self.vault(&k[1]).owner == k[0], "NotVaultOwner");
        broken.unless(self.vault(&k[1]).unclosed_jobs == 0, "HasJobs");
        broken.done()?;
        self.close(&k[1], &k[0]);
        Ok(())
    }

    /// What a vault holds beyond its rent and its promises.
    pub fn free(&self, vault: &Pubkey) -> u64 {
        let state = self.vault(vault);
        self.lamports(vault).saturating_sub(state.rent).saturating_sub(state.reserved)
    }

    /// The vault with `lamports` more reserved, as far as that is allowed to `by`.
    pub fn reserve(
        &self,
        vault: &Pubkey,
        lamports: u64,
        by: &Pubkey,
        broken: &mut Broken,
    ) -> Vault {
        let mut purse = self.vault(vault).clone();
        purse.roll(self.now_unix_s);
        if purse.owner != *by {
            let used =
                u128::from(purse.reserved) + u128::from(purse.settled) + u128::from(lamports);
            broken.unless(used <= u128::from(purse.limit), "OverDelegateLimit");
            broken.unless(used <= u128::from(u64::MAX), "Overflow");
        }
        broken.unless(lamports <= self.free(vault), "InsufficientBalance");
        purse.reserved = purse.reserved.saturating_add(lamports);
        purse
    }
}

impl Vault {
    pub fn is_client(&self, key: &Pubkey) -> bool {
        self.owner == *key || self.delegate == Some(*key)
    }

    /// Begins a new period where the old one is over.
    pub fn roll(&mut self, now_unix_s: i64) {
        if self.period_s > 0 && now_unix_s - self.period_start_unix_s >= i64::from(self.period_s) {
            (self.period_start_unix_s, self.settled) = (now_unix_s, 0);
        }
    }
}
