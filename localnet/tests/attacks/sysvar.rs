//! Attack: an account that looks like the clock, the rent or the instructions sysvar.
//! Gain: money back before its time, or a signature that nobody verified.
//! Stopped by: no instruction takes a sysvar as an account; the clock comes from the runtime, and vouchers are
//! verified inside the program.

use chainference_chain::accounts::*;
use chainference_chain::instruction::{self, ClaimRequest};
use chainference_chain::{Keypair, Pubkey, Signer};
use solana_account::Account;

use crate::catalogue::against_each;
use crate::common::*;
use crate::support::*;

#[test]
fn no_instruction_takes_a_sysvar_as_an_account() {
    let tries = against_each(|case| {
        let keys = case.instruction.accounts.iter().map(|meta| meta.pubkey);
        let sysvars = keys.filter(|key| key.to_string().starts_with("Sysvar"));
        assert_eq!(sysvars.count(), 0, "{}", case.name);
        1
    });
    assert!(tries >= 27, "{tries} requests");
}

#[test]
fn a_fake_clock_does_not_expire_a_job() {
    let mut market = Market::new();
    let job = market.locked_job();
    let stranger = market.stranger.insecure_clone();
    let expire = instruction::expire(&job.terms.vault, &job.address, Some(job.terms.worker));
    let clock_owner: Pubkey = "Sysvar1111111111111111111111111111111111111".parse().unwrap();
    let mut data = [0; 40];
    data[32..].copy_from_slice(&i64::MAX.to_le_bytes());
    let clock = Account {
        lamports: SOL,
        data: data.to_vec(),
        owner: clock_owner.to_bytes().into(),
        executable: false,
        rent_epoch: u64::MAX,
    };
    let fake = plant(&mut market, "clock", clock);
    let mut with_clock = expire.clone();
    let mut meta = with_clock.accounts[0].clone();
    (meta.pubkey, meta.is_writable) = (fake, false);
    with_clock.accounts.push(meta);
    denied(&mut market, &with_clock, &stranger, "TooEarlyToExpire");
    market.go_to(market.load_job(&job).claim_until_unix_s);
    market.send(&[with_clock], &stranger, &[]).unwrap();
    assert_eq!(market.load_job(&job).status(), JobStatus::Settled);
}

#[test]
fn a_verified_signature_elsewhere_in_the_transaction_proves_nothing() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.locked_job());
    let [operator, gateway] = [&market.operator, &market.gateway].map(Keypair::insecure_clone);
    // The transaction carries a good voucher of another job, and signatures of both parties.
    let good = instruction::claim(&other.claim(Some(PAID), false));
    let forged =
        ClaimRequest { voucher: Some((PAID, other.vouch(PAID))), ..job.claim(Some(PAID), false) };
    let forged = instruction::claim(&forged);
    let finish = instruction::finish(&gateway.pubkey(), &job.terms.vault, &job.address);
    let both = [good.clone(), finish, forged];
    refused(&mut market, &both, &[&operator, &gateway], "BadVoucherSignature");
    let genuine = instruction::claim(&job.claim(Some(PAID), false));
    market.send(&[good, genuine], &operator, &[]).unwrap();
}
