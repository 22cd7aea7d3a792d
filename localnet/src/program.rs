//! Programs as the upgradeable loader keeps them: a small account that names the one with the code.

use std::path::PathBuf;

use anyhow::{Context, bail};
use solana_account::Account;
use solana_loader_v3_interface::get_program_data_address;
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_pubkey::Pubkey;
use solana_sdk_ids::bpf_loader_upgradeable;

const ELF_MAGIC: &[u8] = b"\x7fELF";

/// A program to have on the chain.
pub struct Program {
    pub id: Pubkey,
    /// Address of the account that holds the code and the upgrade authority.
    pub data_address: Pubkey,
    upgrade_authority: Option<Pubkey>,
    elf: Vec<u8>,
}

/// Reads the programs' files.
pub fn read(
    programs: &[(Pubkey, PathBuf)],
    upgrade_authority: Option<Pubkey>,
) -> anyhow::Result<Vec<Program>> {
    let read_one = |(id, file): &(Pubkey, PathBuf)| {
        let elf = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
        if !elf.starts_with(ELF_MAGIC) {
            bail!("{} is not a program", file.display());
        }
        Ok(Program { id: *id, data_address: get_program_data_address(id), upgrade_authority, elf })
    };
    programs.iter().map(read_one).collect()
}

impl Program {
    /// Whether an account already holds this code under this authority.
    pub fn is_held_by(&self, data: &Account) -> bool {
        let code_at = UpgradeableLoaderState::size_of_programdata_metadata();
        let state = bincode::deserialize(&data.data);
        let authority = match state {
            Ok(UpgradeableLoaderState::ProgramData { upgrade_authority_address, .. }) => {
                upgrade_authority_address
            }
            _ => return false,
        };
        authority == self.upgrade_authority && data.data.get(code_at..) == Some(&self.elf)
    }

    /// The account with the code, as deployed in `slot`.
    pub fn data_account(&self, slot: u64, rent: impl Fn(usize) -> u64) -> anyhow::Result<Account> {
        let state = UpgradeableLoaderState::ProgramData {
            slot,
            upgrade_authority_address: self.upgrade_authority,
        };
        let mut data = vec![0; UpgradeableLoaderState::size_of_programdata_metadata()];
        bincode::serialize_into(data.as_mut_slice(), &state)?;
        data.extend_from_slice(&self.elf);
        Ok(owned_by_loader(data, false, rent))
    }

    /// The account that transactions name.
    pub fn account(&self, rent: impl Fn(usize) -> u64) -> anyhow::Result<Account> {
        let state = UpgradeableLoaderState::Program { programdata_address: self.data_address };
        Ok(owned_by_loader(bincode::serialize(&state)?, true, rent))
    }
}

fn owned_by_loader(data: Vec<u8>, executable: bool, rent: impl Fn(usize) -> u64) -> Account {
    Account {
        lamports: rent(data.len()),
        data,
        owner: bpf_loader_upgradeable::ID,
        executable,
        rent_epoch: u64::MAX,
    }
}
