//! What an indexer sees: the events alone tell where every lamport of the market lies.

mod common;

use std::collections::BTreeMap;

use chainference_chain::accounts::{Treasury, Vault, Worker};
use chainference_chain::event::{Event, events};
use chainference_chain::{Lamports, Pubkey, Signer, address, instruction};
use common::tour::Tour;
use common::*;

/// Name of an event, without what it holds.
fn name(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_string()
}

/// The event that each step of the tour must tell, by the step's name.
fn expected(step: &str) -> &'static [&'static str] {
    match step.split(' ').next().unwrap_or_default() {
        "initialize" | "update_config" | "accept_admin" => &["ConfigChanged"],
        "register_worker" => &["WorkerRegistered"],
        "update_worker" => &["WorkerChanged"],
        "retire_worker" => &["WorkerRetired"],
        "heartbeat" => &[],
        "post_offer" => &["OfferPosted"],
        "update_offer" => &["OfferChanged"],
        "retract_offer" => &["OfferRetracted"],
        "withdraw_earnings" => &["EarningsWithdrawn"],
        "sweep_fees" => &["FeesSwept"],
        "withdraw_fees" => &["FeesWithdrawn"],
        "open_vault" => &["VaultOpened"],
        "deposit" => &["Deposited"],
        "set_delegate" => &["DelegateSet"],
        "withdraw" => &["Withdrawn"],
        "close_vault" => &["VaultClosed"],
        "publish" => &["JobPublished"],
        "lock" => &["JobLocked"],
        "claim" | "final" => &["JobClaimed"],
        "finish" => &["JobFinished"],
        "cancel" => &["JobCancelled"],
        "expire" => &["JobExpired"],
        "top_up" => &["JobToppedUp"],
        "close" => &["JobClosed"],
        "compare" => &["JobsCompared"],
        other => panic!("{other} is an instruction that this table doesn't know"),
    }
}

#[test]
fn every_instruction_tells_its_change() {
    for mut step in Tour::new().steps() {
        step.market.send(&[step.instruction], &step.signer, &[]).unwrap();
        let told: Vec<String> = events(&step.market.logs).iter().map(name).collect();
        assert_eq!(told, expected(step.name), "{}", step.name);
    }
}

/// Books kept from events alone.
#[derive(Default)]
struct Index {
    /// Stakes that live jobs reserve, less what was paid out of them, by job.
    reserved: BTreeMap<Pubkey, u64>,
    paid: u64,
    earnings: u64,
    fees: u64,
    treasury: u64,
}

impl Index {
    fn take(&mut self, event: Event) {
        match event {
            Event::JobPublished(event) => {
                self.reserved.insert(event.job, event.stake);
            }
            Event::JobToppedUp(event) => {
                self.reserved.insert(event.job, event.stake);
            }
            Event::JobClaimed(event) => {
                let left = self.reserved.get_mut(&event.job).expect("a job that was published");
                *left -= event.paid + event.refund;
                assert!(!event.is_final || *left == 0, "nothing stays reserved");
                self.paid += event.paid;
                self.earnings += event.paid - event.platform - event.stakers;
                self.fees += event.platform + event.stakers;
            }
            Event::JobCancelled(event) => {
                assert_eq!(self.reserved.remove(&event.job), Some(event.refund));
            }
            Event::JobExpired(event) => {
                assert_eq!(self.reserved.remove(&event.job), Some(event.refund));
            }
            Event::EarningsWithdrawn(event) => self.earnings -= event.lamports,
            Event::FeesSwept(event) => {
                self.fees -= event.platform + event.stakers;
                self.treasury += event.platform + event.stakers;
            }
            _ => {}
        }
    }
}

#[test]
fn the_events_alone_tell_where_the_money_lies() {
    let mut market = Market::with_preset(Preset::Far);
    let (mut index, operator) = (Index::default(), market.provider().operator);
    let vault_before = market.balance(&market.vault());
    let run = |market: &mut Market, index: &mut Index| {
        events(&market.logs).into_iter().for_each(|event| index.take(event));
        let vault: Vault = market.load(&market.vault());
        let worker: Worker = market.load(&market.worker());
        let treasury: Treasury = market.load(&address::treasury());
        assert_eq!(index.reserved.values().sum::<u64>(), vault.reserved);
        assert_eq!(vault_before - index.paid, market.balance(&market.vault()));
        assert_eq!(index.earnings, worker.earnings);
        assert_eq!(index.fees, worker.fees_platform + worker.fees_stakers);
        assert_eq!(index.treasury, treasury.platform + treasury.stakers);
    };
    let jobs = [0; 3].map(|_| {
        let job = market.locked_job();
        run(&mut market, &mut index);
        job
    });
    let gateway = market.gateway.pubkey();
    let client = market.client().gateway;
    let top_up = instruction::top_up(&gateway, &jobs[0].terms.vault, &jobs[0].address, Lamports(7));
    market.send(&[top_up], &client, &[]).unwrap();
    run(&mut market, &mut index);
    for (job, is_final) in [(&jobs[0], false), (&jobs[0], true), (&jobs[1], false)] {
        let totals = if is_final { totals(50_001, 3) } else { totals(10_001, 1) };
        market.claim(job, totals, is_final).unwrap();
        run(&mut market, &mut index);
    }
    let open = market.open_job();
    run(&mut market, &mut index);
    let cancel = instruction::cancel(&gateway, &open.terms.vault, &open.address);
    market.send(&[cancel], &client, &[]).unwrap();
    run(&mut market, &mut index);
    market.warp(10, SERVE_S + i64::from(GRACE_S));
    for job in &jobs[1..] {
        let expire = instruction::expire(&job.terms.vault, &job.address, Some(job.terms.worker));
        market.send(&[expire], &operator, &[]).unwrap();
        run(&mut market, &mut index);
    }
    let (owner, worker) = (market.owner.pubkey(), market.worker());
    for pay in [instruction::sweep_fees(&worker), instruction::withdraw_earnings(&owner)] {
        market.send(&[pay], &operator, &[]).unwrap();
        run(&mut market, &mut index);
    }
    assert!(index.paid > 0 && index.treasury > 0 && index.reserved.values().all(|left| *left == 0));
}
