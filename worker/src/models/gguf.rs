//! A reader of GGUF headers: what a model is, and whether its file is whole.
//!
//! llama.cpp reads these files too, but a truncated download makes it fail late and unclearly; and
//! the worker's own process keeps away from foreign files' parsing in C++. Every length in the file
//! is taken as hostile.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

mod describe;
mod tensor;

use describe::describe;
pub(crate) use describe::thinks;
pub use describe::{Gguf, Pooling};

/// Why a file can't be a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: not a GGUF model file (it begins with {magic:02x?})", path.display())]
    NotGguf { path: PathBuf, magic: [u8; 4] },
    #[error("{}: GGUF version {version} is not known here", path.display())]
    Version { path: PathBuf, version: u32 },
    /// Typically a download that was cut.
    #[error("{}: the file is cut off: it has {has_bytes} bytes of at least {needs_bytes}", path.display())]
    Truncated { path: PathBuf, has_bytes: u64, needs_bytes: u64 },
    #[error("{}: not a valid GGUF file: {reason}", path.display())]
    Malformed { path: PathBuf, reason: &'static str },
}

impl Gguf {
    /// Reads the header and checks that all tensors lie within the file.
    ///
    /// # Errors
    /// [`ModelFileError`], with `Truncated` for a file that ends too early.
    pub fn open(path: &Path) -> Result<Self, ModelFileError> {
        let io = |source| ModelFileError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let has_bytes = file.metadata().map_err(io)?.len();
        let mut reader = Reader { inner: BufReader::new(file), at: 0, end: has_bytes };
        reader.gguf().map_err(|fault| fault.at(path, has_bytes))
    }
}

/// A fault without its path.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    NotGguf([u8; 4]),
    Version(u32),
    /// Bytes that the file should have at least.
    Truncated(u64),
    Malformed(&'static str),
}

impl Fault {
    fn at(self, path: &Path, has_bytes: u64) -> ModelFileError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => ModelFileError::Io { path, source },
            Self::NotGguf(magic) => ModelFileError::NotGguf { path, magic },
            Self::Version(version) => ModelFileError::Version { path, version },
            Self::Truncated(needs_bytes) => {
                ModelFileError::Truncated { path, has_bytes, needs_bytes }
            }
            Self::Malformed(reason) => ModelFileError::Malformed { path, reason },
        }
    }
}

/// A value's type and its bytes as they stand in the file.
struct Value {
    kind: u32,
    bytes: Vec<u8>,
}

impl Value {
    fn u32(&self) -> Option<u32> {
        let bytes = <[u8; 4]>::try_from(self.bytes.as_slice()).ok()?;
        (self.kind == KIND_U32 || self.kind == KIND_I32).then(|| u32::from_le_bytes(bytes))
    }

    fn string(&self) -> Option<String> {
        let text = self.bytes.get(8..)?;
        (self.kind == KIND_STRING).then(|| String::from_utf8_lossy(text).into_owned())
    }

    fn bool(&self) -> Option<bool> {
        let &[byte] = self.bytes.as_slice() else { return None };
        (self.kind == KIND_BOOL).then_some(byte != 0)
    }

    /// A number for each layer, or one for all of them.
    fn per_layer(&self, layers: u32) -> Option<Vec<u32>> {
        if let Some(number) = self.u32() {
            return Some(vec![number; layers as usize]);
        }
        let (of, numbers) = (self.bytes.get(..4)?, self.bytes.get(12..)?);
        let of = u32::from_le_bytes(of.try_into().ok()?);
        let is_list = self.kind == KIND_ARRAY && (of == KIND_U32 || of == KIND_I32);
        let (numbers, _) = numbers.as_chunks::<4>();
        (is_list && numbers.len() >= layers as usize)
            .then(|| numbers.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect())
    }
}

const KIND_U32: u32 = 4;
const KIND_I32: u32 = 5;
const KIND_BOOL: u32 = 7;
const KIND_STRING: u32 = 8;
const KIND_ARRAY: u32 = 9;
const ALIGNMENT_DEFAULT: u32 = 32;
/// llama.cpp's own limits are of this order; what is beyond is not a header.
const KEY_BYTES_MAX: u64 = 65_535;
const HEADER_BYTES_MAX: u64 = 1 << 30;

struct Reader<R> {
    inner: R,
    at: u64,
    end: u64,
}

impl<R: Read> Reader<R> {
    fn gguf(&mut self) -> Result<Gguf, Fault> {
        let magic = self.array()?;
        if &magic != b"GGUF" {
            return Err(Fault::NotGguf(magic));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(Fault::Version(version));
        }
        let (tensors, values) = (self.u64()?, self.u64()?);
        let mut metadata = BTreeMap::new();
        for _ in 0..values {
            let key = self.key()?;
            let kind = self.u32()?;
            let mut bytes = Vec::new();
            self.value(kind, 0, &mut bytes)?;
            metadata.insert(key, Value { kind, bytes });
        }
        let data_bytes = self.tensors(tensors)?;
        self.check_data(&metadata, data_bytes)?;
        Ok(describe(&metadata))
    }

    /// The end of the last tensor, counted from the beginning of the tensor data.
    fn tensors(&mut self, count: u64) -> Result<u64, Fault> {
        let mut end = 0;
        for _ in 0..count {
            self.key()?;
            let dimensions = self.u32()?;
            if dimensions > 4 {
                return Err(Fault::Malformed("a tensor has more than four dimensions"));
            }
            let mut elements = 1_u64;
            for _ in 0..dimensions {
                elements = elements
                    .checked_mul(self.u64()?)
                    .ok_or(Fault::Malformed("a tensor is too large"))?;
            }
            let kind = self.u32()?;
            let offset = self.u64()?;
            // A type that came after this table: its offset must at least lie in the file.
            let bytes = tensor::bytes(kind, elements).unwrap_or(0);
            end = end
                .max(offset.checked_add(bytes).ok_or(Fault::Malformed("a tensor is too large"))?);
        }
        Ok(end)
    }

    fn check_data(&self, metadata: &BTreeMap<String, Value>, data_bytes: u64) -> Result<(), Fault> {
        let alignment =
            metadata.get("general.alignment").and_then(Value::u32).unwrap_or(ALIGNMENT_DEFAULT);
        let start = self.at.checked_next_multiple_of(alignment.into());
        let needs = start.and_then(|start| start.checked_add(data_bytes));
        match needs.ok_or(Fault::Malformed("a tensor is too large"))? {
            needs if needs > self.end => Err(Fault::Truncated(needs)),
            _ => Ok(()),
        }
    }

    fn key(&mut self) -> Result<String, Fault> {
        let length = self.u64()?;
        if length > KEY_BYTES_MAX {
            return Err(Fault::Malformed("a name is too long"));
        }
        let mut bytes = Vec::new();
        self.take(length, &mut bytes)?;
        String::from_utf8(bytes).map_err(|_| Fault::Malformed("a name is not UTF-8"))
    }

    /// Appends a value's bytes, lengths and element types included.
    fn value(&mut self, kind: u32, depth: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
        match kind {
            KIND_STRING => {
                let length = self.u64()?;
                out.extend(length.to_le_bytes());
                self.take(length, out)
            }
            KIND_ARRAY if depth < 4 => {
                let (of, count) = (self.u32()?, self.u64()?);
                out.extend(of.to_le_bytes());
                out.extend(count.to_le_bytes());
                match scalar_bytes(of) {
                    Some(width) => {
                        let bytes = count
                            .checked_mul(width)
                            .ok_or(Fault::Malformed("an array is too long"))?;
                        self.take(bytes, out)
                    }
                    None => (0..count).try_for_each(|_| self.value(of, depth + 1, out)),
                }
            }
            _ => {
                let width =
                    scalar_bytes(kind).ok_or(Fault::Malformed("a value of an unknown type"))?;
                self.take(width, out)
            }
        }
    }

    /// Reads `length` bytes, after checking that the file has them: nothing is allocated on a
    /// hostile length's word.
    fn take(&mut self, length: u64, out: &mut Vec<u8>) -> Result<(), Fault> {
        let needs = self.at.checked_add(length).ok_or(Fault::Malformed("a length is too large"))?;
        if needs > self.end {
            return Err(Fault::Truncated(needs));
        }
        if needs > HEADER_BYTES_MAX {
            return Err(Fault::Malformed("the header is too large"));
        }
        let read = (&mut self.inner).take(length).read_to_end(out).map_err(Fault::Io)?;
        self.at += read as u64;
        if read as u64 == length { Ok(()) } else { Err(Fault::Truncated(needs)) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = Vec::with_capacity(N);
        self.take(N as u64, &mut bytes)?;
        bytes.try_into().map_err(|_| Fault::Malformed("a number is cut"))
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Width of the types that have a fixed one.
fn scalar_bytes(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests;
