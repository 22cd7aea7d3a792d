//! Who may send what, for each instruction, and what a pause stops: one row an instruction of the tour.

/// Those who try each instruction, with the accounts of whom it is for.
pub const ROLES: [&str; 14] = [
    "admin",
    "wallet",
    "gateway",
    "owner",
    "operator",
    "other wallet",
    "other gateway",
    "other owner",
    "other operator",
    "leaving wallet",
    "leaving owner",
    "new wallet",
    "new owner",
    "stranger",
];

const CLIENT: &[&str] = &["wallet", "gateway"];
const AGENT: &[&str] = &["owner", "operator"];
const ANYONE: &[&str] = &ROLES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    Runs,
    Stops,
}
use Pause::{Runs, Stops};

/// The instruction, who may send it, what all others are refused with, and whether a pause stops it.
pub type Row = (&'static str, &'static [&'static str], &'static str, Pause);

pub const TABLE: &[Row] = &[
    ("initialize", &["admin"], "NotUpgradeAuthority", Runs),
    ("update_config", &["admin"], "NotAdmin", Runs),
    ("accept_admin", &["stranger"], "NotAdmin", Runs),
    ("register_worker", &["new owner"], "ConstraintSeeds", Stops),
    ("update_worker", &["owner"], "NotWorkerOwner", Runs),
    ("heartbeat", &["operator"], "NotOperator", Runs),
    ("post_offer", AGENT, "NotWorkerAgent", Stops),
    ("update_offer", AGENT, "NotWorkerAgent", Runs),
    ("retract_offer", &["owner"], "ConstraintSeeds", Runs),
    ("withdraw_earnings", ANYONE, "", Runs),
    ("retire_worker", &["leaving owner"], "NotWorkerOwner", Runs),
    ("sweep_fees", ANYONE, "", Runs),
    ("withdraw_fees of the platform", ANYONE, "", Runs),
    ("withdraw_fees of the stakers", ANYONE, "", Runs),
    ("open_vault", &["new wallet"], "ConstraintSeeds", Runs),
    ("deposit", ANYONE, "", Runs),
    ("set_delegate", &["wallet"], "NotVaultOwner", Runs),
    ("withdraw", &["wallet"], "NotVaultOwner", Runs),
    ("close_vault", &["leaving wallet"], "NotVaultOwner", Runs),
    ("publish", CLIENT, "NotClient", Stops),
    ("lock", &["operator"], "NotOperator", Stops),
    ("publish to 8 workers", CLIENT, "NotClient", Stops),
    ("lock as the last of 8", &["operator"], "NotOperator", Stops),
    ("claim", &["operator"], "NotOperator", Runs),
    ("final claim", &["operator"], "NotOperator", Runs),
    ("final claim without a voucher", &["operator"], "NotOperator", Runs),
    ("finish", CLIENT, "NotClient", Runs),
    ("cancel", CLIENT, "NotClient", Runs),
    ("expire while open", ANYONE, "", Runs),
    ("expire while locked", ANYONE, "", Runs),
    ("top_up", CLIENT, "NotClient", Runs),
    ("close", ANYONE, "", Runs),
    ("close with all feedback", CLIENT, "NotClient", Runs),
    ("compare", CLIENT, "NotClient", Runs),
];
