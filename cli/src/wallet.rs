//! `chainference wallet`: whose money is where, and how it is moved by hand.

use chainference_chain::{
    Chain, ChainError, Commitment, Lamports, Pubkey, Signer,
    accounts::{SetDelegateArgs, Vault, Worker},
    address, instruction,
};
use serde_json::json;

use crate::{
    amount,
    args::{Wallet, WalletAction},
    error::CliError,
    home::{Home, KeyName},
    outbox::Outbox,
    settings::{Settings, VaultSettings},
    status::print_json,
};

/// Kept back in the wallet for the fee of the transaction itself.
const FEE_MARGIN: u64 = 10_000;
pub const DELEGATE_PERIOD_S: u32 = 24 * 60 * 60;

/// A question to the chain that failed: no answer, or accounts that this version can't read.
pub fn unreachable(error: ChainError) -> CliError {
    match error {
        ChainError::BadAccount { .. } => CliError::OtherVersion { message: error.to_string() },
        _ => CliError::Unreachable { what: "the chain", message: error.to_string() },
    }
}

pub async fn wallet(home: Home, settings: Settings, command: Wallet) -> Result<(), CliError> {
    home.create()?;
    let purse = Purse { chain: Chain::new(settings.endpoints()?, Commitment::Confirmed), home };
    match command.action {
        None => purse.show(command.json).await,
        Some(WalletAction::Address) => {
            println!("{}", purse.key(KeyName::Wallet)?);
            Ok(())
        }
        Some(WalletAction::Deposit { amount, vault }) => purse.deposit(amount, &vault).await,
        Some(WalletAction::Withdraw { amount }) => purse.withdraw(amount).await,
        Some(WalletAction::Earnings) => purse.take_earnings().await,
    }
}

/// `chainference worker withdraw`, which is `wallet earnings` where an operator looks for it.
pub async fn take_earnings(home: Home, settings: &Settings) -> Result<(), CliError> {
    home.create()?;
    let chain = Chain::new(settings.endpoints()?, Commitment::Confirmed);
    Purse { chain, home }.take_earnings().await
}

struct Purse {
    home: Home,
    chain: Chain,
}

/// A vault's money, in lamports. Its rent is apart: it comes back when the vault is closed.
struct VaultMoney {
    free: u64,
    reserved: u64,
    rent: u64,
}

impl Purse {
    fn key(&self, name: KeyName) -> Result<Pubkey, CliError> {
        Ok(self.home.keypair(name)?.pubkey())
    }

    async fn show(&self, as_json: bool) -> Result<(), CliError> {
        let vault_address = address::vault(&self.key(KeyName::Wallet)?);
        let worker_address = address::worker(&self.key(KeyName::WorkerOwner)?);
        let vault = self.chain.vault(&vault_address).await.map_err(unreachable)?;
        let money = match &vault {
            Some(vault) => Some(self.money(&vault_address, vault).await?),
            None => None,
        };
        let worker = self.chain.worker(&worker_address).await.map_err(unreachable)?;
        let mut keys = Vec::new();
        for name in KeyName::ALL {
            let key = self.key(name)?;
            keys.push((name, key, self.chain.balance(&key).await.map_err(unreachable)?.0));
        }
        if as_json {
            return print_json(&json!({
                "keys": keys.iter().map(|(name, key, held)| (name.as_str().to_owned(), json!({"address": key.to_string(), "lamports": held}))).collect::<serde_json::Map<_, _>>(),
                "vault": money.map(|money| json!({"address": vault_address.to_string(), "free": money.free, "reserved": money.reserved, "rent": money.rent})),
                "worker": worker.map(|worker| json!({"address": worker_address.to_string(), "earnings": worker.earnings, "fees_platform": worker.fees_platform, "fees_stakers": worker.fees_stakers, "bond": worker.bond})),
            }));
        }
        for (name, key, held) in keys {
            println!("{:<16} {key:<44}  {}", name.as_str(), amount::sol(held));
        }
        print_vault(&vault_address, money);
        print_worker(&worker_address, worker);
        Ok(())
    }

    async fn money(&self, address: &Pubkey, vault: &Vault) -> Result<VaultMoney, CliError> {
        let held = self.chain.balance(address).await.map_err(unreachable)?.0;
        Ok(VaultMoney { free: vault.free(held).0, reserved: vault.reserved, rent: vault.rent })
    }

    async fn deposit(&self, lamports: u64, limits: &VaultSettings) -> Result<(), CliError> {
        let wallet = self.home.keypair(KeyName::Wallet)?;
        let owner = wallet.pubkey();
        let vault = address::vault(&owner);
        let outbox = Outbox::open(&self.home, &self.chain).await?;
        self.check_funds(owner, lamports).await?;
        let mut instructions = Vec::new();
        if self.chain.vault(&vault).await.map_err(unreachable)?.is_none() {
            let delegate = Some(self.key(KeyName::Gateway)?);
            let args = SetDelegateArgs {
                delegate,
                limit: limits.limit_lamports(),
                period_s: DELEGATE_PERIOD_S,
            };
            instructions
                .extend([instruction::open_vault(&owner), instruction::set_delegate(&owner, args)]);
        }
        instructions.push(instruction::deposit(&owner, &vault, Lamports(lamports)));
        outbox.send("deposit", &instructions, &wallet).await?;
        println!("Deposited {} into the vault {vault}.", amount::sol(lamports));
        Ok(())
    }

    async fn check_funds(&self, owner: Pubkey, lamports: u64) -> Result<(), CliError> {
        let held = self.chain.balance(&owner).await.map_err(unreachable)?.0;
        let needed = lamports.saturating_add(FEE_MARGIN);
        if held >= needed {
            return Ok(());
        }
        Err(CliError::Underfunded {
            address: owner.to_string(),
            held,
            needed,
            what: "deposit that and pay the fee",
        })
    }

    async fn withdraw(&self, lamports: u64) -> Result<(), CliError> {
        let wallet = self.home.keypair(KeyName::Wallet)?;
        let owner = wallet.pubkey();
        let address = address::vault(&owner);
        let outbox = Outbox::open(&self.home, &self.chain).await?;
        let vault = self
            .chain
            .vault(&address)
            .await
            .map_err(unreachable)?
            .ok_or(CliError::NoVault { owner: owner.to_string() })?;
        let money = self.money(&address, &vault).await?;
        if lamports > money.free {
            return Err(CliError::NotFree { free: money.free, reserved: money.reserved });
        }
        outbox
            .send("withdraw", &[instruction::withdraw(&owner, Lamports(lamports))], &wallet)
            .await?;
        println!("Withdrew {} to the wallet {owner}.", amount::sol(lamports));
        Ok(())
    }

    async fn take_earnings(&self) -> Result<(), CliError> {
        let owner = self.home.keypair(KeyName::WorkerOwner)?;
        let address = address::worker(&owner.pubkey());
        let outbox = Outbox::open(&self.home, &self.chain).await?;
        let earned = self
            .chain
            .worker(&address)
            .await
            .map_err(unreachable)?
            .map_or(0, |worker| worker.earnings);
        if earned == 0 {
            println!("The worker's record holds no earnings.");
            return Ok(());
        }
        outbox
            .send(
                "withdraw the earnings",
                &[instruction::withdraw_earnings(&owner.pubkey())],
                &owner,
            )
            .await?;
        println!("Withdrew {} to {}.", amount::sol(earned), owner.pubkey());
        Ok(())
    }
}

fn print_vault(address: &Pubkey, money: Option<VaultMoney>) {
    match money {
        None => println!("vault            not opened yet"),
        Some(money) => {
            println!(
                "vault            {address:<44}  {} free, {} reserved by live jobs",
                amount::sol(money.free),
                amount::sol(money.reserved)
            );
        }
    }
}

fn print_worker(address: &Pubkey, worker: Option<Worker>) {
    match worker {
        None => println!("worker           not registered yet"),
        Some(worker) => {
            println!(
                "worker           {address:<44}  {} earned, {} bond",
                amount::sol(worker.earnings),
                amount::sol(worker.bond)
            );
        }
    }
}
