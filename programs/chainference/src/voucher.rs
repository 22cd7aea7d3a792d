//! Vouchers are checked by the chain's Ed25519 precompile, which verifies strictly; here we make sure
//! that what it verified is exactly this job's voucher.

use anchor_lang::prelude::*;
use chainference_market::{Totals, Voucher, VOUCHER_BYTES};
use solana_instructions_sysvar::{load_current_index_checked, load_instruction_at_checked};
use solana_sdk_ids::ed25519_program;

use crate::error::{refuse, ProgramErrorCode};

const HEADER_BYTES: usize = 16;
const KEY_AT: usize = HEADER_BYTES;
const SIGNATURE_AT: usize = KEY_AT + 32;
const MESSAGE_AT: usize = SIGNATURE_AT + 64;
/// Length of the only form of the Ed25519 instruction that a claim accepts.
pub const ED25519_BYTES: usize = MESSAGE_AT + VOUCHER_BYTES;

/// One signature, everything inside this very instruction (index `u16::MAX`): offsets into other
/// instructions could make the precompile verify something else than what is read here.
pub const ED25519_HEADER: [u8; HEADER_BYTES] = header();

const fn header() -> [u8; HEADER_BYTES] {
    let fields = [
        SIGNATURE_AT as u16,
        u16::MAX,
        KEY_AT as u16,
        u16::MAX,
        MESSAGE_AT as u16,
        VOUCHER_BYTES as u16,
        u16::MAX,
    ];
    let mut bytes = [0; HEADER_BYTES];
    bytes[0] = 1;
    let mut i = 0;
    while i < fields.len() {
        let field = fields[i].to_le_bytes();
        bytes[2 + 2 * i] = field[0];
        bytes[3 + 2 * i] = field[1];
        i += 1;
    }
    bytes
}

/// Data of the Ed25519 instruction that must stand right before a claim.
pub fn ed25519_data(session_key: &Pubkey, signature: &[u8; 64], voucher: &Voucher) -> Vec<u8> {
    let mut data = Vec::with_capacity(ED25519_BYTES);
    data.extend_from_slice(&ED25519_HEADER);
    data.extend_from_slice(session_key.as_ref());
    data.extend_from_slice(signature);
    data.extend_from_slice(&voucher.to_bytes());
    data
}

/// Refuses unless the instruction right before this one is the precompile's check of exactly this
/// voucher under this session key.
pub fn verify(
    instructions: &AccountInfo,
    job: &Pubkey,
    session_key: &Pubkey,
    totals: Totals,
) -> Result<()> {
    let current = usize::from(load_current_index_checked(instructions)?);
    let Some(before) = current.checked_sub(1) else {
        return refuse(ProgramErrorCode::NoVoucherSignature);
    };
    let instruction = load_instruction_at_checked(before, instructions)?;
    if instruction.program_id != ed25519_program::ID {
        return refuse(ProgramErrorCode::NoVoucherSignature);
    }
    let message = Voucher { job: job.to_bytes(), totals }.to_bytes();
    let data = instruction.data.as_slice();
    let is_exact = data.len() == ED25519_BYTES
        && data[..KEY_AT] == ED25519_HEADER
        && data[KEY_AT..SIGNATURE_AT] == *session_key.as_ref()
        && data[MESSAGE_AT..] == message;
    if is_exact {
        Ok(())
    } else {
        refuse(ProgramErrorCode::BadVoucherSignature)
    }
}
