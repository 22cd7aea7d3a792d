//! Attack: an account of a layout that this program doesn't know: one of an older or newer version, or cut short.
//! Gain: fields read at wrong places: a balance where a key was, a limit where a time was.
//! Stopped by: the last of the first eight bytes is the layout's version, and the length is checked too.

use crate::catalogue::against_each;
/// Behind the seven bytes that name the type.
const VERSION_AT: usize = 7;

#[test]
fn no_account_of_another_version_is_read() {
    let tries = against_each(|case| {
        let places = case.records();
        for at in &places {
            let (key, genuine) = case.account(*at);
            assert_eq!(genuine.data[VERSION_AT], 1);
            for version in [0, 2, 255] {
                case.market.overwrite(&key, |account| account.data[VERSION_AT] = version);
                case.refuses(case.instruction.clone(), "AccountDiscriminatorMismatch");
            }
            case.market.overwrite(&key, |account| *account = genuine);
        }
        places.len()
    });
    assert!(tries > 50, "{tries} places");
}

#[test]
fn no_account_is_read_beyond_its_end() {
    let tries = against_each(|case| {
        let places = case.records();
        for at in &places {
            let (key, genuine) = case.account(*at);
            for (length, refusal) in
                [(7, "AccountDiscriminatorNotFound"), (8, "AccountDidNotDeserialize")]
            {
                if (case.name, length) == ("deposit", 8) {
                    continue; // reads no more than whose account it is
                }
                case.market.overwrite(&key, |account| account.data = genuine.data[..length].into());
                case.refuses(case.instruction.clone(), refusal);
            }
            case.market.overwrite(&key, |account| *account = genuine);
        }
        places.len()
    });
    assert!(tries > 50, "{tries} places");
}
