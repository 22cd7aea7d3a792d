use anchor_lang::prelude::*;

use crate::error::{refuse, ProgramErrorCode};

/// Text in a fixed field: printable ASCII without spaces, padded with zeros. Whoever shows or dials it meets
/// no control characters.
pub trait Text {
    /// What is before the padding.
    fn text(&self) -> &str;
    /// Stores `text`, or refuses it as [`ProgramErrorCode::BadText`].
    fn set_text(&mut self, text: &str) -> Result<()>;
}

impl<const N: usize> Text for [u8; N] {
    fn text(&self) -> &str {
        let end = self.iter().position(|byte| *byte == 0).unwrap_or(N);
        core::str::from_utf8(&self[..end]).unwrap_or_default()
    }

    fn set_text(&mut self, text: &str) -> Result<()> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain || text.is_empty() || text.len() > N {
            return refuse(ProgramErrorCode::BadText);
        }
        *self = [0; N];
        self[..text.len()].copy_from_slice(text.as_bytes());
        Ok(())
    }
}
