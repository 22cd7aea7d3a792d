//! Lamports between accounts. Only accounts that the program owns are ever debited, and never below
//! the least that keeps them alive.

use anchor_lang::prelude::*;
use chainference_market::MarketError;

use crate::error::FromMarket;

/// Lamports of an account beyond its rent-exempt minimum.
pub fn above_rent(account: &AccountInfo) -> Result<u64> {
    let rent = Rent::get()?.minimum_balance(account.data_len());
    Ok(account.lamports().saturating_sub(rent))
}

/// Moves lamports out of an account of the program's own.
pub fn pay(from: &AccountInfo, to: &AccountInfo, lamports: u64) -> Result<()> {
    if above_rent(from)? < lamports {
        return Err(MarketError::InsufficientBalance).or_refuse();
    }
    from.sub_lamports(lamports)?;
    to.add_lamports(lamports)?;
    Ok(())
}
