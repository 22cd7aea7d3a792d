//! The calls into the C++ shim: the only unsafe code of the project.
#![expect(
    unsafe_code,
    reason = "llama.cpp's chat templates have no binding of their own; each call is argued for below"
)]

use std::ffi::{CString, c_char, c_void};
use std::ptr::NonNull;

/// `common_chat_templates` of llama.cpp.
#[repr(C)]
struct RawTemplates {
    _opaque: [u8; 0],
}

type TextSink = extern "C" fn(context: *mut c_void, text: *const c_char, bytes: usize);

// As declared in shim/chat.cpp.
unsafe extern "C" {
    fn chainference_chat_new(
        source: *const c_char,
        bos: *const c_char,
        eos: *const c_char,
        sink: TextSink,
        context: *mut c_void,
    ) -> *mut RawTemplates;
    fn chainference_chat_free(templates: *mut RawTemplates);
    fn chainference_chat_apply(
        templates: *const RawTemplates,
        messages: *const c_char,
        sink: TextSink,
        context: *mut c_void,
    ) -> bool;
}

/// Parsed templates. Errors are llama.cpp's words.
#[derive(Debug)]
pub(super) struct Templates(NonNull<RawTemplates>);

// SAFETY: the object is plain heap data without thread-local parts; it may be used and freed on
// another thread than its maker's.
unsafe impl Send for Templates {}
// SAFETY: `apply` takes it as const and llama.cpp's template engine keeps its state in the call
// (llama-server shares one among threads).
unsafe impl Sync for Templates {}

impl Templates {
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        let (source, bos, eos) = (c_string(source)?, c_string(bos)?, c_string(eos)?);
        let mut reason = String::new();
        // SAFETY: the strings are zero-terminated and outlive the call, which copies them;
        // `collect` gets the pointer to `reason` back, which outlives the call too.
        let raw = unsafe {
            chainference_chat_new(
                source.as_ptr(),
                bos.as_ptr(),
                eos.as_ptr(),
                collect,
                (&raw mut reason).cast(),
            )
        };
        NonNull::new(raw).map(Self).ok_or(reason)
    }

    /// The prompt for a JSON array of messages.
    pub fn apply(&self, messages: &str) -> Result<String, String> {
        let messages = c_string(messages)?;
        let mut text = String::new();
        // SAFETY: `self.0` came from `chainference_chat_new` and is freed only on drop; the string
        // and `text` outlive the call.
        let ok = unsafe {
            chainference_chat_apply(
                self.0.as_ptr(),
                messages.as_ptr(),
                collect,
                (&raw mut text).cast(),
            )
        };
        if ok { Ok(text) } else { Err(text) }
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        // SAFETY: made by `chainference_chat_new`, freed once.
        unsafe { chainference_chat_free(self.0.as_ptr()) }
    }
}

/// Copies what the shim delivers into the `String` behind `context`.
extern "C" fn collect(context: *mut c_void, text: *const c_char, bytes: usize) {
    // SAFETY: `context` is the `String` that the caller above passed and nobody else touches during
    // the call; `text` holds `bytes` readable bytes until this function returns.
    let (target, bytes) = unsafe {
        (&mut *context.cast::<String>(), std::slice::from_raw_parts(text.cast::<u8>(), bytes))
    };
    *target = String::from_utf8_lossy(bytes).into_owned();
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| "a zero byte".to_owned())
}
