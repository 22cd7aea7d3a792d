//! Which accounts each program owns, in memory. The runtime would keep these lists in the ledger, and read and write a
//! program's whole list for each of its accounts that a transaction touches: a chain with thousands of jobs did little else.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use solana_account::ReadableAccount;
use surfpool_core::storage::{Storage, StorageResult};
use surfpool_core::surfnet::svm::SurfnetSvm;

/// Accounts by owner. Clones share what they know, as the runtime's own storage does.
#[derive(Clone)]
pub struct Owners(Arc<RwLock<Lists>>);

type Lists = HashMap<String, Vec<String>>;

impl Owners {
    /// As the ledger's accounts tell; without one, as the runtime knows at its start.
    pub fn of(svm: &SurfnetSvm) -> StorageResult<Self> {
        let Some(accounts) = &svm.inner.db else {
            return Ok(Self::from(svm.accounts_by_owner.into_iter()?.collect::<Lists>()));
        };
        let mut lists = Lists::new();
        for (address, account) in accounts.into_iter()? {
            lists.entry(account.owner().to_string()).or_default().push(address);
        }
        Ok(Self::from(lists))
    }

    fn read(&self) -> RwLockReadGuard<'_, Lists> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lists> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Lists> for Owners {
    fn from(lists: Lists) -> Self {
        Self(Arc::new(RwLock::new(lists)))
    }
}

impl Storage<String, Vec<String>> for Owners {
    fn store(&mut self, owner: String, accounts: Vec<String>) -> StorageResult<()> {
        self.write().insert(owner, accounts);
        Ok(())
    }

    fn clear(&mut self) -> StorageResult<()> {
        self.write().clear();
        Ok(())
    }

    fn get(&self, owner: &String) -> StorageResult<Option<Vec<String>>> {
        Ok(self.read().get(owner).cloned())
    }

    fn take(&mut self, owner: &String) -> StorageResult<Option<Vec<String>>> {
        Ok(self.write().remove(owner))
    }

    fn keys(&self) -> StorageResult<Vec<String>> {
        Ok(self.read().keys().cloned().collect())
    }

    fn into_iter(&self) -> StorageResult<Box<dyn Iterator<Item = (String, Vec<String>)> + '_>> {
        Ok(Box::new(self.read().clone().into_iter()))
    }

    fn count(&self) -> StorageResult<u64> {
        Ok(self.read().len() as u64)
    }

    fn clone_box(&self) -> Box<dyn Storage<String, Vec<String>>> {
        Box::new(self.clone())
    }
}
