//! Who takes part, and the words for them.

use std::collections::BTreeMap;

use chainference_chain::accounts::model_hash;
use chainference_chain::{Keypair, Pubkey, Signer, address};

use crate::rng::Rng;

/// Clients and workers each. The last of both is one person, who would deal with himself.
pub const PAIRS: usize = 3;
pub const MODELS: [(&str, &str); 2] = [("example/Model-1B", "Q4_1"), ("example/Model-7B", "Q8_0")];

/// A cold key and a hot one.
#[derive(Clone, Copy)]
pub struct Pair {
    pub cold: Pubkey,
    pub hot: Pubkey,
    /// The vault or the worker's record.
    pub account: Pubkey,
}

pub struct Cast {
    keys: BTreeMap<Pubkey, Keypair>,
    names: BTreeMap<Pubkey, String>,
    /// Pays every transaction's fee, and nothing else.
    pub relayer: Pubkey,
    pub admins: [Pubkey; 2],
    pub clients: [Pair; PAIRS],
    pub workers: [Pair; PAIRS],
    pub attacker: Pubkey,
    /// Accounts of another program that look like ours, one of each kind, all in the attacker's name.
    pub forged: [Pubkey; 6],
    /// Accounts that were made for our program, and never written: anybody can.
    pub blank: [Pubkey; 2],
    /// Where fees may be paid to; the last two are empty accounts.
    pub payouts: [Pubkey; 4],
    /// `offers[worker][model]`
    pub offers: [[Pubkey; MODELS.len()]; PAIRS],
    pub model_hashes: [[u8; 32]; MODELS.len()],
}

impl Cast {
    pub fn new() -> Self {
        let mut rng = Rng::new(1);
        let (mut keys, mut names) = (BTreeMap::new(), BTreeMap::new());
        let mut person = |name: String| {
            let pair = Keypair::new_from_array(rng.bytes());
            let key = pair.pubkey();
            names.insert(key, name);
            keys.insert(key, pair);
            key
        };
        let relayer = person("relayer".into());
        let admins = [0, 1].map(|i| person(format!("admin{i}")));
        let clients = [0, 1, 2].map(|i| {
            let (cold, hot) = (person(format!("client{i}")), person(format!("gateway{i}")));
            Pair { cold, hot, account: address::vault(&cold) }
        });
        let workers = [0, 1, 2].map(|i| {
            let (cold, hot) = (person(format!("owner{i}")), person(format!("operator{i}")));
            Pair { cold, hot, account: address::worker(&cold) }
        });
        let attacker = person("attacker".into());
        let payouts = [0, 1, 2, 3].map(|i| person(format!("payout{i}")));
        let forged = [0; 6].map(|_: u8| Pubkey::new_from_array(rng.bytes()));
        let blank = [0; 2].map(|_: u8| Pubkey::new_from_array(rng.bytes()));
        let offers = workers.map(|worker| {
            MODELS.map(|(model, quant)| address::offer(&worker.account, model, quant))
        });
        let model_hashes = MODELS.map(|(model, quant)| model_hash(model, quant));
        let mut cast = Self {
            keys,
            names,
            relayer,
            admins,
            clients,
            workers,
            attacker,
            forged,
            blank,
            payouts,
            offers,
            model_hashes,
        };
        cast.name_accounts();
        cast
    }

    fn name_accounts(&mut self) {
        let mut name = |key: Pubkey, name: String| self.names.insert(key, name);
        name(address::config(), "config".into());
        name(address::treasury(), "treasury".into());
        for (i, forged) in self.forged.iter().enumerate() {
            name(*forged, format!("forged{i}"));
        }
        for (i, blank) in self.blank.iter().enumerate() {
            name(*blank, format!("blank{i}"));
        }
        for i in 0..PAIRS {
            name(self.clients[i].account, format!("vault{i}"));
            name(self.workers[i].account, format!("worker{i}"));
            for (m, offer) in self.offers[i].iter().enumerate() {
                name(*offer, format!("offer{i}.{m}"));
            }
        }
    }

    /// The secret of a key that somebody here holds.
    pub fn keypair(&self, key: &Pubkey) -> Option<&Keypair> {
        self.keys.get(key)
    }

    pub fn people(&self) -> Vec<Pubkey> {
        self.keys.keys().copied().collect()
    }

    /// Addresses of records, vaults and offers, whether or not they exist.
    pub fn addresses(&self) -> Vec<Pubkey> {
        let pairs = self.clients.iter().chain(&self.workers).map(|pair| pair.account);
        pairs.chain(self.offers.iter().flatten().copied()).collect()
    }

    /// Text with names in the place of keys.
    pub fn name_in(&self, text: &str) -> String {
        self.names
            .iter()
            .fold(text.to_string(), |text, (key, name)| text.replace(&key.to_string(), name))
    }

    pub fn say(&self, key: &Pubkey) -> String {
        self.names.get(key).cloned().unwrap_or_else(|| key.to_string()[..6].to_string())
    }
}
