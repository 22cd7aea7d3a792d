//! What is done with the market's fees and settings.

use anchor_lang::{InstructionData, ToAccountMetas};
use chainference_chain::accounts::{FeePart, Preset, UpdateConfigArgs};
use chainference_chain::{Instruction, Pubkey, address, instruction};

use crate::call::{Call, Verb};
use crate::model::Model;
use crate::other_steps::{Calls, one};
use crate::steps::Steps;
use crate::world;

impl Steps<'_> {
    pub fn withdraw_fees(&mut self, model: &Model) -> Calls {
        let (config, treasury) =
            (model.config(&address::config()), model.treasury(&address::treasury()));
        let parts = [
            (FeePart::Platform, config.platform_payout, treasury.platform),
            (FeePart::Stakers, config.stakers_payout, treasury.stakers),
        ];
        let (part, payout, owed) = self.rng.pick(&parts);
        if owed == 0 && self.rng.percent(90) {
            return None;
        }
        let payout = self.mostly(payout);
        Some(vec![self.withdraw_fees_to(part, payout)])
    }

    pub fn withdraw_fees_to(&self, part: FeePart, payout: Pubkey) -> Call {
        let (config, treasury) = (address::config(), address::treasury());
        let accounts = chainference::accounts::WithdrawFees { config, treasury, payout };
        let instruction = Instruction {
            program_id: chainference_chain::PROGRAM_ID,
            accounts: accounts.to_account_metas(None),
            data: chainference::instruction::WithdrawFees { part }.data(),
        };
        Call::new(Verb::WithdrawFees(part), instruction)
    }

    pub fn update_config(&mut self, model: &Model) -> Calls {
        let config = model.config(&address::config());
        let admin = self.mostly(config.admin);
        let pause = if config.paused { !self.rng.percent(70) } else { self.rng.percent(12) };
        let rng = &mut self.rng;
        let mut args = UpdateConfigArgs {
            paused: (config.paused || rng.percent(50)).then_some(pause),
            ..Default::default()
        };
        args.preset = rng.percent(40).then(|| rng.pick(&[Preset::Open, Preset::Far]));
        args.platform_payout = rng.percent(20).then(|| rng.pick(&self.cast.payouts));
        args.stakers_payout = rng.percent(20).then(|| rng.pick(&self.cast.payouts));
        args.bond_min = rng.percent(10).then(|| rng.below(300_000_000));
        args.reputation_prior =
            rng.percent(20).then(|| rng.pick(&[0, 100, 2_000, 100_000, u64::MAX]));
        args.rated_fees_min = rng.percent(20).then(|| rng.pick(&[0, 1_000, 50_000, u64::MAX]));
        args.bond_cooldown_s =
            rng.percent(20).then(|| rng.pick(&[0, 1, 1_000, 2_592_000, 2_592_001]));
        args.grace_s =
            rng.percent(20).then(|| rng.pick(&[599, 600, 601, 700, 1_200, 86_400, 86_401]));
        args.heartbeat_s = rng.percent(20).then(|| rng.pick(&[29, 30, 60, 120, 86_400, 86_401]));
        args.pending_admin = rng.percent(20).then(|| rng.pick(&self.cast.admins));
        one(Verb::UpdateConfig(args.clone()), instruction::update_config(&admin, args))
    }

    pub fn accept_admin(&mut self, model: &Model) -> Calls {
        let pending = model.config(&address::config()).pending_admin;
        let admin = match pending {
            Some(pending) => self.mostly(pending),
            None if self.rng.percent(70) => return None,
            None => self.person(),
        };
        one(Verb::AcceptAdmin, instruction::accept_admin(&admin))
    }

    /// A second time, by whoever.
    pub fn initialize(&mut self, _: &Model) -> Calls {
        let by = if self.rng.percent(50) { self.cast.admins[0] } else { self.person() };
        one(Verb::Initialize, world::initialize(self.cast, &by))
    }
}
