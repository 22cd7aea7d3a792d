//! Prints the IDL of the program in the folder that is named: Anchor's, and in it the refusals of the market's rules,
//! which Anchor doesn't see.

use anchor_lang_idl::build::IdlBuilder;
use anchor_lang_idl::types::IdlErrorCode;
use anyhow::Context;
use chainference_market::MarketError;

/// What the program adds to the market's own number.
const MARKET_OFFSET: u32 = 6_000;

/// The errors that are named, and a match on them without a wildcard: one that is missing doesn't compile.
macro_rules! all {
    ($($name:ident),* $(,)?) => {{
        let _ = |error: MarketError| match error {
            $(MarketError::$name => ()),*
        };
        [$(MarketError::$name),*]
    }};
}

fn main() -> anyhow::Result<()> {
    let program = std::env::args().nth(1).context("which program's folder?")?;
    let cargo_args = ["--locked", "--lib"].map(String::from).into();
    let mut idl = IdlBuilder::new().program_path(program.into()).cargo_args(cargo_args).build()?;
    idl.errors.extend(market_errors());
    idl.errors.sort_by_key(|error| error.code);
    println!("{}", serde_json::to_string_pretty(&idl)?);
    Ok(())
}

fn market_errors() -> impl Iterator<Item = IdlErrorCode> {
    let errors = all!(
        Overflow,
        SharesDoNotSum,
        WrongStatus,
        BadServeUntil,
        TooLateToLock,
        TooEarlyToExpire,
        TooEarlyToClose,
        BadOpenSlot,
        BadGrace,
        ServingOver,
        PriceTooHigh,
        StakeTooSmall,
        BeyondStake,
        VoucherGoesBack,
        InsufficientBalance,
        OverDelegateLimit,
    );
    errors.into_iter().map(|error| IdlErrorCode {
        code: MARKET_OFFSET + error as u32,
        name: format!("{error:?}"),
        msg: Some(error.message().into()),
    })
}
