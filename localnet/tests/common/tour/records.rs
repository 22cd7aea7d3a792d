//! Requests that change settings, workers and vaults.

use chainference_chain::accounts::*;
use chainference_chain::{Lamports, Signer, address, instruction};

use super::*;

impl Tour {
    pub(super) fn config_steps(&self) -> Vec<Step> {
        let mut empty = Market::empty();
        for key in self.roles().map(|role| role.pubkey()) {
            empty.mint(&key, SOL);
        }
        let admin = &self.market.admin;
        let key = admin.pubkey();
        let args = empty.initialize_args(Preset::Far);
        let initialize = instruction::initialize(&key, args.clone());
        let successor = &self.market.stranger;
        let all = UpdateConfigArgs {
            paused: Some(false),
            preset: Some(args.preset),
            platform_payout: Some(args.platform_payout),
            stakers_payout: Some(args.stakers_payout),
            bond_min: Some(args.bond_min),
            reputation_prior: Some(args.reputation_prior),
            rated_fees_min: Some(args.rated_fees_min),
            bond_cooldown_s: Some(args.bond_cooldown_s),
            grace_s: Some(args.grace_s),
            heartbeat_s: Some(args.heartbeat_s),
            pending_admin: Some(successor.pubkey()),
        };
        let change = self.step("update_config", admin, instruction::update_config(&key, all));
        let mut accept =
            self.step("accept_admin", successor, instruction::accept_admin(&successor.pubkey()));
        accept.market.send(std::slice::from_ref(&change.instruction), admin, &[]).unwrap();
        let initialize = Step {
            name: "initialize",
            market: empty,
            instruction: initialize,
            signer: admin.insecure_clone(),
        };
        vec![initialize, change, accept]
    }

    pub(super) fn worker_steps(&self) -> Vec<Step> {
        let Market { owner, operator, stranger, .. } = &self.market;
        let (key, worker, offer) = (owner.pubkey(), self.market.worker(), self.market.offer());
        let newcomer = &self.new_worker;
        let registration = RegisterWorkerArgs {
            endpoint: long_endpoint(),
            ..registration(&newcomer.operator.pubkey(), BOND)
        };
        let change = UpdateWorkerArgs {
            operator: Some(operator.pubkey()),
            x25519: Some([8; 32]),
            endpoint: Some(long_endpoint()),
            status: Some(WorkerStatus::Retiring),
        };
        let prices = UpdateOfferArgs {
            price_in_per_mtok: Some(PRICE_IN),
            price_out_per_mtok: Some(PRICE_OUT),
            charge_min: Some(CHARGE_MIN),
            active: Some(true),
        };
        let register = instruction::register_worker(&newcomer.owner.pubkey(), registration);
        let agent = operator.pubkey();
        let leaving = &self.leaving_worker.owner;
        vec![
            self.step("register_worker", &newcomer.owner, register),
            self.step("update_worker", owner, instruction::update_worker(&key, change)),
            self.step("heartbeat", operator, instruction::heartbeat(&agent, &worker)),
            self.step(
                "post_offer",
                operator,
                instruction::post_offer(&agent, &worker, long_offer(&worker)),
            ),
            self.step(
                "update_offer",
                operator,
                instruction::update_offer(&agent, &worker, &offer, prices),
            ),
            self.step("retract_offer", owner, instruction::retract_offer(&key, &offer, &key)),
            self.step("withdraw_earnings", stranger, instruction::withdraw_earnings(&key)),
            self.step("retire_worker", leaving, instruction::retire_worker(&leaving.pubkey())),
        ]
    }

    pub(super) fn fee_steps(&self) -> Vec<Step> {
        let (worker, stranger) = (self.market.worker(), &self.market.stranger);
        let sweep = instruction::sweep_fees(&worker);
        let config: Config = self.market.load(&address::config());
        let withdraw = |(name, part)| {
            let mut step = self.step(name, stranger, instruction::withdraw_fees(part, &config));
            step.market.send(std::slice::from_ref(&sweep), stranger, &[]).unwrap();
            step
        };
        let parts = [
            ("withdraw_fees of the platform", FeePart::Platform),
            ("withdraw_fees of the stakers", FeePart::Stakers),
        ];
        let mut steps = vec![self.step("sweep_fees", stranger, sweep.clone())];
        steps.extend(parts.map(withdraw));
        steps
    }

    pub(super) fn vault_steps(&self) -> Vec<Step> {
        let Market { wallet, gateway, stranger, .. } = &self.market;
        let (key, vault) = (wallet.pubkey(), self.market.vault());
        let newcomer = &self.new_client.wallet;
        let leaving = &self.leaving_client.wallet;
        let delegate = delegation(Some(gateway.pubkey()));
        let deposit = instruction::deposit(&stranger.pubkey(), &vault, Lamports(SOL));
        vec![
            self.step("open_vault", newcomer, instruction::open_vault(&newcomer.pubkey())),
            self.step("deposit", stranger, deposit),
            self.step("set_delegate", wallet, instruction::set_delegate(&key, delegate)),
            self.step("withdraw", wallet, instruction::withdraw(&key, Lamports(1))),
            self.step("close_vault", leaving, instruction::close_vault(&leaving.pubkey())),
        ]
    }
}
