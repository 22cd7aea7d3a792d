//! The calls into the C++ shim of llama.cpp's chat code. Unsafe code is here and in `engine/child/threads.rs` only.
#![expect(
    unsafe_code,
    reason = "llama.cpp's chat code has no binding of its own; each call is argued for below"
)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::NonNull;

/// `common_chat_templates` of llama.cpp.
#[repr(C)]
struct RawTemplates {
    _opaque: [u8; 0],
}

/// `chainference_chat_parser` of the shim.
#[repr(C)]
struct RawParser {
    _opaque: [u8; 0],
}

type TextSink = extern "C" fn(context: *mut c_void, text: *const c_char, bytes: usize);

// As declared in shim/chat.cpp.
unsafe extern "C" {
    safe fn chainference_log_without_answers();
    fn chainference_chat_new(
        source: *const c_char,
        bos: *const c_char,
        eos: *const c_char,
        sink: TextSink,
        context: *mut c_void,
    ) -> *mut RawTemplates;
    fn chainference_chat_free(templates: *mut RawTemplates);
    fn chainference_chat_knows_tools(templates: *const RawTemplates) -> bool;
    fn chainference_chat_apply(
        templates: *const RawTemplates,
        request: *const c_char,
        sink: TextSink,
        context: *mut c_void,
    ) -> bool;
    fn chainference_schema_grammar(
        schema: *const c_char,
        sink: TextSink,
        context: *mut c_void,
    ) -> bool;
    fn chainference_parser_new(
        format: c_int,
        parser: *const c_char,
        generation_prompt: *const c_char,
        sink: TextSink,
        context: *mut c_void,
    ) -> *mut RawParser;
    fn chainference_parser_free(parser: *mut RawParser);
    fn chainference_parser_feed(
        parser: *mut RawParser,
        piece: *const c_char,
        bytes: usize,
        is_last: bool,
        sink: TextSink,
        context: *mut c_void,
    ) -> bool;
}

/// From here on llama.cpp logs neither prompts nor answers.
pub(crate) fn log_without_answers() {
    chainference_log_without_answers();
}

/// Parsed templates. Errors are llama.cpp's words.
#[derive(Debug)]
pub(super) struct Templates(NonNull<RawTemplates>);

// SAFETY: the object is plain heap data without thread-local parts; it may be used and freed on
// another thread than its maker's.
unsafe impl Send for Templates {}
// SAFETY: `apply` and `knows_tools` take it as const and llama.cpp's template engine keeps its
// state in the call (llama-server shares one among threads).
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

    /// Whether the template shows tools and calls of them.
    pub fn knows_tools(&self) -> bool {
        // SAFETY: `self.0` came from `chainference_chat_new` and is freed only on drop.
        unsafe { chainference_chat_knows_tools(self.0.as_ptr()) }
    }

    /// The prompt and the form of the answer, as JSON, for a request in JSON.
    pub fn apply(&self, request: &str) -> Result<String, String> {
        let request = c_string(request)?;
        let mut text = String::new();
        // SAFETY: `self.0` came from `chainference_chat_new` and is freed only on drop; the string
        // and `text` outlive the call.
        let ok = unsafe {
            chainference_chat_apply(
                self.0.as_ptr(),
                request.as_ptr(),
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

/// The grammar of a JSON schema, or llama.cpp's reason why there is none.
pub(super) fn schema_grammar(schema: &str) -> Result<String, String> {
    let schema = c_string(schema)?;
    let mut text = String::new();
    // SAFETY: the string and `text` outlive the call.
    let ok =
        unsafe { chainference_schema_grammar(schema.as_ptr(), collect, (&raw mut text).cast()) };
    if ok { Ok(text) } else { Err(text) }
}

/// One answer that is taken apart as it grows.
#[derive(Debug)]
pub(super) struct RawAnswer(NonNull<RawParser>);

// SAFETY: plain heap data without thread-local parts, owned by this value alone.
unsafe impl Send for RawAnswer {}

impl RawAnswer {
    /// `format`, `parser` and `generation_prompt` are what [`Templates::apply`] gave.
    pub fn new(format: i32, parser: &str, generation_prompt: &str) -> Result<Self, String> {
        let (parser, generation_prompt) = (c_string(parser)?, c_string(generation_prompt)?);
        let mut reason = String::new();
        // SAFETY: the strings are zero-terminated and outlive the call, which copies them, as does
        // `reason`.
        let raw = unsafe {
            chainference_parser_new(
                format,
                parser.as_ptr(),
                generation_prompt.as_ptr(),
                collect,
                (&raw mut reason).cast(),
            )
        };
        NonNull::new(raw).map(Self).ok_or(reason)
    }

    /// Takes the next piece; what became certain, as JSON.
    pub fn feed(&mut self, piece: &str, is_last: bool) -> Result<String, String> {
        let mut text = String::new();
        // SAFETY: `self.0` came from `chainference_parser_new`, is freed only on drop, and nobody
        // else uses it during the call (`&mut self`); `piece` holds as many bytes as said, and it
        // and `text` outlive the call.
        let ok = unsafe {
            chainference_parser_feed(
                self.0.as_ptr(),
                piece.as_ptr().cast(),
                piece.len(),
                is_last,
                collect,
                (&raw mut text).cast(),
            )
        };
        if ok { Ok(text) } else { Err(text) }
    }
}

impl Drop for RawAnswer {
    fn drop(&mut self) {
        // SAFETY: made by `chainference_parser_new`, freed once.
        unsafe { chainference_parser_free(self.0.as_ptr()) }
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
