//! What others read: texts and signed bytes.

use std::collections::HashSet;

use chainference_market::{Lamports, MarketError, Receipt, ReceiptKind, Totals};

#[test]
fn each_refusal_has_its_own_number_and_its_own_words() {
    use MarketError::*;
    let all = [
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
    ];
    let numbers = all.map(|error| error as u32);
    let expected = [100, 101, 200, 201, 202, 203, 204, 205, 206, 207, 300, 301, 302, 303, 304, 305];
    assert_eq!(numbers, expected, "numbers on chain are never changed");
    assert_eq!(HashSet::from(all.map(MarketError::message)).len(), all.len());
    assert_eq!(BeyondStake.to_string(), "the voucher's cost is beyond the stake");
}

#[test]
fn amounts_name_their_unit() {
    assert_eq!(Lamports(5).to_string(), "5 lamports");
}

#[test]
fn the_layout_of_a_receipt_is_fixed() {
    let receipt = Receipt {
        job: [7; 32],
        call: 0x0102_0304,
        kind: ReceiptKind::End,
        totals: Totals { tokens_in: 1, tokens_out: 0x0102_0304_0506_0708 },
        frames: [9; 32],
    };
    let mut expected = b"cf.recpt".to_vec();
    expected.extend([7; 32]);
    expected.extend([4, 3, 2, 1]);
    expected.push(2);
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([8, 7, 6, 5, 4, 3, 2, 1]);
    expected.extend([9; 32]);
    assert_eq!(receipt.to_bytes().to_vec(), expected);
}
