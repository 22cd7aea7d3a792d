//! Whom a worker serves.

use std::collections::HashSet;

use chainference_chain::{Pubkey, address};

/// Clients by the address of their vault or of its owner. Empty lists: everybody.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// `None`: any client. Else a private pool.
    allowed: Option<HashSet<Pubkey>>,
    blocked: HashSet<Pubkey>,
}

impl Clients {
    /// Serves `allowed` (anybody, if it is empty) but for `blocked`.
    pub fn new(allowed: &[Pubkey], blocked: &[Pubkey]) -> Self {
        let allowed = (!allowed.is_empty()).then(|| vaults(allowed));
        Self { allowed, blocked: vaults(blocked) }
    }

    pub fn admits(&self, vault: &Pubkey) -> bool {
        !self.blocked.contains(vault)
            && self.allowed.as_ref().is_none_or(|allowed| allowed.contains(vault))
    }
}

/// An address may be the vault's own or its owner's: both are held, and an owner's is no vault's.
fn vaults(addresses: &[Pubkey]) -> HashSet<Pubkey> {
    addresses.iter().flat_map(|listed| [*listed, address::vault(listed)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_vault_or_owner_and_blocking_wins() {
        let [a, b, c] = [1, 2, 3].map(|byte| Pubkey::new_from_array([byte; 32]));
        let vault = |owner| address::vault(&owner);
        for (allowed, blocked, admitted) in [
            (vec![], vec![], [true, true, true]),
            (vec![], vec![b], [true, false, true]),
            (vec![a, vault(b)], vec![], [true, true, false]),
            (vec![a, b], vec![vault(a)], [false, true, false]),
        ] {
            let clients = Clients::new(&allowed, &blocked);
            let found = [a, b, c].map(|owner| clients.admits(&vault(owner)));
            assert_eq!(found, admitted, "{allowed:?} {blocked:?}");
        }
    }
}
