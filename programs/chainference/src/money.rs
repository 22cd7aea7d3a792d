//! Lamports between accounts. Only accounts that the program owns are ever debited; who debits one ends with
//! its invariant, which [`holds`] decides.

use anchor_lang::prelude::*;

use crate::error::{refuse, ProgramErrorCode};

/// Moves lamports out of an account of the program's own.
pub fn pay(from: &AccountInfo, to: &AccountInfo, lamports: u64) -> Result<()> {
    from.sub_lamports(lamports)?;
    to.add_lamports(lamports)?;
    Ok(())
}

/// Refuses unless `lamports` cover all that an account owes, the rent that was paid for it included.
pub fn holds(lamports: u64, owed: &[u64]) -> Result<()> {
    let total = owed.iter().try_fold(0u64, |total, part| total.checked_add(*part));
    match total {
        Some(total) if total <= lamports => Ok(()),
        _ => refuse(ProgramErrorCode::InvariantBroken),
    }
}
