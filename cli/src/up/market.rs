//! What must stand on the chain before the first call: money in the keys, the market's configuration, the vault, and
//! the gateway as its delegate. Every step looks first, so a start that was cut short is completed by the next.

use chainference_chain::{
    Chain, Lamports, PROGRAM_ID, Pubkey, Signer,
    accounts::{InitializeArgs, Preset, SetDelegateArgs, Vault},
    address, instruction,
};

use crate::{
    amount,
    error::CliError,
    home::{Home, KeyName},
    outbox::Outbox,
    settings::Settings,
    wallet::{DELEGATE_PERIOD_S, unreachable},
};

const SOL: u64 = 1_000_000_000;
/// On the embedded chain each key is given this much when it holds less than a tenth of it.
const AIRDROP: Lamports = Lamports(100 * SOL);
const BOND_MIN: u64 = SOL / 10;
/// Ten calls at the least charge of the default prices, of which the platform gets a tenth.
const REPUTATION_PRIOR: u64 = 2_000;
/// A thousand typical calls.
const RATED_FEES_MIN: u64 = 200_000;
const BOND_COOLDOWN_S: u32 = 3_600;
const GRACE_S: u32 = 600;
/// Two of the worker's heartbeats.
const HEARTBEAT_S: u32 = 120;

/// Gets the market ready; what it says is for the person who waits.
pub async fn prepare(home: &Home, settings: &Settings, chain: &Chain) -> Result<String, CliError> {
    if !chain.deployed().await.map_err(unreachable)? {
        return Err(CliError::NotDeployed { program_id: PROGRAM_ID.to_string() });
    }
    if settings.embedded_chain() {
        airdrop(home, chain).await?;
    }
    let outbox = Outbox::open(home, chain).await?;
    initialise(home, settings, chain, &outbox).await?;
    open_vault(home, settings, chain, &outbox).await?;
    let vault = address::vault(&home.keypair(KeyName::Wallet)?.pubkey());
    let held = chain.balance(&vault).await.map_err(unreachable)?;
    Ok(format!("vault {vault} holds {}", amount::sol(held.0)))
}

async fn airdrop(home: &Home, chain: &Chain) -> Result<(), CliError> {
    for name in KeyName::ALL {
        let key = home.keypair(name)?.pubkey();
        if chain.balance(&key).await.map_err(unreachable)?.0 < AIRDROP.0 / 10 {
            chain.airdrop(&key, AIRDROP).await.map_err(unreachable)?;
        }
    }
    Ok(())
}

async fn initialise(
    home: &Home,
    settings: &Settings,
    chain: &Chain,
    outbox: &Outbox<'_>,
) -> Result<(), CliError> {
    if chain.config().await.map_err(unreachable)?.is_some() {
        return Ok(());
    }
    if !settings.embedded_chain() {
        return Err(CliError::NotInitialised);
    }
    let wallet = home.keypair(KeyName::Wallet)?;
    let args = InitializeArgs {
        preset: Preset::Open,
        platform_payout: wallet.pubkey(),
        stakers_payout: wallet.pubkey(),
        bond_min: BOND_MIN,
        reputation_prior: REPUTATION_PRIOR,
        rated_fees_min: RATED_FEES_MIN,
        bond_cooldown_s: BOND_COOLDOWN_S,
        grace_s: GRACE_S,
        heartbeat_s: HEARTBEAT_S,
    };
    outbox
        .send("initialise the market", &[instruction::initialize(&wallet.pubkey(), args)], &wallet)
        .await
}

/// Opens and fills the vault in one transaction, so that a crash leaves either none or a full one.
async fn open_vault(
    home: &Home,
    settings: &Settings,
    chain: &Chain,
    outbox: &Outbox<'_>,
) -> Result<(), CliError> {
    let wallet = home.keypair(KeyName::Wallet)?;
    let owner = wallet.pubkey();
    let delegate = home.keypair(KeyName::Gateway)?.pubkey();
    let vault = address::vault(&owner);
    let name_delegate = instruction::set_delegate(
        &owner,
        SetDelegateArgs {
            delegate: Some(delegate),
            limit: settings.vault.limit_lamports(),
            period_s: DELEGATE_PERIOD_S,
        },
    );
    match chain.vault(&vault).await.map_err(unreachable)? {
        None => {
            let deposit = settings.vault.deposit_lamports();
            let held = chain.balance(&owner).await.map_err(unreachable)?.0;
            if held <= deposit {
                return Err(CliError::Underfunded {
                    address: owner.to_string(),
                    held,
                    needed: deposit,
                    what: "open the vault",
                });
            }
            let instructions = [
                instruction::open_vault(&owner),
                instruction::deposit(&owner, &vault, Lamports(deposit)),
                name_delegate,
            ];
            outbox.send("open the vault", &instructions, &wallet).await
        }
        Some(vault) if is_as_wished(&vault, delegate, settings) => Ok(()),
        Some(_) => outbox.send("name the vault's delegate", &[name_delegate], &wallet).await,
    }
}

fn is_as_wished(vault: &Vault, delegate: Pubkey, settings: &Settings) -> bool {
    vault.delegate() == Some(delegate)
        && vault.limit == settings.vault.limit_lamports()
        && vault.period_s == DELEGATE_PERIOD_S
}
