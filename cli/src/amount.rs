//! Amounts as people write and read them. Inside, money is lamports.

const DECIMALS: usize = 9;

/// Reads `1.5sol` or a plain number of lamports; `_` may group digits.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim().replace('_', "").to_lowercase();
    let Some(sol) = text.strip_suffix("sol").map(str::trim) else {
        return text
            .parse()
            .map_err(|_| "an amount is `1.5sol`, or lamports as a plain number".into());
    };
    let (whole, fraction) = sol.split_once('.').unwrap_or((sol, ""));
    if fraction.len() > DECIMALS {
        return Err("a SOL has nine decimals".into());
    }
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not an amount of SOL".into());
    }
    format!("{whole}{fraction:0<DECIMALS$}").parse().map_err(|_| "more SOL than there are".into())
}

/// Lamports as SOL, exact, without trailing zeros.
pub fn sol(lamports: u64) -> String {
    let digits = format!("{lamports:0>10}");
    let (whole, fraction) = digits.split_at(digits.len() - DECIMALS);
    let text = format!("{whole}.{fraction}");
    format!("{} SOL", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, lamports) in [
            ("1sol", 1_000_000_000),
            ("0.000000001 SOL", 1),
            (".5sol", 500_000_000),
            ("1_000", 1_000),
            ("18446744073.709551615sol", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(lamports), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            "sol",
            "-1",
            "1.5",
            "1.0000000001sol",
            "1e3sol",
            "18446744073.709551616sol",
            "1..2sol",
            "+1sol",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sol_is_shown_without_needless_zeros() {
        for (lamports, text) in [
            (0, "0 SOL"),
            (1, "0.000000001 SOL"),
            (1_500_000_000, "1.5 SOL"),
            (10_000_000_000, "10 SOL"),
        ] {
            assert_eq!(sol(lamports), text);
        }
    }
}
